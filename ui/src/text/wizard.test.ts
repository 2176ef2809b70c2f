import { describe, expect, it } from "vitest";

import { activity, checks, empty, running } from "../../mock/data";
import { hostChecks, isFit, step } from "./wizard";

describe("the wizard", () => {
  it("follows the user until setup is running", () => {
    expect(step("checks", empty, null)).toBe("checks");
    expect(step("image", empty, null)).toBe("image");
    expect(step("checks", running, null)).toBe("checks");
    expect(step("image", running, null)).toBe("ready");
  });

  it("shows the step that setup has reached, whatever was clicked", () => {
    const work = activity({ task: "set_up" });
    expect(step("checks", empty, work)).toBe("work");
    const failed = {
      ...work,
      outcome: { kind: "failed", failure: { code: "file", message: "", hint: null, remedy: null } },
    } as const;
    expect(step("checks", empty, failed)).toBe("work");
    expect(step("checks", running, { ...work, outcome: { kind: "finished" } })).toBe("ready");
    expect(step("checks", empty, activity({ task: "stop" }))).toBe("checks");
  });

  it("does not check for an image before there is one", () => {
    const missing = {
      id: "image",
      title: "Image",
      verdict: "failed",
      detail: "none",
      evidence: null,
      remedy: null,
    } as const;
    const shown = hostChecks({ fit: false, checks: [...checks, missing] });
    expect(shown).toEqual(checks);
    expect(isFit(shown)).toBe(true);
    expect(isFit([{ ...missing, id: "qemu" }])).toBe(false);
    expect(isFit([{ ...missing, verdict: "warning" }])).toBe(true);
  });
});
