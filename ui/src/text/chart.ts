// The phases of a start as parts of a bar, beside what the same takes without a snapshot.
import { phaseName } from "./phases";

/** One part of the bar. */
export type Part = {
  name: string;
  label: string;
  ms: number;
  /** In percent of the widest bar. */
  percent: number;
  /** Which colour; phases keep theirs whatever others there are. */
  colour: string;
};

const COLOURS: Readonly<Record<string, string>> = {
  qemu: "1",
  load: "2",
  boot: "2",
  agent: "3",
  clock: "3",
  rotate: "5",
  ready: "6",
};

/** Phases below this share of the whole have no place in a legend. */
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
      colour: COLOURS[name] ?? "other",
    });
  }
  if (rest > 0) {
    made.push({ name: "rest", label: "Other", ms: rest, percent: (rest / scale) * 100, colour: "other" });
  }
  return made;
}
