import { describe, expect, it } from "vitest";

import type { Page, Task } from "../bindings";
import { shows } from "./outcomes";

describe("the outcome of a task", () => {
  const TASKS = [
    "start",
    "stop",
    "restart",
    "reset",
    "capture",
    "pull",
    "set_up",
    "rotate",
    "checkpoint",
    "restore",
  ] as const;
  it.each<[Page, readonly Task[]]>([
    ["status", TASKS],
    ["images", ["capture", "pull", "set_up"]],
    ["credentials", []],
    ["mail", []],
    ["logs", []],
    ["settings", []],
    ["welcome", ["set_up"]],
  ])("is shown on the page %s", (page, shown) => {
    expect(TASKS.filter((task) => shows(page, task))).toEqual(shown);
  });
});
