// The choices of what is done ahead of the next start, and what each of them means.
import type { Ahead, Settings } from "../bindings";

type Known = Pick<Settings, "ahead" | "no_rotation" | "room_for_standby">;

const NAMES: Readonly<Record<Ahead, string>> = { off: "Off", disk: "On disk", memory: "In memory" };

/** What can be chosen; memory only where there is room for it, or where it is chosen already. */
export function aheadChoices(settings: Known): { value: Ahead; text: string; disabled: boolean }[] {
  const room = settings.room_for_standby || settings.ahead === "memory";
  return (["off", "disk", "memory"] as const).map((value) => ({
    value,
    text: NAMES[value],
    disabled: value === "memory" && !room,
  }));
}

/** What the present choice means. */
export function aboutAhead(settings: Known): string {
  if (settings.no_rotation) return "There is nothing to prepare while the secrets are not rotated.";
  const lacks = settings.room_for_standby ? "" : " There is too little free memory for “In memory” now.";
  switch (settings.ahead) {
    case "off":
      return `A stop waits until the session is saved, and each start rotates the secrets itself.${lacks}`;
    case "disk":
      return `A stop returns at once. The session is saved and the next start’s secrets are rotated in the background, but not on battery.${lacks}`;
    case "memory":
      return settings.room_for_standby
        ? "As on disk, and the next start’s virtual machine stays ready in memory: it is there in about a tenth of a second."
        : "Works as “On disk” until more memory is free.";
  }
}
