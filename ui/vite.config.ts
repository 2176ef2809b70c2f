// Builds the page. `--mode mock` builds it with a mocked bridge, for page tests and for work on the page
// without the app.
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

export default defineConfig(({ mode }) => ({
  plugins: [svelte()],
  // The mock build has a folder of its own, so that it is not mistaken for the app's page.
  build: {
    // The WebKits of both platforms support `light-dark()`, which would otherwise be expanded.
    target: ["es2022", "safari17.5", "chrome123"],
    outDir: mode === "mock" ? "dist-mock" : "dist",
    emptyOutDir: true,
    // A polyfill would be an inline script, which the content security policy refuses.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    // The licenses of the bundled packages, shipped with the page.
    license: { fileName: "licences.md" },
    rolldownOptions: { input: mode === "mock" ? "mock.html" : "index.html" },
  },
  // The app's development build loads this address.
  server: { port: 5173, strictPort: true },
  test: {
    projects: [
      {
        extends: true,
        test: { name: "unit", include: ["src/**/*.test.ts"], environment: "node" },
      },
      {
        test: {
          name: "pages",
          include: ["tests/**/*.test.ts"],
          environment: "node",
          globalSetup: "tests/serve.ts",
          // One browser at a time: the machine may have two cores.
          fileParallelism: false,
          testTimeout: 60_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
}));
