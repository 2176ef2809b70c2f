// What tasks, stages and phases are called while they run and once they are over.
import type { Activity, Phase, PhaseProgress, Stage, StartKind, Task } from "../bindings";

const PHASES: Readonly<Record<Phase, { doing: string; name: string }>> = {
  lock: { doing: "Waiting for another command", name: "Wait" },
  prepare: { doing: "Preparing", name: "Prepare" },
  qemu: { doing: "Starting QEMU", name: "QEMU" },
  load: { doing: "Loading the saved machine", name: "Load" },
  agent: { doing: "Waking the guest", name: "Wake" },
  clock: { doing: "Setting the clock", name: "Clock" },
  rotate: { doing: "Replacing the secrets", name: "Rotate" },
  boot: { doing: "Booting the guest", name: "Boot" },
  ready: { doing: "Waiting for the services", name: "Ready" },
  settle: { doing: "Waiting for the guest to be quiet", name: "Settle" },
  sync: { doing: "Syncing the guest’s disk", name: "Sync" },
  save: { doing: "Saving the machine", name: "Save" },
  commit: { doing: "Finishing the files", name: "Commit" },
  quit: { doing: "Stopping QEMU", name: "Quit" },
  verify: { doing: "Verifying", name: "Verify" },
  archive: { doing: "Compressing", name: "Archive" },
  resolve: { doing: "Looking for the image", name: "Find" },
  download: { doing: "Downloading", name: "Download" },
  unpack: { doing: "Unpacking", name: "Unpack" },
  check: { doing: "Checking the image", name: "Check" },
  install: { doing: "Installing the image", name: "Install" },
};

const TASKS: Readonly<Record<Task, { doing: string; done: string; failed: string; cancelled: string }>> = {
  start: {
    doing: "Starting",
    done: "Started",
    failed: "The start failed",
    cancelled: "The start was cancelled",
  },
  stop: {
    doing: "Stopping",
    done: "Stopped",
    failed: "The stop failed",
    cancelled: "The stop was cancelled",
  },
  restart: {
    doing: "Restarting",
    done: "Restarted",
    failed: "The restart failed",
    cancelled: "The restart was cancelled",
  },
  reset: {
    doing: "Dropping the session",
    done: "Session dropped",
    failed: "The reset failed",
    cancelled: "The reset was cancelled",
  },
  capture: {
    doing: "Taking a snapshot",
    done: "Snapshot taken",
    failed: "The snapshot failed",
    cancelled: "The snapshot was cancelled",
  },
  pull: {
    doing: "Getting the image",
    done: "Image installed",
    failed: "The image could not be had",
    cancelled: "The download was paused",
  },
  set_up: {
    doing: "Setting up",
    done: "Ready",
    failed: "The set-up did not finish",
    cancelled: "The set-up was paused",
  },
  rotate: {
    doing: "Replacing the secrets",
    done: "Secrets replaced",
    failed: "The rotation failed",
    cancelled: "The rotation was cancelled",
  },
};

const STAGES: Readonly<Record<Stage, { title: string; about: string }>> = {
  pull: { title: "Get the image", about: "Downloaded once, and checked." },
  capture: {
    title: "Take a snapshot",
    about: "Boots the image once, waits until it is quiet, and freezes it.",
  },
  start: { title: "Start", about: "Resumes the snapshot with fresh secrets." },
  stop: { title: "Stop", about: "Saves the session." },
  rotate: { title: "Replace the secrets", about: "" },
  reset: { title: "Drop the session", about: "" },
};

/** A phase while it runs: `Waking the guest`. */
export const doing = (phase: Phase): string => PHASES[phase].doing;

/** A phase in a legend: `Wake`. The name may come from a newer engine. */
export function phaseName(name: string): string {
  return Object.hasOwn(PHASES, name)
    ? PHASES[name as Phase].name
    : name.charAt(0).toUpperCase() + name.slice(1);
}

/** What a task is called, by how it stands. */
export const taskWords = (task: Task): (typeof TASKS)[Task] => TASKS[task];

/** What a stage is called. */
export const stageWords = (stage: Stage): (typeof STAGES)[Stage] => STAGES[stage];

/** How a machine came to run, as the beginning of a sentence. */
export function manner(kind: StartKind): string {
  switch (kind) {
    case "resumed":
      return "Resumed";
    case "continued":
      return "Continued";
    case "cold":
      return "Booted cold";
  }
}

/** The phase that an activity is in. */
export function current(activity: Activity): PhaseProgress | null {
  return activity.phases.findLast((phase) => phase.ms === null) ?? null;
}

/** How a stage of an activity stands. */
export type StageState = "waiting" | "running" | "done" | "failed" | "cancelled";

/** Stages are done in order, so the last one that has a phase is the one at work. */
export function stageStates(activity: Activity): { stage: Stage; state: StageState; ms: number | null }[] {
  const begun = activity.stages.map((stage) => activity.phases.some((phase) => phase.stage === stage));
  const last = begun.lastIndexOf(true);
  return activity.stages.map((stage, index) => {
    const times = activity.phases.filter((phase) => phase.stage === stage);
    const ms = times.reduce((sum, phase) => sum + (phase.ms ?? 0), 0);
    const kind = activity.outcome.kind;
    if (kind === "finished" || index < last)
      return { stage, state: "done", ms: times.length > 0 ? ms : null };
    // Where nothing has begun yet, the first stage is what is being worked on.
    if (index > Math.max(last, 0)) return { stage, state: "waiting", ms: null };
    const state = kind === "failed" ? "failed" : kind === "cancelled" ? "cancelled" : "running";
    return { stage, state, ms: null };
  });
}
