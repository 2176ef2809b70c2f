// Builds the page. `--mode mock` builds it with a bridge that answers by itself, for page tests and
// for work on the page without the app around it.
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

export default defineConfig(({ mode }) => ({
  plugins: [svelte()],
  // Only what the browser gets; the tests' own output must not be mistaken for it.
  build: {
    // Both WebKits that the app meets have `light-dark()`, which would otherwise be spelled out.
    target: ["es2022", "safari17.5", "chrome123"],
    outDir: mode === "mock" ? "dist-mock" : "dist",
    emptyOutDir: true,
    // A polyfill would be an inline script, which the content security policy refuses.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    // Licences of what is bundled, to be shipped with it.
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
