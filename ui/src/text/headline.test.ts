import { describe, expect, it } from "vitest";

import { NOW, activity, empty, running, services, startSummary, stopped } from "../../mock/data";
import type { PausedBy, ShownStatus, State } from "../bindings";
import { headline } from "./headline";
import { isTechnical } from "./jargon";

/** The line as one text, with ordinary spaces. */
function line(status: ShownStatus, work = activity({ outcome: { kind: "finished" } })): string {
  const { title, detail } = headline(status, work, NOW);
  return `${title}: ${detail}`.replaceAll("\u00a0", " ");
}

describe("the headline", () => {
  it("says how the emulator was started, how fast, and when", () => {
    expect(line(running)).toBe("Running: Resumed in 0.71 s with fresh secrets, 26 minutes ago");
    const cold = { ...startSummary, kind: "cold", total_ms: 21_900, rotated: false } as const;
    expect(line({ ...running, start: cold })).toBe(
      "Running: Booted cold in 21.9 s with the image’s placeholder secrets, 26 minutes ago",
    );
  });

  it("never shows success while a service is unhealthy or the secrets are public", () => {
    const unhealthy = services.map((service, index) =>
      index < 2 ? { ...service, health: "failing" as const } : service,
    );
    const trouble = headline({ ...running, services: unhealthy }, null, NOW);
    expect([trouble.tone, trouble.detail]).toEqual(["warn", "Dashboard and Backend API are unhealthy"]);
    const open = { ...running, start: { ...startSummary, rotated: false } };
    expect(headline(open, null, NOW).tone).toBe("warn");
  });

  it("says what a start will do", () => {
    expect(line(stopped)).toBe("Stopped: Starting continues the last session");
    const next = (next_start: ShownStatus["next_start"]): string => line({ ...stopped, next_start });
    expect(next({ kind: "standby", memory: 54_000_000 })).toMatch(/last session at once: it stands by/);
    expect(next({ kind: "goes_on" })).toMatch(/last session at once: it is still in memory$/);
    expect(next({ kind: "prepared" })).toMatch(/last session, with fresh secrets prepared$/);
    expect(next({ kind: "preparing" })).toMatch(/; fresh secrets are being prepared$/);
    expect(next({ kind: "plain", rotation_ms: 104_000 })).toMatch(
      /; replacing its secrets takes about 104 s$/,
    );
    expect(line({ ...stopped, session_saved: false })).toBe(
      "Stopped: Starting boots the last session’s disk",
    );
    expect(line({ ...stopped, session_kept: false })).toBe("Stopped: Starting resumes the snapshot");
    expect(line({ ...stopped, session_kept: false, snapshot: null })).toContain("takes a snapshot");
    expect(line(empty)).toBe("Not set up: There is no image yet");
    expect(headline(empty, null, NOW).can.start).toBe(false);
  });

  it("shows the phase of this app's operation before the observed state", () => {
    const phases = [{ stage: "start", phase: "rotate", ms: null, bytes: null }] as const;
    expect(line(stopped, activity({ phases: [...phases] }))).toBe("Starting: Rotating the secrets");
    expect(line(stopped, activity({ outcome: { kind: "cancelling" } }))).toBe("Canceling: Cleaning up");
    // A download does not change what the emulator is doing.
    expect(line(running, activity({ task: "pull" }))).toMatch(/^Running: /);
  });

  it("names the command that another process is running, and offers nothing meanwhile", () => {
    const busy = { pid: 7, command: "capture" };
    const head = headline({ ...stopped, state: "capturing", busy }, null, NOW);
    expect(head.detail).toBe("`stack-emulator capture` is running (process 7)");
    expect(head.can).toEqual({ start: false, stop: false });
    expect(headline({ ...stopped, busy }, null, NOW).can.start).toBe(false);
  });

  it("says why the virtual machine stands still", () => {
    const paused = (paused_by: PausedBy | null) =>
      headline({ ...running, state: "paused", paused_by }, null, NOW).title;
    expect(paused("disk")).toBe("Paused: disk not writable");
    expect(paused("signal")).toBe("Paused by a signal");
    expect(paused("fault")).toContain("fault");
    expect(paused(null)).toBe(paused("request"));
  });

  it("tells a guest that powered itself off from a crash", () => {
    const died = (ended_by: ShownStatus["ended_by"]) =>
      headline({ ...stopped, state: "died", ended_by }, null, NOW);
    expect(died(null).title).toBe("Stopped unexpectedly");
    expect([died("guest").title, died("guest").tone]).toEqual(["Powered off from inside", "off"]);
    expect(died("signal").detail).toBe(died(null).detail);
  });

  it("says what to do where QEMU is out of reach, and whose secrets are in force", () => {
    expect(headline({ ...running, unreachable: true }, null, NOW).detail).toContain("Stop it");
    const kept = { ...running, start: { ...startSummary, secrets_kept: true } };
    expect(headline(kept, null, NOW).detail).toContain("with the session’s own secrets");
  });

  it("names nothing that not everybody knows", () => {
    const every = [
      ...(["disk", "fault", "signal", "request"] as const).map((paused_by) => ({
        ...running,
        state: "paused" as const,
        paused_by,
      })),
      { ...running, unreachable: true },
      { ...stopped, state: "died" as const },
    ];
    for (const status of every) {
      const { title, detail } = headline(status, null, NOW);
      expect(isTechnical(`${title} ${detail}`), title).toBe(false);
    }
  });

  it("has words for every state", () => {
    const states: State[] = [
      "stopped",
      "starting",
      "running",
      "paused",
      "stopping",
      "capturing",
      "interrupted",
      "died",
    ];
    const lines = states.map((state) => headline({ ...running, state }, null, NOW));
    expect(new Set(lines.map(({ title }) => title)).size).toBe(states.length);
    expect(lines.every(({ detail }) => detail !== "")).toBe(true);
  });
});
