import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { MOST_LINES, append, matching, pieces } from "./log";

describe("a log", () => {
  it("appends chunks, and starts over when the log is restarted", () => {
    const one = append([], { first_line: 10, lines: ["a", "b"], restarted: false });
    const two = append(one, { first_line: 12, lines: ["c"], restarted: false });
    expect(two.map(({ number, text }) => `${number}${text}`)).toEqual(["10a", "11b", "12c"]);
    expect(append(two, { first_line: 0, lines: ["x"], restarted: true })).toEqual([{ number: 0, text: "x" }]);
  });

  it("keeps only the latest lines", () => {
    const lines = Array.from({ length: MOST_LINES + 5 }, (_, index) => `${index}`);
    const held = append([], { first_line: 0, lines, restarted: false });
    expect([held.length, held[0]?.number]).toEqual([MOST_LINES, 5]);
  });

  it("is searched regardless of case", () => {
    const lines = append([], {
      first_line: 0,
      lines: ["[FAILED] cron", "ok"],
      restarted: false,
    });
    expect(matching(lines, " failed ").length).toBe(1);
    expect(matching(lines, "").length).toBe(2);
  });

  it("loses no character to the marks", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), fc.string({ unit: "grapheme" }), (text, query) => {
        expect(
          pieces(text, query)
            .map((piece) => piece.text)
            .join(""),
        ).toBe(text);
      }),
    );
    expect(pieces("aXbx", "x")).toEqual([
      { text: "a", match: false },
      { text: "X", match: true },
      { text: "b", match: false },
      { text: "x", match: true },
    ]);
  });
});
