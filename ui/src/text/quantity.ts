// Numbers with units, three significant digits at most: the same forms as on the command line.

/** A number and its unit stay on one line. */
const GAP = "\u00a0";

/** A time in milliseconds: `41 ms` below a tenth of a second where `fine`, else seconds. */
export function seconds(ms: number, fine = false): string {
  if (fine && ms < 99.5) return `${Math.round(ms)}${GAP}ms`;
  return `${significant(ms / 1000)}${GAP}s`;
}

/** A size in bytes, in decimal units as disks are sold in. */
export function bytes(size: number): string {
  if (size < 1000) return `${size}${GAP}B`;
  let value = size;
  let unit = "B";
  for (const next of ["kB", "MB", "GB", "TB"]) {
    // What would be shown as 1000 is 1.00 of the next unit.
    if (value < 999.5) break;
    value /= 1000;
    unit = next;
  }
  return `${significant(value)}${GAP}${unit}`;
}

/** The virtual machine's memory, in whole binary units: `4 GB`. */
export function memory(mib: number): string {
  return mib % 1024 === 0 ? `${mib / 1024}${GAP}GB` : `${mib}${GAP}MB`;
}

/** A computer's memory; not a round number, since the system reserves a part of it: `23.5 GB`. */
export function hostMemory(mib: number): string {
  return mib < 1024 ? memory(mib) : `${significant(mib / 1024)}${GAP}GB`;
}

/** A rate in bytes per second. */
export function rate(bytesPerSecond: number): string {
  return `${bytes(Math.round(bytesPerSecond))}/s`;
}

/** How much of how much, in the total's unit: `148 MB of 256 MB`. */
export function ofTotal(done: number, total: number): string {
  return `${bytes(done)} of ${bytes(total)}`;
}

/** How much of its time something long has taken: `42 s of 300 s`; null while it has taken little. */
export function ofItsTime(takenMs: number, limitMs: number): string | null {
  if (takenMs < 10_000) return null;
  return `${Math.floor(takenMs / 1000)}${GAP}s of ${Math.round(limitMs / 1000)}${GAP}s`;
}

/** A duration in its largest unit: `26 minutes`. */
export function span(ms: number): string {
  const passed = Math.max(0, Math.floor(ms / 1000));
  if (passed < 60) return plural(passed, "second");
  if (passed < 3600) return plural(Math.floor(passed / 60), "minute");
  if (passed < 172_800) return plural(Math.floor(passed / 3600), "hour");
  return plural(Math.floor(passed / 86_400), "day");
}

/** The same in short: `26 min`. */
export function shortSpan(ms: number): string {
  return span(ms)
    .replace(/ seconds?/, " s")
    .replace(/ minutes?/, " min")
    .replace(/ hours?/, " h");
}

/** A moment in the past: `26 minutes ago`. */
export function ago(then: number, now: number): string {
  const passed = now - then;
  return passed < 5000 ? "just now" : `${span(passed)} ago`;
}

/** Time left of a transfer, rounded so that it does not flicker: `about 2 minutes left`. */
export function left(secondsLeft: number): string {
  if (secondsLeft < 10) return "a few seconds left";
  if (secondsLeft < 55) return `about ${Math.round(secondsLeft / 5) * 5} seconds left`;
  if (secondsLeft < 5400) return `about ${plural(Math.round(secondsLeft / 60), "minute")} left`;
  return `about ${plural(Math.round(secondsLeft / 3600), "hour")} left`;
}

/** A day, as it is written where the user is. */
export function day(ms: number): string {
  return new Date(ms).toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric" });
}

/** How many times one time is another: `26×`. */
export function factor(of: number, by: number): string {
  const times = of / by;
  return times < 9.95 ? `${times.toFixed(1)}×` : `${Math.round(times)}×`;
}

/** `1 hour`, `2 hours`. */
export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

function significant(value: number): string {
  // The bounds are where rounding would add a digit.
  if (value < 9.995) return value.toFixed(2);
  if (value < 99.95) return value.toFixed(1);
  return value.toFixed(0);
}
