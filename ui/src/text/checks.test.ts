import { describe, expect, it } from "vitest";

import { checks, unfitChecks } from "../../mock/data";
import type { Check } from "../bindings";
import { shownCheck } from "./checks";
import { isTechnical } from "./jargon";

const check = (more: Partial<Check>): Check => ({
  id: "accelerator",
  title: "Accelerator",
  verdict: "warning",
  detail: "KVM does not work on this host; using software emulation (slower).",
  evidence: "kvm fails (failed to set MSR), tcg works (0.28 s)",
  remedy: { kind: "probe_again", accelerator: "KVM" },
  ...more,
});

describe("a check", () => {
  it("says what it means, and has the technical words behind that", () => {
    const shown = shownCheck(check({}));
    expect(shown.title).toBe("Speed");
    expect(shown.says).toBe("Starts will be slower on this computer.");
    expect(isTechnical(shown.advice?.hint ?? "")).toBe(false);
    expect(shown.details).toEqual([
      "Accelerator: KVM does not work on this host; using software emulation (slower).",
      "kvm fails (failed to set MSR), tcg works (0.28 s)",
      "KVM is tested then.",
    ]);
  });

  it("shows no technical word at once, whatever came of it", () => {
    const verdicts = ["ok", "warning", "failed"] as const;
    const every = [...checks, ...unfitChecks, check({ id: "firmware" }), check({ id: "secrets_in_force" })];
    for (const one of every) {
      for (const verdict of verdicts) {
        const shown = shownCheck({ ...one, verdict });
        expect(isTechnical(`${shown.title} ${shown.says}`), one.id).toBe(false);
      }
    }
  });

  it("loses nothing of what the engine found", () => {
    for (const one of [...checks, ...unfitChecks]) {
      const shown = shownCheck(one);
      expect([shown.says, ...shown.details].join("\n")).toContain(one.detail);
    }
  });

  it("names who has a port, be it QEMU", () => {
    const detail = "port 26700 (dashboard) is in use by qemu-system-x86_64 (pid 4242)";
    const shown = shownCheck(check({ id: "ports", title: "Ports", detail, evidence: null, remedy: null }));
    expect(shown).toEqual({ title: "Ports", says: detail, advice: null, details: [] });
  });

  it("says of the emulator what stands in its way", () => {
    const instance = (detail: string, kind: "continue" | "stop_and_start" | null) =>
      shownCheck(check({ id: "instance", detail, evidence: null, remedy: kind && { kind } })).says;
    expect(instance("default, stopped", null)).toBe("default, stopped");
    expect(instance("default, paused: a signal has stopped QEMU", "continue")).toBe("paused by a signal");
    expect(instance("default, running, but QEMU cannot be reached", "stop_and_start")).toBe(
      "running, but it cannot be controlled",
    );
  });
});
