import { describe, expect, it } from "vitest";

import type { Activity } from "../bindings";
import { current, phaseName, stageStates, timeUsed } from "./phases";

const setUp: Activity = {
  id: 1,
  task: "set_up",
  source: null,
  subject: "dev",
  stages: ["pull", "capture", "start"],
  phases: [],
  notices: [],
  began_at_ms: 0,
  limit: null,
  outcome: { kind: "running" },
};

describe("phases", () => {
  it("names phases of newer engines as they are", () => {
    expect(phaseName("agent")).toBe("Wake");
    expect(phaseName("warp")).toBe("Warp");
  });

  it("counts the time that is limited, and only while it runs", () => {
    const limited: Activity = { ...setUp, limit: { began_at_ms: 1000, limit_ms: 60_000 } };
    expect(timeUsed(setUp, 31_000)).toBe(null);
    expect(timeUsed(limited, 31_000)).toBe("30\u00a0s of 60\u00a0s");
    expect(timeUsed({ ...limited, outcome: { kind: "finished" } }, 31_000)).toBe(null);
  });

  it("runs the first stage before any phase has begun", () => {
    expect(stageStates(setUp).map(({ state }) => state)).toEqual(["running", "waiting", "waiting"]);
  });

  it("knows the running stage, and how long the earlier ones took", () => {
    const activity: Activity = {
      ...setUp,
      phases: [
        { stage: "pull", phase: "resolve", ms: 200, bytes: null },
        { stage: "pull", phase: "download", ms: 1300, bytes: null },
        { stage: "capture", phase: "boot", ms: null, bytes: null },
      ],
    };
    expect(stageStates(activity)).toEqual([
      { stage: "pull", state: "done", ms: 1500 },
      { stage: "capture", state: "running", ms: null },
      { stage: "start", state: "waiting", ms: null },
    ]);
    expect(current(activity)?.phase).toBe("boot");
    const failed = {
      ...activity,
      outcome: { kind: "failed", failure: { code: "guest", message: "", hint: null, remedy: null } },
    } as const;
    expect(stageStates(failed).map(({ state }) => state)).toEqual(["done", "failed", "waiting"]);
  });

  it("has finished every stage at the end", () => {
    const done = { ...setUp, outcome: { kind: "finished" } } as const;
    expect(stageStates(done).every(({ state }) => state === "done")).toBe(true);
    expect(current(done)).toBeNull();
  });
});
