import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { images, installed } from "../../mock/data";
import { pruneConsequence, pullRequestNumber, runId, sameSource, shortDigest, sourceName } from "./sources";

describe("sources", () => {
  it.each([
    ["1234", 1234],
    [" #1234 ", 1234],
    ["https://github.com/stack-auth/stack-auth/pull/1234", 1234],
    ["https://github.com/stack-auth/stack-auth/pull/1234/files?w=1", 1234],
    ["0", null],
    ["12a", null],
    ["", null],
    ["https://github.com/stack-auth/stack-auth/issues/1234", null],
  ])("%s is pull request %s", (typed, number) => expect(pullRequestNumber(typed)).toBe(number));

  it.each([
    ["19283746501", 19283746501],
    ["https://github.com/stack-auth/stack-auth/actions/runs/19283746501/job/5", 19283746501],
    ["run", null],
  ])("%s is run %s", (typed, id) => expect(runId(typed)).toBe(id));

  it("takes any number that can be one, however it is written", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), (number) => {
        expect(pullRequestNumber(`#${number}`)).toBe(number);
        expect(runId(`${number}`)).toBe(number);
      }),
    );
    expect(runId("99999999999999999999")).toBeNull();
  });

  it("compares sources by what they say", () => {
    expect(sameSource({ kind: "tag", tag: "a" }, { tag: "a", kind: "tag" })).toBe(true);
    expect(sameSource({ kind: "run", id: 1 }, { kind: "pull_request", number: 1 })).toBe(false);
  });

  it("says before unused images are removed which cannot be downloaded again", () => {
    expect(pruneConsequence(installed)).toMatch(
      /stack-emulator-amd64\.qcow2 was added from a file and cannot be downloaded again\.$/,
    );
    const releases = images.filter(({ source }) => source?.kind !== "file");
    expect(pruneConsequence({ ...installed, images: releases })).toMatch(/They can be downloaded again\.$/);
    // One that an instance uses is not removed.
    const used = images.map((image) => ({ ...image, used_by: ["default"] }));
    expect(pruneConsequence({ ...installed, images: used })).toMatch(/They can be downloaded again\.$/);
  });

  it("names sources and digests shortly", () => {
    expect(sourceName({ kind: "pull_request", number: 7 })).toBe("PR 7");
    expect(sourceName({ kind: "file", path: "/a/b.qcow2" })).toBe("b.qcow2");
    expect(shortDigest("sha256:0123456789abcdef")).toBe("0123456789ab");
  });
});
