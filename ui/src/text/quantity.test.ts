import fc from "fast-check";
import { describe, expect, it } from "vitest";

import {
  ago,
  bytes,
  factor,
  left,
  hostMemory,
  memory,
  ofItsTime,
  rate,
  seconds,
  shortSpan,
  span,
} from "./quantity";

/** The same with ordinary spaces, for readable tests. */
const plain = (text: string): string => text.replaceAll("\u00a0", " ");

describe("quantities", () => {
  it.each([
    [0, "0.00 s"],
    [712.4, "0.71 s"],
    [9994, "9.99 s"],
    [9996, "10.0 s"],
    [18_437, "18.4 s"],
    [99_960, "100 s"],
  ])("%d ms is %s", (ms, text) => expect(plain(seconds(ms))).toBe(text));

  it("shows parts of a tenth of a second in milliseconds where asked", () => {
    expect(plain(seconds(41.3, true))).toBe("41 ms");
    expect(plain(seconds(238, true))).toBe("0.24 s");
  });

  it.each([
    [0, "0 B"],
    [999, "999 B"],
    [1000, "1.00 kB"],
    [148_400_000, "148 MB"],
    [999_600_000, "1.00 GB"],
    [1_234_567_890, "1.23 GB"],
  ])("%d bytes are %s", (size, text) => expect(plain(bytes(size))).toBe(text));

  it("shows a limit once a good part of it is gone", () => {
    expect(ofItsTime(9999, 300_000)).toBe(null);
    expect(plain(ofItsTime(42_500, 300_000) ?? "")).toBe("42 s of 300 s");
  });

  it("never shows more than three digits below the largest unit", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 999_000_000_000_000 }), (size) => {
        const digits = bytes(size).replace(/[^0-9]/g, "");
        expect(digits.length).toBeLessThanOrEqual(3);
      }),
    );
  });

  it.each([
    [999, "0 seconds"],
    [1000, "1 second"],
    [60_000, "1 minute"],
    [7_200_000, "2 hours"],
    [172_800_000, "2 days"],
    [-5, "0 seconds"],
  ])("%d ms are %s", (ms, text) => expect(span(ms)).toBe(text));

  it("says when something was", () => {
    expect(ago(1000, 2000)).toBe("just now");
    expect(ago(0, 26 * 60_000)).toBe("26 minutes ago");
    expect(ago(9000, 0)).toBe("just now");
  });

  it.each([
    [3, "a few seconds left"],
    [33, "about 35 seconds left"],
    [54, "about 55 seconds left"],
    [57, "about 1 minute left"],
    [150, "about 3 minutes left"],
    [7200, "about 2 hours left"],
  ])("%d s left is %s", (time, text) => expect(left(time)).toBe(text));

  it("shortens a duration", () => {
    expect([59_000, 61_000, 7_200_000, 200_000_000].map(shortSpan)).toEqual([
      "59 s",
      "1 min",
      "2 h",
      "2 days",
    ]);
  });

  it("writes memory in whole units", () => {
    expect(plain(memory(4096))).toBe("4 GB");
    expect(plain(memory(1536))).toBe("1536 MB");
    expect(plain(hostMemory(24_105))).toBe("23.5 GB");
    expect(plain(hostMemory(992))).toBe("992 MB");
  });

  it("compares times", () => {
    expect(factor(18_400, 710)).toBe("26×");
    expect(factor(3, 2)).toBe("1.5×");
    expect(plain(rate(11_400_000))).toBe("11.4 MB/s");
  });
});
