// Which step of the first-run wizard is shown: the state decides first, then what was clicked. So closing the
// window or killing the app leads back to the same step.
import type { Activity, Check, Examination, ShownStatus } from "../bindings";

/** The steps, in order. */
export const STEPS = [
  { id: "checks", title: "Check" },
  { id: "image", title: "Image" },
  { id: "work", title: "Set up" },
  { id: "ready", title: "Ready" },
] as const;
export type Step = (typeof STEPS)[number]["id"];

/** Checks that fail before anything is installed, which the wizard does. */
const ABOUT_THE_IMAGE = new Set(["image", "snapshot"]);

/** The checks that do not need an image. */
export function hostChecks(examination: Examination): Check[] {
  return examination.checks.filter((check) => !ABOUT_THE_IMAGE.has(check.id));
}

/** Whether no check failed. */
export function isFit(checks: readonly Check[]): boolean {
  return checks.every((check) => check.verdict !== "failed");
}

/** The step to show. `chosen`: where the user clicked to. */
export function step(
  chosen: "checks" | "image",
  status: ShownStatus | null,
  activity: Activity | null,
): Step {
  if (activity?.task === "set_up") {
    return activity.outcome.kind === "finished" ? "ready" : "work";
  }
  if (status?.state === "running" && chosen === "image") return "ready";
  return chosen;
}
