import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { parts } from "./chart";

const phases = fc.array(
  fc.record({
    name: fc.constantFrom("qemu", "load", "agent", "rotate", "ready", "warp"),
    ms: fc.double({ min: 0, max: 1e6, noNaN: true }),
  }),
);

describe("the chart of a start", () => {
  it("loses no time and never overflows its bar", () => {
    fc.assert(
      fc.property(phases, fc.double({ min: 0, max: 1e7, noNaN: true }), (times, scale) => {
        const made = parts(times, scale);
        const sum = (list: { ms: number }[]) => list.reduce((total, { ms }) => total + ms, 0);
        expect(sum(made)).toBeCloseTo(sum(times), 3);
        expect(made.reduce((total, part) => total + part.percent, 0)).toBeLessThanOrEqual(100.001);
      }),
    );
  });

  it("keeps a phase's color, and gathers the smallest phases", () => {
    const made = parts(
      [
        { name: "qemu", ms: 40 },
        { name: "clock", ms: 1 },
        { name: "ready", ms: 300 },
      ],
      1000,
    );
    expect(made.map(({ label, color }) => [label, color])).toEqual([
      ["Launch", "1"],
      ["Ready", "6"],
      ["Other", "other"],
    ]);
    expect(made[0]?.percent).toBeCloseTo(4);
  });
});
