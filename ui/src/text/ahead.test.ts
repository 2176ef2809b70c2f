import { describe, expect, it } from "vitest";
import { aboutAhead, aheadChoices } from "./ahead";

const settings = { ahead: "disk", no_rotation: false, room_for_standby: true } as const;

describe("what is done ahead", () => {
  it("offers memory where there is room, and never takes a choice away that was made", () => {
    const memory = (known: Parameters<typeof aheadChoices>[0]): boolean | undefined =>
      aheadChoices(known).find((choice) => choice.value === "memory")?.disabled;
    expect(memory(settings)).toBe(false);
    expect(memory({ ...settings, room_for_standby: false })).toBe(true);
    expect(memory({ ...settings, ahead: "memory", room_for_standby: false })).toBe(false);
  });

  it("says what each choice means, and why one cannot be made", () => {
    for (const ahead of ["off", "disk", "memory"] as const) {
      expect(aboutAhead({ ...settings, ahead })).not.toContain("too little");
      expect(aboutAhead({ ...settings, ahead }).length).toBeLessThan(170);
    }
    expect(aboutAhead({ ...settings, room_for_standby: false })).toContain("too little free memory");
    expect(aboutAhead({ ...settings, ahead: "memory", room_for_standby: false })).toContain("until");
    expect(aboutAhead({ ...settings, no_rotation: true })).toContain("nothing to prepare");
  });
});
