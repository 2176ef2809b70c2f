// Which step of the first-run wizard is shown: decided by what is so, and only then by what was clicked, so
// that closing the window or killing the app in the middle leads back to the same place.
import type { Activity, Check, Examination, Status } from "../bindings";

/** The steps, in order. */
export const STEPS = [
  { id: "checks", title: "Check" },
  { id: "image", title: "Image" },
  { id: "work", title: "Set up" },
  { id: "ready", title: "Ready" },
] as const;
export type Step = (typeof STEPS)[number]["id"];

/** Checks that fail on a machine that has nothing yet, which is what the wizard is for. */
const ABOUT_THE_IMAGE = new Set(["image", "snapshot"]);

/** What is looked at before there is an image. */
export function hostChecks(examination: Examination): Check[] {
  return examination.checks.filter((check) => !ABOUT_THE_IMAGE.has(check.id));
}

/** Whether nothing stands in the way. */
export function isFit(checks: readonly Check[]): boolean {
  return checks.every((check) => check.verdict !== "failed");
}

/** The step to show. `chosen` is where the user has clicked to. */
export function step(chosen: "checks" | "image", status: Status | null, activity: Activity | null): Step {
  if (activity?.task === "set_up") {
    return activity.outcome.kind === "finished" ? "ready" : "work";
  }
  if (status?.state === "running" && chosen === "image") return "ready";
  return chosen;
}
