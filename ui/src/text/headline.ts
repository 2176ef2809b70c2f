// The Status page's first line: what the emulator is doing, in words, and which buttons make sense.
import type { Activity, Status } from "../bindings";
import { current, doing, manner, taskWords } from "./phases";
import { ago, seconds } from "./quantity";

/** How things are, for the mark beside the words. */
export type Tone = "off" | "busy" | "ok" | "warn" | "bad";

/** The first line, the one under it, and what can be done. */
export type Headline = {
  tone: Tone;
  title: string;
  detail: string;
  can: { start: boolean; stop: boolean };
};

/** Puts the state into words. `now` is in milliseconds since the Unix epoch. */
export function headline(status: Status, activity: Activity | null, now: number): Headline {
  const nothing = { start: false, stop: false };
  if (activity?.outcome.kind === "cancelling") {
    return { tone: "busy", title: "Cancelling", detail: "Cleaning up what was begun", can: nothing };
  }
  if (activity?.outcome.kind === "running" && activity.task !== "rotate" && activity.task !== "pull") {
    const phase = current(activity);
    const detail = phase ? doing(phase.phase) : "Preparing";
    return { tone: "busy", title: taskWords(activity.task).doing, detail, can: nothing };
  }
  const by = status.busy
    ? `By \`stack-emulator ${status.busy.command}\` in process ${status.busy.pid}`
    : null;
  switch (status.state) {
    case "running":
      return running(status, now);
    case "starting":
      return { tone: "busy", title: "Starting", detail: by ?? "Preparing", can: nothing };
    case "stopping":
      return { tone: "busy", title: "Stopping", detail: by ?? "Saving the session", can: nothing };
    case "capturing":
      return {
        tone: "busy",
        title: "Taking a snapshot",
        detail: by ?? "Booting the image once",
        can: nothing,
      };
    case "stopped":
      return stopped(status, by);
    case "paused":
      return {
        tone: "bad",
        title: "Paused",
        detail: "The guest’s disk could not be written. Make room on this disk, then stop and start.",
        can: { start: false, stop: true },
      };
    case "interrupted":
      return {
        tone: "warn",
        title: "Interrupted",
        detail: "A command was killed in its middle. Starting cleans up after it.",
        can: { start: true, stop: true },
      };
    case "died":
      return {
        tone: "bad",
        title: "Stopped unexpectedly",
        detail:
          "The virtual machine ended by itself. Starting boots the session’s disk; nothing you saved is lost.",
        can: { start: true, stop: false },
      };
  }
}

function running(status: Status, now: number): Headline {
  const can = { start: false, stop: true };
  const failing = status.services.filter((service) => service.health === "failing");
  const start = status.start;
  const since = start ? `, ${ago(start.startedAtMs, now)}` : "";
  if (failing.length > 0) {
    const names = failing.map((service) => service.name).join(" and ");
    const verb = failing.length === 1 ? "does" : "do";
    return { tone: "warn", title: "Running, with trouble", detail: `${names} ${verb} not answer`, can };
  }
  if (!start) return { tone: "ok", title: "Running", detail: "", can };
  const secrets = start.rotated ? "with fresh secrets" : "with the image’s placeholder secrets";
  const detail = `${manner(start.kind)} in ${seconds(start.totalMs)} ${secrets}${since}`;
  return { tone: start.rotated ? "ok" : "warn", title: "Running", detail, can };
}

function stopped(status: Status, by: string | null): Headline {
  const can = { start: by === null && status.image !== null, stop: false };
  if (by !== null) return { tone: "off", title: "Stopped", detail: by, can };
  if (!status.image) {
    return { tone: "off", title: "Not set up", detail: "There is no image yet", can };
  }
  if (status.sessionKept) {
    return { tone: "off", title: "Stopped", detail: "Starting continues the last session", can };
  }
  if (status.snapshot) {
    return { tone: "off", title: "Stopped", detail: "Starting resumes the snapshot", can };
  }
  const first = "The first start boots the image once and takes a snapshot";
  return { tone: "off", title: "Stopped", detail: first, can };
}
