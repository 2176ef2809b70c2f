// The first line of the Status page: the emulator's state in words, and which buttons make sense.
import type { Activity, EndedBy, Holder, OtherSetting, PausedBy, ShownStatus } from "../bindings";
import { current, doing, manner, taskWords } from "./phases";
import { ago, seconds } from "./quantity";

/** What takes longer is worth a word before it begins, in milliseconds. */
const NOTICEABLE_MS = 2000;

/** The mark beside the words. */
export type Tone = "off" | "busy" | "ok" | "warn" | "bad";

/** The first line, the one under it, and the actions on offer. */
export type Headline = {
  tone: Tone;
  title: string;
  detail: string;
  can: { start: boolean; stop: boolean };
};

/** Why a virtual machine stands still, and what helps. */
const PAUSES: Record<PausedBy, { title: string; detail: string }> = {
  disk: {
    title: "Paused: disk not writable",
    detail: "The virtual machine cannot write to its disk. Free disk space, then select Continue.",
  },
  fault: {
    title: "Paused: fault in the virtual machine",
    detail: "It cannot go on; the logs may say why. Stop it, then start it again.",
  },
  signal: {
    title: "Paused by a signal",
    detail: "Another program has stopped the virtual machine. Select Continue to have it go on.",
  },
  request: {
    title: "Paused by another program",
    detail: "Select Continue to have the virtual machine go on.",
  },
};

/** How a virtual machine ended that nobody has stopped; all but a crash. */
const ENDS: Record<EndedBy, string> = {
  guest: "Powered off from inside",
  signal: "Ended by a signal",
  reboot: "Ended with the host’s last session",
};

/** Puts the state into words. `now` is in milliseconds since the Unix epoch. */
export function headline(status: ShownStatus, activity: Activity | null, now: number): Headline {
  const nothing = { start: false, stop: false };
  if (activity?.outcome.kind === "cancelling") {
    return { tone: "busy", title: "Canceling", detail: "Cleaning up", can: nothing };
  }
  if (activity?.outcome.kind === "running" && activity.task !== "rotate" && activity.task !== "pull") {
    const phase = current(activity);
    const detail = phase ? doing(phase.phase) : "Preparing";
    return { tone: "busy", title: taskWords(activity.task).doing, detail, can: nothing };
  }
  const other = status.busy ? otherProcess(status.busy) : null;
  switch (status.state) {
    case "running":
      return running(status, now);
    case "starting":
      return { tone: "busy", title: "Starting", detail: other ?? "Preparing", can: nothing };
    case "stopping":
      return { tone: "busy", title: "Stopping", detail: other ?? "Saving the session", can: nothing };
    case "capturing":
      return {
        tone: "busy",
        title: "Taking a snapshot",
        detail: other ?? "Booting the image once",
        can: nothing,
      };
    case "stopped":
      return stopped(status, other);
    case "paused": {
      const { title, detail } = PAUSES[status.paused_by ?? "request"];
      return { tone: "bad", title, detail: other ?? detail, can: { start: true, stop: true } };
    }
    case "interrupted":
      return {
        tone: "warn",
        title: "Interrupted",
        detail: "A command was killed before it finished. Start cleans up.",
        can: { start: true, stop: true },
      };
    case "died":
      return {
        tone: status.ended_by ? "off" : "bad",
        title: status.ended_by ? ENDS[status.ended_by] : "Stopped unexpectedly",
        detail: "Session disk kept. Starting boots it; saved data is still there.",
        can: { start: true, stop: false },
      };
  }
}

/** What the next start changes. */
export const changes = (settings: OtherSetting[]): string =>
  settings.map(({ setting, now, next }) => `${setting} from ${now} to ${next}`).join(", ");

/** A command of another process that is at work on the instance. */
const otherProcess = ({ command, pid }: Holder): string =>
  `\`stack-emulator ${command}\` is running (process ${pid})`;

function running(status: ShownStatus, now: number): Headline {
  const can = { start: false, stop: true };
  const failing = status.services.filter((service) => service.health === "failing");
  if (status.unreachable) {
    const detail = "Stop it: the session’s disk is kept, its memory cannot be.";
    return { tone: "bad", title: "Running, but it cannot be controlled", detail, can };
  }
  const start = status.start;
  const since = start ? `, ${ago(start.started_at_ms, now)}` : "";
  if (failing.length > 0) {
    const names = failing.map((service) => service.name).join(" and ");
    const verb = failing.length === 1 ? "is" : "are";
    return { tone: "warn", title: "Running with problems", detail: `${names} ${verb} unhealthy`, can };
  }
  if (!start) return { tone: "ok", title: "Running", detail: "", can };
  const secrets = !start.rotated
    ? "with the image’s placeholder secrets"
    : start.kind === "restored"
      ? `from the checkpoint ${start.checkpoint ?? ""}`
      : start.secrets_kept
        ? "with the session’s own secrets"
        : "with fresh secrets";
  const detail = `${manner(start.kind)} in ${seconds(start.total_ms)} ${secrets}${since}`;
  return { tone: start.rotated ? "ok" : "warn", title: "Running", detail, can };
}

/** What is done ahead of a start, as the end of a sentence; nothing where nobody would notice. */
function prepared({ next_start: next }: ShownStatus): string {
  switch (next?.kind) {
    case undefined:
      return "";
    case "standby":
      return " at once: it stands by in memory, with fresh secrets";
    case "prepared":
      return ", with fresh secrets prepared";
    case "goes_on":
      return " at once: it is still in memory";
    case "preparing":
      return "; fresh secrets are being prepared";
    case "plain": {
      const took = next.rotation_ms ?? 0;
      return took < NOTICEABLE_MS ? "" : `; replacing its secrets takes about ${seconds(took)}`;
    }
  }
}

function stopped(status: ShownStatus, other: string | null): Headline {
  const can = { start: other === null && status.image_in_use !== null, stop: false };
  if (other !== null) return { tone: "off", title: "Stopped", detail: other, can };
  if (!status.image_in_use) {
    return { tone: "off", title: "Not set up", detail: "There is no image yet", can };
  }
  if (status.session_kept) {
    const detail = status.session_saved
      ? `Starting continues the last session${prepared(status)}`
      : "Starting boots the last session’s disk";
    return { tone: "off", title: "Stopped", detail, can };
  }
  if (status.snapshot) {
    return { tone: "off", title: "Stopped", detail: `Starting resumes the snapshot${prepared(status)}`, can };
  }
  const first = "The first start boots the image once and takes a snapshot";
  return { tone: "off", title: "Stopped", detail: first, can };
}
