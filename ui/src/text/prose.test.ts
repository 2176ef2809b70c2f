import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { spans } from "./prose";

describe("prose", () => {
  it("sets what is between backticks as code", () => {
    expect(spans("See `a b` and `c`.")).toEqual([
      { text: "See ", code: false },
      { text: "a b", code: true },
      { text: " and ", code: false },
      { text: "c", code: true },
      { text: ".", code: false },
    ]);
  });

  it("loses nothing but the backticks of pairs", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom("`", "a", " ", "\n") }), (text) => {
        const again = spans(text)
          .map((span) => (span.code ? `\`${span.text}\`` : span.text))
          .join("");
        expect(again).toBe(text);
      }),
    );
  });
});
