// Builds the page with the mocked bridge once, and serves it under the content security policy that the
// app has, so that a test sees what the policy would refuse.
import { build, preview } from "vite";
import type { TestProject } from "vitest/node";

/** As in `tauri.conf.json`, without what only the app's own protocol needs. */
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'";

declare module "vitest" {
  interface ProvidedContext {
    address: string;
  }
}

export default async function serve(project: TestProject): Promise<() => Promise<void>> {
  await build({ mode: "mock", logLevel: "warn" });
  const server = await preview({
    mode: "mock",
    logLevel: "warn",
    build: { outDir: "dist-mock" },
    preview: { host: "127.0.0.1", port: 4173, headers: { "Content-Security-Policy": POLICY } },
  });
  const address = server.resolvedUrls?.local[0];
  if (address === undefined) throw new Error("the server of the built page has no address");
  project.provide("address", address);
  return () => server.close();
}
