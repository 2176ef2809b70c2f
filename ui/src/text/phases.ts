// The names of tasks, stages and phases while they run and afterwards.
import type { Activity, Phase, PhaseProgress, Stage, StartKind, Task } from "../bindings";
import { ofItsTime } from "./quantity";

const PHASES: Readonly<Record<Phase, { doing: string; name: string }>> = {
  lock: { doing: "Waiting for another command to finish", name: "Wait" },
  prepare: { doing: "Preparing", name: "Prepare" },
  qemu: { doing: "Launching the virtual machine", name: "Launch" },
  load: { doing: "Loading the saved state", name: "Load" },
  agent: { doing: "Waking the virtual machine", name: "Wake" },
  clock: { doing: "Setting the clock", name: "Clock" },
  rotate: { doing: "Rotating the secrets", name: "Rotate" },
  boot: { doing: "Booting the virtual machine", name: "Boot" },
  ready: { doing: "Waiting for the services", name: "Ready" },
  folders: { doing: "Updating the shared folders", name: "Folders" },
  settle: { doing: "Waiting until the services are idle", name: "Settle" },
  sync: { doing: "Writing pending data to disk", name: "Sync" },
  pause: { doing: "Pausing the virtual machine", name: "Pause" },
  save: { doing: "Saving the virtual machine’s state", name: "Save" },
  commit: { doing: "Completing the files", name: "Commit" },
  quit: { doing: "Ending the virtual machine", name: "Quit" },
  verify: { doing: "Verifying", name: "Verify" },
  archive: { doing: "Compressing", name: "Compress" },
  resolve: { doing: "Looking for the image", name: "Find" },
  download: { doing: "Downloading", name: "Download" },
  extract: { doing: "Unpacking", name: "Unpack" },
  reread: { doing: "Checking the downloaded part", name: "Check" },
  copy: { doing: "Copying the image", name: "Copy" },
};

const TASKS: Readonly<Record<Task, { doing: string; cancelled: string }>> = {
  start: { doing: "Starting", cancelled: "Start canceled" },
  stop: { doing: "Stopping", cancelled: "Stop canceled" },
  restart: { doing: "Restarting", cancelled: "Restart canceled" },
  reset: { doing: "Resetting", cancelled: "Reset canceled" },
  capture: { doing: "Taking a snapshot", cancelled: "Snapshot canceled" },
  pull: { doing: "Installing the image", cancelled: "Download paused" },
  set_up: { doing: "Setting up", cancelled: "Setup paused" },
  rotate: { doing: "Rotating the secrets", cancelled: "Rotation canceled" },
  checkpoint: { doing: "Creating a checkpoint", cancelled: "Checkpoint canceled" },
  restore: { doing: "Restoring a checkpoint", cancelled: "Restore canceled" },
};

const STAGES: Readonly<Record<Stage, { title: string; about: string }>> = {
  pull: { title: "Install the image", about: "Downloads the image once and checks it." },
  capture: { title: "Take a snapshot", about: "Boots the image once and saves its idle state." },
  start: { title: "Start", about: "Resumes the snapshot with fresh secrets." },
  stop: { title: "Stop", about: "Saves the session." },
  rotate: { title: "Rotate the secrets", about: "" },
  reset: { title: "Discard the session", about: "" },
  checkpoint: { title: "Create a checkpoint", about: "" },
};

/** A phase while it runs: `Waking the virtual machine`. */
export const doing = (phase: Phase): string => PHASES[phase].doing;

/** A phase in a legend: `Wake`. The name may come from a newer engine. */
export function phaseName(name: string): string {
  return Object.hasOwn(PHASES, name)
    ? PHASES[name as Phase].name
    : name.charAt(0).toUpperCase() + name.slice(1);
}

/** The words for a task. */
export const taskWords = (task: Task): (typeof TASKS)[Task] => TASKS[task];

/** The words for a stage. */
export const stageWords = (stage: Stage): (typeof STAGES)[Stage] => STAGES[stage];

/** How the virtual machine was started, as the beginning of a sentence. */
export function manner(kind: StartKind): string {
  switch (kind) {
    case "resumed":
      return "Resumed";
    case "continued":
      return "Continued";
    case "cold":
      return "Booted cold";
    case "restored":
      return "Restored";
  }
}

/** The running phase of an activity. */
export function current(activity: Activity): PhaseProgress | null {
  return activity.phases.findLast((phase) => phase.ms === null) ?? null;
}

/** The state of a stage. */
export type StageState = "waiting" | "running" | "done" | "failed" | "cancelled";

/** The state of each stage. Stages run in order: the last one with a phase is the running one. */
export function stageStates(activity: Activity): { stage: Stage; state: StageState; ms: number | null }[] {
  const begun = activity.stages.map((stage) => activity.phases.some((phase) => phase.stage === stage));
  const last = begun.lastIndexOf(true);
  return activity.stages.map((stage, index) => {
    const times = activity.phases.filter((phase) => phase.stage === stage);
    const ms = times.reduce((sum, phase) => sum + (phase.ms ?? 0), 0);
    const kind = activity.outcome.kind;
    if (kind === "finished" || index < last)
      return { stage, state: "done", ms: times.length > 0 ? ms : null };
    // Before any phase has begun, the first stage is the running one.
    if (index > Math.max(last, 0)) return { stage, state: "waiting", ms: null };
    const state = kind === "failed" ? "failed" : kind === "cancelled" ? "cancelled" : "running";
    return { stage, state, ms: null };
  });
}

/** How much of the time that it has a running activity has used; null if that is little, or it has no limit. */
export function timeUsed({ limit, outcome }: Activity, now: number): string | null {
  if (limit === null || outcome.kind !== "running") return null;
  return ofItsTime(now - limit.began_at_ms, limit.limit_ms);
}
