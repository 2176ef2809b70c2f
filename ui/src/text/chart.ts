// The phases of a start as parts of a bar.
import { phaseName } from "./phases";

/** One part of the bar. */
export type Part = {
  name: string;
  label: string;
  ms: number;
  /** In percent of the widest bar. */
  percent: number;
  /** A phase has the same color in every chart. */
  color: string;
};

const COLORS: Readonly<Record<string, string>> = {
  qemu: "1",
  load: "2",
  boot: "2",
  agent: "3",
  clock: "3",
  rotate: "5",
  ready: "6",
};

/** Smaller phases are gathered in one part. */
const SMALLEST_SHARE = 0.03;

/** Makes parts of phases. `scaleMs` is what 100 % stands for. */
export function parts(phases: readonly { name: string; ms: number }[], scaleMs: number): Part[] {
  const total = phases.reduce((sum, phase) => sum + phase.ms, 0);
  const scale = Math.max(scaleMs, total, 1);
  const made: Part[] = [];
  let rest = 0;
  for (const { name, ms } of phases) {
    if (ms < total * SMALLEST_SHARE) {
      rest += ms;
      continue;
    }
    made.push({
      name,
      label: phaseName(name),
      ms,
      percent: (ms / scale) * 100,
      color: COLORS[name] ?? "other",
    });
  }
  if (rest > 0) {
    made.push({ name: "rest", label: "Other", ms: rest, percent: (rest / scale) * 100, color: "other" });
  }
  return made;
}
