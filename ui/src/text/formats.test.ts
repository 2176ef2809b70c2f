import { describe, expect, it } from "vitest";

import { envWritten, refreshed, staleFiles } from "./formats";

describe("writing a .env file", () => {
  const path = "/home/ada/code/shop/.env.local";
  it.each([
    [{ path, created: false, added: 4, changed: 1 }, "Updated .env.local (4 added, 1 changed)."],
    [{ path, created: false, added: 0, changed: 2 }, "Updated .env.local (2 changed)."],
    [{ path, created: true, added: 7, changed: 0 }, "Created .env.local (7 added)."],
    [{ path, created: false, added: 0, changed: 0 }, ".env.local is already up to date."],
  ])("%o says %s", (written, said) => expect(envWritten({ ...written, clashes: [] })).toBe(said));

  it("names the files that contradict it", () => {
    const clashes = [
      { file: "/home/ada/code/shop/.env.local", names: ["STACK_PROJECT_ID", "STACK_API_URL"] },
    ];
    expect(
      envWritten({ path: "/home/ada/code/shop/.env", created: true, added: 8, changed: 0, clashes }),
    ).toBe(
      "Created .env (8 added). .env.local has other values for STACK_PROJECT_ID, STACK_API_URL: remove them there.",
    );
  });
});

describe("writing all .env files again", () => {
  const nothing = { updated: 0, unchanged: 0, skipped: 0, failed: [] };
  it.each([
    [{ ...nothing, updated: 1 }, "Updated 1 file."],
    [
      { ...nothing, updated: 2, skipped: 1 },
      "Updated 2 files. Left 1 file unchanged: moved, or with other credentials by now.",
    ],
    [{ ...nothing, unchanged: 3 }, "The files are up to date."],
    [{ ...nothing, failed: ["/a/.env: no space"] }, "No file was written. Failed: /a/.env: no space."],
  ])("%o says %s", (done, said) => expect(refreshed(done)).toBe(said));

  it("names the files that a reset makes stale", () => {
    expect(staleFiles([])).toMatch(/; write them again after the next start\.$/);
    expect(staleFiles(["~/a/.env", "~/b/.env"])).toContain("(~/a/.env, ~/b/.env)");
  });
});
