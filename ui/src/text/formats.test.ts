import { describe, expect, it } from "vitest";

import { envWritten } from "./formats";

describe("writing a .env file", () => {
  const path = "/home/ada/code/shop/.env.local";
  it.each([
    [{ path, created: false, added: 4, changed: 1 }, "Updated .env.local (4 added, 1 changed)."],
    [{ path, created: false, added: 0, changed: 2 }, "Updated .env.local (2 changed)."],
    [{ path, created: true, added: 7, changed: 0 }, "Created .env.local (7 added)."],
    [{ path, created: false, added: 0, changed: 0 }, ".env.local is already up to date."],
  ])("%o says %s", (written, said) => expect(envWritten(written)).toBe(said));
});
