import { describe, expect, it } from "vitest";

import type { Failure } from "../bindings";
import { asReport, describe as describeFailure, isKnown, sentence } from "./failures";
import { isTechnical } from "./jargon";
import { advise } from "./remedies";

const failure = (more: Partial<Failure>): Failure => ({
  code: "busy",
  message: "it is busy",
  hint: null,
  remedy: null,
  ...more,
});

describe("failures", () => {
  it("describes an unknown code by the engine's own message", () => {
    const newer = {
      ...failure({ message: "the moon is full", hint: "Wait." }),
      code: "brand_new",
    } as unknown;
    expect(describeFailure(newer as Failure)).toEqual({
      title: "The operation failed",
      message: "The moon is full.",
      code: "brand_new",
      details: null,
      hint: "Wait.",
      action: null,
      other: null,
    });
  });

  it("has what not everybody knows behind the details", () => {
    const locked = describeFailure(
      failure({
        code: "secret_store",
        message: "your keychain is locked",
        remedy: { kind: "unlock_keychain" },
      }),
    );
    expect([locked.message, locked.hint]).toEqual([null, "Unlock this computer’s password store."]);
    expect(locked.details).toBe(
      "Your keychain is locked.\nUnlock your keychain, or restart the keychain service.",
    );
    const ended = describeFailure(failure({ code: "qemu_start", message: "QEMU said:\nno such device\n" }));
    expect([ended.message, ended.details]).toEqual([null, "QEMU said:\nno such device\nqemu_start"]);
    expect([ended.code, locked.code]).toEqual([null, "secret_store"]);
    const log = describeFailure(failure({ code: "log", message: "cannot read qemu.log" }));
    expect(log.message).toBe("Cannot read qemu.log.");
  });

  it("names who has a port, and offers other ports beside the setting", () => {
    const ports = [
      { port: 26_700, service: "dashboard" },
      { port: 26_701, service: "backend" },
    ];
    const taken = describeFailure(
      failure({
        code: "port_taken",
        message: "port 26700 (dashboard) is in use by qemu-system-x86_64 (pid 7)",
        remedy: { kind: "free_ports", ports },
      }),
    );
    expect(taken.message).toContain("qemu-system-x86_64 (pid 7)");
    expect(taken.action).toEqual({
      kind: "other_ports",
      services: ["dashboard", "backend"],
      label: "Start on other ports",
    });
    expect(taken.other?.label).toBe("Change the ports");
  });

  it("has no title and no advice that not everybody understands", () => {
    const variable = "STACK_EMULATOR_ACCELERATOR_CHOICE";
    const kinds = [
      { kind: "stop_after_fault" },
      { kind: "use_emulation", variable },
      { kind: "unlock_keychain" },
      { kind: "create_keyring" },
      { kind: "unlock_keychain_or_use_memory", variable },
      { kind: "reinstall_qemu" },
      { kind: "use_fastest", variable, accelerator: "KVM" },
      { kind: "enable_accelerator", accelerator: "KVM" },
      { kind: "probe_again", accelerator: "KVM" },
      { kind: "start_after_crash" },
      { kind: "none_file_is_private" },
    ] as const;
    for (const remedy of kinds) expect(isTechnical(advise(remedy).hint ?? ""), remedy.kind).toBe(false);
    const codes = ["qemu_missing", "qemu_start", "qemu_died", "qemu", "accelerator", "secret_store"] as const;
    for (const code of codes) expect(isTechnical(describeFailure(failure({ code })).title), code).toBe(false);
  });

  it("words the engine's remedy, as a hint and as a button", () => {
    const description = describeFailure(
      failure({
        code: "record",
        remedy: { kind: "move_away", file: "/x/secrets.json", loss: "secrets" },
      }),
    );
    expect(description.hint).toBe(
      "Move /x/secrets.json away: the secrets are lost, and the next start creates new ones.",
    );
    expect(description.action?.label).toBe("Try again");
    const running = describeFailure(failure({ code: "running", remedy: { kind: "stop" } }));
    expect([running.hint, running.action?.label]).toEqual([null, "Stop the emulator"]);
  });

  it("separates a program's output from the message", () => {
    const description = describeFailure(
      failure({ code: "folder", message: "it ended and said:\nno such device\n\nbye\n" }),
    );
    expect([description.message, description.details]).toEqual([
      "It ended and said:",
      "no such device\n\nbye",
    ]);
  });

  it("does not take names that every object has for codes", () => {
    expect(isKnown("constructor")).toBe(false);
    expect(describeFailure({ ...failure({}), code: "toString" } as unknown as Failure).title).toBe(
      "The operation failed",
    );
  });

  it("makes sentences of messages", () => {
    expect(sentence("port 26700 is taken")).toBe("Port 26700 is taken.");
    expect(sentence("Gone!")).toBe("Gone!");
    expect(sentence("  ")).toBe("");
  });

  it("reports code, message and hint", () => {
    const report = asReport(failure({ hint: "Wait." }), "0.1.0");
    expect(report).toBe("Stack Emulator 0.1.0\ncode: busy\nit is busy\nhint: Wait.\n");
  });
});
