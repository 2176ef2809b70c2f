import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { isTechnical, layered, layeredNotice } from "./jargon";

const WORDS = [
  "QEMU",
  "qemu-system-x86_64",
  "KVM",
  "hvf",
  "TCG",
  "Hypervisor.framework",
  "accelerator",
  "keychain",
  "kernel keyring",
  "Secret Service",
];

describe("technical words", () => {
  it("are recognized wherever they stand", () => {
    fc.assert(
      fc.property(fc.constantFrom(...WORDS), fc.constantFrom("", "The ", "no "), (word, before) => {
        expect(isTechnical(`${before}${word}.`)).toBe(true);
      }),
    );
  });

  it("are not seen in other words", () => {
    for (const text of ["", "The key is on a ring.", "a chain of keys", "tcgx", "cannot read qemu.log"]) {
      expect(isTechnical(text), text).toBe(false);
    }
  });

  it("stand behind the plain ones, and nothing of them is lost", () => {
    fc.assert(
      fc.property(fc.string(), fc.constantFrom(...WORDS), (text, word) => {
        const technical = `${text} ${word} ${text}`;
        expect(layered(technical, "plain")).toEqual({ says: "plain", details: technical });
        const { says, details } = layeredNotice(technical);
        expect(isTechnical(says)).toBe(false);
        expect(details).toBe(technical);
      }),
    );
  });

  it("leave alone what everybody can read", () => {
    const text = "Waiting up to 6 min for `capture` (pid 31337).";
    expect(layeredNotice(text)).toEqual({ says: text, details: null });
  });

  it("mean something else for secrets than for speed", () => {
    const secrets = layeredNotice(
      "Your keychain is locked. Until the next start, the secrets are in memory.",
    );
    expect(secrets.says).toContain("secrets");
    expect(layeredNotice("kvm failed; trying again with tcg.").says).toContain("slower");
    expect(layeredNotice("QEMU exited unexpectedly; booting once more.").says).toContain("continues");
  });
});
