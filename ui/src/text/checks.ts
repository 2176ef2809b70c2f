// What a check of this computer means for its user. The engine's own words stand behind “Details”.
import type { Check } from "../bindings";
import { isTechnical } from "./jargon";
import { advise } from "./remedies";
import type { Advice } from "./remedies";

/** A check in words. */
export type ShownCheck = {
  title: string;
  says: string;
  advice: Advice | null;
  /** The engine's words and the evidence, a paragraph each; empty if there is no more than what is shown. */
  details: string[];
};

type Words = { title: string; says: (check: Check) => string };

const ONLY_UNTIL_RESTART = "kept only until this computer restarts.";

/** The checks whose words not everybody knows. */
const PLAIN: Readonly<Record<string, Words>> = {
  qemu: {
    title: "Software",
    says: ({ verdict }) =>
      verdict === "ok"
        ? "The program for virtual machines is installed."
        : "The program for virtual machines is missing, or cannot be used.",
  },
  firmware: {
    title: "Firmware",
    says: ({ verdict }) =>
      verdict === "ok"
        ? "The virtual machine’s firmware is installed."
        : "The virtual machine’s firmware is missing.",
  },
  accelerator: {
    title: "Speed",
    says: ({ verdict, remedy }) => {
      if (verdict === "ok") return "Starts are fast on this computer.";
      if (verdict === "failed") return "Virtual machines do not work on this computer.";
      return remedy?.kind === "use_fastest"
        ? "Starts are slower than this computer allows."
        : "Starts will be slower on this computer.";
    },
  },
  instance: {
    title: "Instance",
    says: ({ detail, remedy }) => {
      if (!isTechnical(detail)) return detail;
      return remedy?.kind === "continue" ? "paused by a signal" : "running, but it cannot be controlled";
    },
  },
  secrets: {
    title: "Secrets",
    says: ({ verdict }) => {
      if (verdict === "ok") return "Secrets are kept safely on this computer.";
      if (verdict === "failed") return "Secrets cannot be kept on this computer.";
      return `Secrets are ${ONLY_UNTIL_RESTART}`;
    },
  },
  secrets_in_force: {
    title: "Secrets in use",
    says: () => `The secrets in use are ${ONLY_UNTIL_RESTART}`,
  },
};

/** Puts a check into words. */
export function shownCheck(check: Check): ShownCheck {
  const plain = Object.hasOwn(PLAIN, check.id) ? PLAIN[check.id] : undefined;
  const says = plain ? plain.says(check) : check.detail;
  const advice = check.remedy && advise(check.remedy);
  const named = plain?.title === check.title || check.detail.startsWith(check.title);
  const own = says === check.detail ? [] : [named ? check.detail : `${check.title}: ${check.detail}`];
  return {
    title: plain?.title ?? check.title,
    says,
    advice,
    details: [...own, ...[check.evidence, advice?.technical].filter((text) => text != null)],
  };
}
