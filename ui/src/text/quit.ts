// The question before the app quits: about a running operation, and about the emulator.
import type { Activity, ShownStatus } from "../bindings";
import { taskWords } from "./phases";

/** The question, and the answers to it. */
export type QuitQuestion = {
  text: string;
  /** Whether the emulator can keep running without the app. */
  leave: boolean;
  /** Whether there is an emulator to stop. */
  stop: boolean;
};

/** Whether a virtual machine remains once `activity` is canceled. */
function stays(status: ShownStatus | null, activity: Activity | null): boolean {
  // Unknown does not mean stopped.
  if (!status) return true;
  switch (status.state) {
    case "running":
    case "paused":
    case "stopping":
      return true;
    case "starting":
    case "capturing":
      // A start by this app ends with its activity.
      return activity === null;
    case "stopped":
    case "interrupted":
    case "died":
      return false;
  }
}

/** What quitting means now. `activity`: the running one, if any. */
export function quitQuestion(status: ShownStatus | null, activity: Activity | null): QuitQuestion {
  if (activity?.task === "stop") {
    return { text: "The emulator is stopping. The app quits when it has stopped.", leave: false, stop: true };
  }
  const runs = stays(status, activity);
  const text = [];
  if (activity) {
    text.push(`${taskWords(activity.task).doing} is not finished. Quitting cancels it.`);
    if (activity.task === "pull" || activity.task === "set_up")
      text.push("The download continues from the same point next time.");
  }
  if (runs) {
    text.push(
      activity ? "The emulator is also running." : "The emulator is running.",
      "It can keep running without the app. Stopping it saves the session.",
    );
  }
  if (text.length === 0) text.push("The emulator is no longer running.");
  return { text: text.join(" "), leave: runs, stop: runs };
}
