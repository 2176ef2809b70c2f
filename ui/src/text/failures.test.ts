import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { describe, expect, it } from "vitest";

import { asReport, describe as describeFailure, isKnown, sentence } from "./failures";

/** Codes that the Rust files of a crate give, from the arms of their `code` functions. */
function codesOf(crate: string): string[] {
  const folder = fileURLToPath(new URL(`../../../crates/${crate}/src`, import.meta.url));
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) =>
    file.endsWith(".rs"),
  );
  return files.flatMap((file) => {
    const source = readFileSync(join(folder, file), "utf8");
    const bodies = source.split("fn code(&self)").slice(1);
    return bodies.flatMap((after) => {
      const arms = after.slice(0, after.indexOf("\n    }\n")).matchAll(/=>\s*(?:\{\s*)?"([a-z_-]+)"/g);
      return [...arms].flatMap(([, code]) => (code === undefined ? [] : [code]));
    });
  });
}

describe("failures", () => {
  it("has a title for every code of the engine", () => {
    const codes = [...codesOf("emulator"), ...codesOf("images")];
    expect(codes.length).toBeGreaterThan(20);
    expect(codes.filter((code) => !isKnown(code))).toEqual([]);
  });

  it("describes an unknown code by the engine's own message", () => {
    const description = describeFailure({ code: "brand_new", message: "the moon is full", hint: "Wait." });
    expect(description).toEqual({
      title: "The operation failed",
      message: "The moon is full.",
      details: null,
      hint: "Wait.",
      remedy: null,
    });
  });

  it("separates a program's output from the message", () => {
    const description = describeFailure({
      code: "qemu_start",
      message: "it ended and said:\nno such device\n\nbye\n",
      hint: null,
    });
    expect([description.message, description.details]).toEqual([
      "It ended and said:",
      "no such device\n\nbye",
    ]);
  });

  it("accepts hyphens in a code", () => {
    expect(describeFailure({ code: "token-needed", message: "x", hint: null }).title).toBe(
      "This download needs a GitHub token",
    );
  });

  it("does not take names that every object has for codes", () => {
    expect(isKnown("constructor")).toBe(false);
    expect(describeFailure({ code: "toString", message: "x", hint: null }).title).toBe(
      "The operation failed",
    );
  });

  it("makes sentences of messages", () => {
    expect(sentence("port 26700 is taken")).toBe("Port 26700 is taken.");
    expect(sentence("Gone!")).toBe("Gone!");
    expect(sentence("  ")).toBe("");
  });

  it("reports code, message and hint", () => {
    const report = asReport({ code: "busy", message: "it is busy", hint: "Wait." }, "0.1.0");
    expect(report).toBe("Stack Emulator 0.1.0\ncode: busy\nit is busy\nhint: Wait.\n");
  });
});
