import { describe, expect, it } from "vitest";

import { envWritten } from "./formats";

describe("writing a .env file", () => {
  const path = "/home/ada/code/shop/.env.local";
  it.each([
    [{ path, created: false, added: 4, changed: 1 }, "Updated .env.local (4 added, 1 changed)."],
    [{ path, created: false, added: 0, changed: 2 }, "Updated .env.local (2 changed)."],
    [{ path, created: true, added: 7, changed: 0 }, "Created .env.local (7 added)."],
    [{ path, created: false, added: 0, changed: 0 }, ".env.local is already up to date."],
  ])("%o says %s", (written, said) => expect(envWritten({ ...written, clashes: [] })).toBe(said));

  it("names the files that contradict it", () => {
    const clashes = [{ file: "/home/ada/code/shop/.env.local", names: ["STACK_PROJECT_ID", "STACK_API_URL"] }];
    expect(envWritten({ path: "/home/ada/code/shop/.env", created: true, added: 8, changed: 0, clashes })).toBe(
      "Created .env (8 added). .env.local has other values for STACK_PROJECT_ID, STACK_API_URL: remove them there.",
    );
  });
});
