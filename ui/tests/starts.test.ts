// Starts on other ports, stops when idle, and the technical words behind “Details”.
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { activity, portTaken, running, stopped } from "../mock/data";
import { Window } from "./browser";
import { button, calls, send } from "./mocked";

let window: Window;
beforeAll(async () => {
  window = await Window.launch();
});
afterAll(() => window.close());

const open = (page: string, scenario = "running"): Promise<Page> => window.open({ page, scenario });

describe("a start whose ports another program has", () => {
  it("names that program, and starts on other ports in one step", async () => {
    const page = await open("status", "start-failed");
    await page.getByText("Port 26700 (dashboard) is in use by node (pid 4242).").waitFor();
    await button(page, "Start on other ports").click();
    await expect.poll(() => calls(page, "start")).toEqual([{ otherPorts: true }]);
    await page.getByText("http://127.0.0.1:26800").first().waitFor();
  });

  it("says what that means for credentials, until they are written again", async () => {
    const page = await open("status", "start-failed");
    await button(page, "Start on other ports").click();
    const notice = page.getByText("The emulator has other ports now, and keeps them.");
    await notice.waitFor();
    await button(page, "Refresh .env files").click();
    await notice.waitFor({ state: "detached" });
    expect(await calls(page, "refresh_env_files")).toHaveLength(1);
  });

  it("says nothing of other ports if its own were free again", async () => {
    const page = await open("status", "start-failed");
    await button(page, "Start on other ports").click();
    await page.getByText("The emulator has other ports now").waitFor();
    await send(page, { kind: "status", status: running });
    await page.getByText("The emulator has other ports now").waitFor({ state: "detached" });
  });

  it("is shown where its outcome is said, from whichever page", async () => {
    const page = await open("settings", "start-failed");
    await button(page, "Start on other ports").click();
    await page.getByRole("heading", { name: "Running" }).waitFor();
    await page.getByText("The emulator has other ports now").waitFor();
    expect(await page.getByText("A port is in use by another program").count()).toBe(0);
  });

  it("is not offered other ports where a variable sets the taken one", async () => {
    const page = await open("status", "ports-set");
    await button(page, "Change the ports").waitFor();
    expect(await button(page, "Start on other ports").count()).toBe(0);
  });

  it("is not offered other ports where it was none", async () => {
    const page = await open("status", "stopped");
    const failed = activity({ task: "checkpoint", outcome: { kind: "failed", failure: portTaken } });
    await send(page, { kind: "activity", activity: failed });
    await button(page, "Change the ports").waitFor();
    expect(await button(page, "Start on other ports").count()).toBe(0);
  });

  it("continues the setup on other ports", async () => {
    const page = await open("welcome", "welcome-failed");
    const source = { kind: "rolling", branch: null } as const;
    const failed = activity({
      task: "set_up",
      source,
      stages: ["pull", "capture", "start"],
      outcome: { kind: "failed", failure: portTaken },
    });
    await send(page, { kind: "activity", activity: failed });
    await button(page, "Start on other ports").click();
    await expect.poll(() => calls(page, "set_up")).toEqual([{ source, otherPorts: true }]);
  });
});

describe("a stop when idle", () => {
  it("is chosen, and taken back", async () => {
    const page = await open("settings");
    const choice = page.getByLabel("Stop when idle");
    await page.getByText("The emulator runs until it is stopped.").waitFor();
    await choice.selectOption("After 30 minutes");
    await page.getByText("Stops when nothing has connected to it for that long").waitFor();
    await choice.selectOption("Off");
    await page.getByText("The emulator runs until it is stopped.").waitFor();
    const changes = (await calls(page, "change_settings")).map(({ change }) => change);
    expect(changes).toMatchObject([{ stop_when_idle_min: 30, ahead: null }, { stop_when_idle_min: 0 }]);
  });

  it("shows a time that was set elsewhere", async () => {
    const page = await open("settings", "idle-elsewhere");
    const choice = page.getByLabel("Stop when idle");
    expect(await choice.locator("option:checked").textContent()).toMatch(/^After 45.minutes$/);
    expect(await choice.locator("option").count()).toBe(6);
  });

  it("is said beside the running emulator", async () => {
    const page = await open("status", "idle");
    await page.getByText("When idle").waitFor();
    await page.getByText(/Stops after 30.minutes/).waitFor();
    await send(page, { kind: "status", status: stopped });
    await page.getByText("When idle").waitFor({ state: "detached" });
  });
});

describe("technical words", () => {
  it("are one key press away from what a check means", async () => {
    const page = await open("welcome", "welcome-emulated");
    await page.getByText("Starts will be slower on this computer.").waitFor();
    const evidence = page.getByText("failed to set MSR");
    expect(await evidence.isVisible()).toBe(false);
    const details = page.getByRole("listitem").filter({ hasText: "Speed" }).getByText("Details");
    await details.focus();
    await page.keyboard.press("Enter");
    await evidence.waitFor();
  });

  it("are behind the virtual machine’s facts", async () => {
    const page = await open("status");
    const machine = page.getByRole("region", { name: "Virtual machine", exact: true });
    const accelerator = machine.getByText("Accelerator: KVM");
    expect(await accelerator.isVisible()).toBe(false);
    await machine.getByText("Details").focus();
    await page.keyboard.press("Space");
    await accelerator.waitFor();
    await machine.getByText("Secret store: keychain").waitFor();
  });

  it("are behind what a failure means", async () => {
    const page = await open("status", "secrets-locked");
    await page.getByText("Unlock this computer’s password store.").waitFor();
    const message = page.getByText("Your keychain is locked.");
    expect(await message.isVisible()).toBe(false);
    await page.getByRole("alert").getByText("Details", { exact: true }).click();
    await message.waitFor();
  });
});
