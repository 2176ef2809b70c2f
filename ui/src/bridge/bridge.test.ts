import { describe, expect, it } from "vitest";

import type { Failure } from "../bindings";
import { Refused, asFailure, ask } from ".";

describe("the bridge", () => {
  it("gives the value, or throws what Rust sent", async () => {
    expect(await ask(Promise.resolve({ status: "ok", data: 7 } as const))).toBe(7);
    const failure: Failure = { code: "busy", message: "it is busy", hint: null, remedy: null };
    const refused = ask(Promise.resolve({ status: "error", error: failure } as const));
    await expect(refused).rejects.toThrow(Refused);
    expect(await refused.catch(asFailure)).toBe(failure);
  });

  it("treats any other error as a fault of the app", () => {
    expect(asFailure(new TypeError("x is undefined"))).toEqual({
      code: "internal",
      message: "x is undefined",
      hint: null,
      remedy: null,
    });
    expect(asFailure("text").message).toBe("text");
  });
});
