// What is asked before the app ends: of what is under way, and of the emulator.
import type { Activity, Status } from "../bindings";
import { taskWords } from "./phases";

/** The question, and the answers to it. */
export type QuitQuestion = {
  text: string;
  /** Whether there is a machine that can go on without the app. */
  leave: boolean;
  /** Whether there is one to be stopped. */
  stop: boolean;
};

/** Whether a virtual machine is there once `activity` was cancelled. */
function stays(status: Status | null, activity: Activity | null): boolean {
  // Not known is not stopped.
  if (!status) return true;
  switch (status.state) {
    case "running":
    case "paused":
    case "stopping":
      return true;
    case "starting":
    case "capturing":
      // One that this app is still bringing up goes with the activity.
      return activity === null;
    case "stopped":
    case "interrupted":
    case "died":
      return false;
  }
}

/** Puts into words what quitting means now. `activity` is under way, if there is one. */
export function quitQuestion(status: Status | null, activity: Activity | null): QuitQuestion {
  if (activity?.task === "stop") {
    return { text: "The emulator is being stopped. Quitting waits for that.", leave: false, stop: true };
  }
  const runs = stays(status, activity);
  const text = [];
  if (activity) {
    text.push(`${taskWords(activity.task).doing} is still under way, and quitting cancels it.`);
    if (activity.task === "pull" || activity.task === "set_up")
      text.push("What was downloaded is kept, and goes on from there the next time.");
  }
  if (runs) {
    text.push(
      activity ? "The emulator itself is running." : "The emulator is running.",
      "It can go on without this app; the command line and the next launch find it.",
    );
  }
  if (text.length === 0) text.push("The emulator no longer runs.");
  return { text: text.join(" "), leave: runs, stop: runs };
}
