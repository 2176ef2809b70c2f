import { describe, expect, it } from "vitest";

import { mails } from "../../mock/data";
import { found } from "./mails";

describe("a search for mails", () => {
  const recipients = (query: string) => found(mails, query).map(({ to }) => to);

  it("looks at addresses and subjects, regardless of case", () => {
    expect(recipients(" ADA@ ")).toEqual(["ada@example.com", "ada@example.com"]);
    expect(recipients("invited")).toEqual(["grace.hopper@example.com"]);
    expect(recipients("nobody")).toEqual([]);
  });

  it("finds all without words", () => {
    expect(found(mails, "  ")).toBe(mails);
  });
});
