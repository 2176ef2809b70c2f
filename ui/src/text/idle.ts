// After how long a running emulator is stopped that nothing uses.
import { plural } from "./quantity";

/** What can be chosen, in minutes; 0 is never. */
const USUAL = [0, 15, 30, 60, 120] as const;

/** The choices, and the present one if the command line has set another. In minutes; 0 is never. */
export function idleChoices(now: number | null): { minutes: number; text: string }[] {
  const minutes = [...new Set([...USUAL, now ?? 0])].sort((one, other) => one - other);
  return minutes.map((minutes) => ({ minutes, text: minutes === 0 ? "Off" : `After ${span(minutes)}` }));
}

/** Minutes in the greatest unit that they are whole numbers of: `90 minutes`, `2 hours`, `1 day`. */
export function span(minutes: number): string {
  if (minutes % 1440 === 0) return plural(minutes / 1440, "day");
  return minutes % 60 === 0 ? plural(minutes / 60, "hour") : plural(minutes, "minute");
}

/** What the present choice means. */
export const aboutIdle = (now: number | null): string =>
  now === null
    ? "The emulator runs until it is stopped."
    : "Stops when nothing has connected to it for that long, and keeps the session. An open page counts as use.";
