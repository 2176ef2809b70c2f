import { describe, expect, it } from "vitest";

import type { Task } from "../bindings";
import { addresses, canUseOtherPorts, named, twice, typedPort } from "./ports";

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

  it.each<[Task, boolean]>([
    ["start", true],
    ["restart", true],
    ["set_up", true],
    ["capture", false],
    ["restore", false],
  ])("can be others for %s: %j", (task, can) => {
    expect(canUseOtherPorts({ task }, [], ["dashboard"])).toBe(can);
  });

  it("cannot be others where a variable sets them, or nothing was tried", () => {
    const ports = [
      { service: "dashboard", overridden: true },
      { service: "backend", overridden: false },
    ];
    expect(canUseOtherPorts({ task: "start" }, ports, ["dashboard", "backend"])).toBe(false);
    expect(canUseOtherPorts({ task: "start" }, ports, ["backend"])).toBe(true);
    expect(canUseOtherPorts(null, [], ["backend"])).toBe(false);
  });

  it("are said with the names of their services", () => {
    const services = [{ id: "backend", name: "Backend API", url: "http://127.0.0.1:26701" }];
    const ports = [
      { service: "backend", port: 26_701 },
      { service: "unknown", port: 1 },
    ];
    expect(named(ports, services)).toBe("Backend API 26701, unknown 1");
    expect(addresses(services)).not.toBe(addresses([{ url: "http://127.0.0.1:26801" }]));
  });
});
