import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { aboutIdle, idleChoices, span } from "./idle";

describe("a stop when idle", () => {
  it("can be chosen, and is off first", () => {
    const texts = idleChoices(null).map(({ text }) => text.replaceAll("\u00a0", " "));
    expect(texts).toEqual(["Off", "After 15 minutes", "After 30 minutes", "After 1 hour", "After 2 hours"]);
  });

  it("has every value that was set elsewhere among its choices, once and in order", () => {
    // The range that the engine accepts.
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 10_080 }), (minutes) => {
        const choices = idleChoices(minutes).map((choice) => choice.minutes);
        expect(choices.filter((choice) => choice === minutes)).toHaveLength(1);
        expect(choices).toEqual([...choices].sort((one, other) => one - other));
        expect(choices).toEqual(expect.arrayContaining([0, 15, 30, 60, 120]));
      }),
    );
  });

  it("is said in the greatest unit that is exact", () => {
    const said = [1, 45, 60, 90, 1440, 10_080].map((minutes) => span(minutes).replaceAll("\u00a0", " "));
    expect(said).toEqual(["1 minute", "45 minutes", "1 hour", "90 minutes", "1 day", "7 days"]);
  });

  it("says what it means", () => {
    expect(aboutIdle(null)).not.toBe(aboutIdle(30));
  });
});
