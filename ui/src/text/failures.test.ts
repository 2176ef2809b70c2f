import { describe, expect, it } from "vitest";

import type { Failure } from "../bindings";
import { asReport, describe as describeFailure, isKnown, sentence } from "./failures";

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
      details: null,
      hint: "Wait.",
      action: null,
    });
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
      failure({ code: "qemu_start", message: "it ended and said:\nno such device\n\nbye\n" }),
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
