// Builds the page with the mocked bridge once, and serves it under the content security policy that the
// app has, so that a test sees what the policy would refuse.
import { readFileSync } from "node:fs";

import { build, preview } from "vite";
import type { TestProject } from "vitest/node";

/** The app's own, as it is built with. */
function policy(): string {
  const text = readFileSync(new URL("../../tauri.conf.json", import.meta.url), "utf8");
  const { app } = JSON.parse(text) as { app: { security: { csp: unknown } } };
  const { csp } = app.security;
  if (typeof csp !== "string") throw new Error("tauri.conf.json has no content security policy");
  return csp;
}

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
    preview: { host: "127.0.0.1", port: 4173, headers: { "Content-Security-Policy": policy() } },
  });
  const address = server.resolvedUrls?.local[0];
  if (address === undefined) throw new Error("the server of the built page has no address");
  project.provide("address", address);
  return () => server.close();
}
