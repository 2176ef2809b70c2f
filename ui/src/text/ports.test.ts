import { describe, expect, it } from "vitest";

import { twice, typedPort } from "./ports";

describe("ports", () => {
  it.each([
    ["26700", { port: 26_700 }],
    [" 1024 ", { port: 1024 }],
    ["80", { problem: "Enter a number from 1024 to 65535." }],
    ["65536", { problem: "Enter a number from 1024 to 65535." }],
    ["", { problem: "Enter a number from 1024 to 65535." }],
    ["1e4", { problem: "Enter a number from 1024 to 65535." }],
    ["-3000", { problem: "Enter a number from 1024 to 65535." }],
  ])("%j is read as %j", (text, read) => expect(typedPort(text)).toEqual(read));

  it("finds every service that shares a port", () => {
    const ports = [
      { service: "a", port: 1 },
      { service: "b", port: 2 },
      { service: "c", port: 1 },
    ];
    expect([...twice(ports)]).toEqual(["a", "c"]);
  });
});
