import { describe, expect, it } from "vitest";

import { activity, running, stopped } from "../../mock/data";
import { quitQuestion } from "./quit";

describe("quitting", () => {
  const pull = activity({ task: "pull" });
  it.each([
    ["a running emulator", running, null, true],
    ["an emulator whose state is not known yet", null, null, true],
    ["an emulator that another program is starting", { ...stopped, state: "starting" as const }, null, true],
    ["a running emulator during a download", running, pull, true],
    ["a download alone", stopped, pull, false],
    ["a start by this app", { ...stopped, state: "starting" as const }, activity({}), false],
    ["a rotation", running, activity({ task: "rotate" }), true],
    ["nothing that is running", stopped, null, false],
  ])("asks of %s", (_, status, underWay, runs) => {
    const question = quitQuestion(status, underWay);
    expect([question.leave, question.stop]).toEqual([runs, runs]);
    expect(question.text.includes("It can keep running without the app")).toBe(runs);
    expect(question.text.includes("is not finished")).toBe(underWay !== null);
  });

  it("waits for a stop", () => {
    const question = quitQuestion({ ...running, state: "stopping" }, activity({ task: "stop" }));
    expect([question.leave, question.stop]).toEqual([false, true]);
  });
});
