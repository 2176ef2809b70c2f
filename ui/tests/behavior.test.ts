// The behavior of pages: the commands they send, what they show of the answers, and that no secret is in the
// document before the user asks to see it.
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import {
  activity,
  downloading,
  images,
  installed,
  mails,
  newer,
  portTaken,
  running,
  stopped,
} from "../mock/data";
import type { InstallState, Update } from "../src/bindings";
import { Window } from "./browser";
import { button, calls, send } from "./mocked";

const SECRET = "ssk_this_value_must_be_asked_for";

let window: Window;
beforeAll(async () => {
  window = await Window.launch();
});
afterAll(() => window.close());

const open = (page: string, scenario = "running"): Promise<Page> => window.open({ page, scenario });

describe("the status page", () => {
  it("starts, shows the phases as they come, and says when the emulator is running", async () => {
    const page = await open("status", "stopped");
    await button(page, "Start").click();
    await expect.poll(() => calls(page, "start")).toHaveLength(1);

    const phases = [
      { stage: "start", phase: "qemu", ms: 41, bytes: null },
      { stage: "start", phase: "agent", ms: null, bytes: null },
    ] as const;
    await send(page, { kind: "status", status: { ...stopped, state: "starting" } });
    await send(page, { kind: "activity", activity: activity({ phases: [...phases] }) });
    await page.getByRole("heading", { name: "Starting" }).waitFor();
    expect(await page.getByRole("status").first().textContent()).toContain("Waking the virtual machine");
    await button(page, "Cancel").click();
    await expect.poll(() => calls(page, "cancel")).toEqual([{ activity: 7 }]);

    await send(page, { kind: "activity", activity: activity({ outcome: { kind: "finished" } }) });
    await send(page, { kind: "status", status: running });
    await page.getByRole("heading", { name: "Running" }).waitFor();
  });

  it("keeps its parts in place while the state changes", async () => {
    const page = await open("status", "stopped");
    const place = async () => {
      const boxes = await Promise.all(
        ["Services", "Virtual machine", "Credentials"].map((name) =>
          page.getByRole("region", { name, exact: true }).boundingBox(),
        ),
      );
      return boxes.map((box) => [box?.x, box?.y]);
    };
    const before = await place();
    await send(page, { kind: "status", status: { ...stopped, state: "starting" } });
    await send(page, { kind: "activity", activity: activity({}) });
    expect(await place()).toEqual(before);
    await send(page, { kind: "activity", activity: null });
    await send(page, { kind: "status", status: running });
    expect(await place()).toEqual(before);
  });

  it("creates, restores and deletes checkpoints, and asks before something is lost", async () => {
    const page = await open("status");
    const create = button(page, "Create checkpoint");
    expect(await create.isDisabled()).toBe(true);
    await page.getByLabel("Name of the new checkpoint").fill(" two-users ");
    await page.keyboard.press("Enter");
    await expect.poll(() => calls(page, "create_checkpoint")).toEqual([{ name: "two-users" }]);
    expect(await page.getByLabel("Name of the new checkpoint").inputValue()).toBe("");

    await page.getByText("Restoring boots its disk, which takes longer.").waitFor();
    await button(page, "Restore the checkpoint seeded").click();
    await page.getByText("ends the running emulator without saving").waitFor();
    await button(page, "Cancel").click();
    expect(await calls(page, "restore_checkpoint")).toHaveLength(0);
    await button(page, "Restore the checkpoint seeded").click();
    await button(page, "Restore checkpoint").click();
    await expect.poll(() => calls(page, "restore_checkpoint")).toEqual([{ name: "seeded" }]);
    await page.getByText("from the checkpoint seeded").first().waitFor();

    const listed = (await calls(page, "list_checkpoints")).length;
    await button(page, "Delete the checkpoint seeded").click();
    await button(page, "Delete checkpoint").click();
    await expect.poll(async () => (await calls(page, "list_checkpoints")).length).toBeGreaterThan(listed);
    await expect.poll(() => calls(page, "delete_checkpoint")).toEqual([{ name: "seeded" }]);

    // One that was created by the command line is there when that has ended.
    const before = (await calls(page, "list_checkpoints")).length;
    const busy = { pid: 31_337, command: "checkpoint create" };
    await send(page, { kind: "status", status: { ...running, busy } });
    await send(page, { kind: "status", status: running });
    await expect.poll(async () => (await calls(page, "list_checkpoints")).length).toBeGreaterThan(before);

    await send(page, { kind: "status", status: stopped });
    expect(await page.getByLabel("Name of the new checkpoint").isDisabled()).toBe(true);
    await button(page, "Restore the checkpoint before-upgrade").click();
    await page.getByText("replaces the saved session").waitFor();
  });

  it("leads from a taken port to the setting that changes it", async () => {
    const page = await open("status", "start-failed");
    await page.getByText("A port is in use by another program").waitFor();
    await button(page, "Copy details").click();
    const [copied] = await calls(page, "copy_text");
    expect(copied?.["text"]).toContain("port_taken");
    expect(copied?.["text"]).toContain(portTaken.message);
    await button(page, "Change the ports").click();
    await page.getByLabel("Dashboard").waitFor();
  });

  it("shows what the command line is doing", async () => {
    const page = await open("status", "stopped");
    const busy = { pid: 31_337, command: "start" };
    await send(page, { kind: "status", status: { ...stopped, state: "starting", busy } });
    await page.getByText("stack-emulator start is running (process 31337)").waitFor();
    expect(await button(page, "Start").isDisabled()).toBe(true);
  });

  it("shows the services of a paused emulator as paused, and continues it", async () => {
    const page = await open("status", "paused");
    await page.getByRole("heading", { name: "Paused: disk not writable" }).waitFor();
    expect(await page.getByText("paused", { exact: true }).count()).toBe(4);
    expect(await button(page, "Copy credentials").isDisabled()).toBe(true);
    await page.getByText("Continue the emulator first.").waitFor();
    await button(page, "Continue").click();
    await expect.poll(() => calls(page, "start")).toHaveLength(1);
    await page.getByRole("heading", { name: "Running" }).waitFor();
  });

  it("asks before it discards a session, and does nothing if the answer is no", async () => {
    const page = await open("status", "stopped");
    await button(page, "Reset…").click();
    await page.getByRole("dialog").waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    expect(await calls(page, "reset")).toHaveLength(0);
    await button(page, "Reset…").click();
    await button(page, "Discard session").click();
    await expect.poll(() => calls(page, "reset")).toHaveLength(1);
  });
});

describe("credentials", () => {
  it("contains a secret only while it is shown", async () => {
    const page = await open("credentials");
    await page.getByText("Secret server key").first().waitFor();
    expect(await page.content()).not.toContain(SECRET);
    await button(page, "Copy Secret server key").click();
    expect(await page.content()).not.toContain(SECRET);
    await button(page, "Show Secret server key").click();
    await page.getByText(SECRET).waitFor();
    await button(page, "Hide Secret server key").click();
    await page.getByText(SECRET).waitFor({ state: "detached" });
    expect(await page.content()).not.toContain(SECRET);
  });

  it("copies in the chosen format and says for how long", async () => {
    const page = await open("credentials");
    await page.getByText("Vite", { exact: true }).click();
    await button(page, "Copy credentials").click();
    await page.getByText("Copied 7 variables. The clipboard is cleared in 60 seconds.").waitFor();
    const configFile = "/home/ada/code/shop/stack.config.ts";
    await expect.poll(() => calls(page, "copy_credentials")).toEqual([{ configFile, format: "vite" }]);
  });

  it("names the file that the chosen format is written to, and writes no JSON", async () => {
    const page = await open("credentials");
    await button(page, "Write .env.local").waitFor();
    await page.getByText("Expo", { exact: true }).click();
    await button(page, "Write .env").click();
    await expect.poll(async () => (await calls(page, "write_env"))[0]?.["format"]).toBe("expo");
    await page.getByText("JSON", { exact: true }).click();
    expect(await button(page, "Write .env").isDisabled()).toBe(true);
  });

  it("writes all .env files again and says how that went", async () => {
    const page = await open("credentials");
    await button(page, "Refresh .env files").click();
    await page.getByText("Updated 2 files. Left 1 file unchanged").waitFor();
    expect(await calls(page, "refresh_env_files")).toHaveLength(1);
  });

  it("takes a config file that is dropped on the window", async () => {
    const page = await open("credentials", "no-project");
    const path = "/home/ada/code/shop/stack.config.ts";
    await page.evaluate(
      (dropped) => globalThis.window.mock.emit("config-file-drag", { kind: "dropped", path: dropped }),
      path,
    );
    await expect.poll(() => calls(page, "add_project")).toEqual([{ configFile: path }]);
  });

  it("says why a project has no credentials", async () => {
    const page = await open("credentials", "credentials-failed");
    await page.getByText("its folder is not mounted").waitFor();
    await button(page, "Try again").click();
    await expect.poll(async () => (await calls(page, "project_credentials")).length).toBe(2);
  });
});

describe("images", () => {
  it("finds a pull request's build by its URL and installs it", async () => {
    const page = await open("images");
    await page.getByText("Pull request", { exact: true }).click();
    const field = page.getByRole("textbox", { name: "Pull request" });
    await field.fill("nonsense");
    expect(await button(page, "Find the build").isDisabled()).toBe(true);
    await field.fill("https://github.com/stack-auth/stack-auth/pull/1234/files");
    await field.press("Enter");
    await page.getByText("Faster sign-in").waitFor();
    await button(page, "Install").click();
    const source = { kind: "pull_request", number: 1234 };
    await expect.poll(() => calls(page, "pull")).toEqual([{ source, capture: true }]);
  });

  it("shows the progress of a download, and offers to continue a paused one", async () => {
    const page = await open("images", "unfinished");
    // Not the unfinished one, which must not be downloaded in its place.
    const source = { kind: "pull_request", number: 1402 } as const;
    const pull = {
      task: "pull",
      source,
      stages: ["pull", "capture"],
      phases: downloading(592_000_000),
    } as const;
    await send(page, { kind: "activity", activity: activity({ ...pull, stages: [...pull.stages] }) });
    const bar = page.getByRole("progressbar");
    await bar.waitFor();
    expect(await bar.getAttribute("aria-valuenow")).toBe("50");
    await send(page, {
      kind: "activity",
      activity: activity({ ...pull, stages: [...pull.stages], outcome: { kind: "cancelled" } }),
    });
    await button(page, "Continue").click();
    await expect.poll(() => calls(page, "pull")).toEqual([{ source, capture: true }]);
  });

  it("continues an unfinished setup as a setup", async () => {
    const page = await open("images", "welcome-interrupted");
    await page.getByText("Setup with emulator-dev-latest is not finished.").waitFor();
    await button(page, "Continue the setup").click();
    const source = { kind: "rolling", branch: "dev" };
    await expect.poll(() => calls(page, "set_up")).toEqual([{ source, otherPorts: false }]);
    expect(await calls(page, "pull")).toHaveLength(0);
  });

  it("selects an installed release, and checks for updates of the selected image", async () => {
    const page = await open("images", "release-installed");
    await page.getByText("A newer image is available").waitFor();
    await expect.poll(() => calls(page, "check_for_update")).toHaveLength(1);
    const used = images.map((image, index) => ({ ...image, in_use: index === 1 }));
    await send(page, { kind: "images", images: { ...installed, images: used } });
    await expect.poll(async () => (await calls(page, "check_for_update")).length).toBe(2);
    await page.getByRole("button", { name: /^Select emulator-dev-/ }).click();
    await expect.poll(() => calls(page, "use_image")).toHaveLength(1);
    expect(await calls(page, "pull")).toHaveLength(0);
  });

  it("does not remove the selected image", async () => {
    const page = await open("images");
    const held = page.getByRole("button", { name: /^emulator-dev-latest cannot be removed/ });
    expect(await held.isDisabled()).toBe(true);
    await button(page, "Remove PR 1234").click();
    await button(page, "Remove the image").click();
    await page.getByText("Removed PR 1234").waitFor();
    await expect.poll(async () => (await calls(page, "remove_image"))[0]?.["digest"]).toMatch(/^sha256:11aa/);
  });
});

describe("mail", () => {
  it("shows a mail whose code is copied, and what comes by itself", async () => {
    const page = await open("mail");
    await page.getByRole("button", { name: /grace\.hopper/ }).click();
    await page.getByRole("heading", { name: "You are invited to join Compilers" }).waitFor();
    await expect.poll(() => calls(page, "read_mail")).toEqual([{ id: "m-3" }]);
    await button(page, "Copy code").click();
    await expect.poll(() => calls(page, "copy_text")).toEqual([{ text: mails[1]?.code }]);
    await button(page, "Open the inbox").click();
    await expect.poll(() => calls(page, "open_link")).toEqual([{ url: "http://127.0.0.1:26703" }]);
  });

  it("follows while it is shown and the emulator is running, and no longer", async () => {
    const page = await open("mail", "stopped");
    await page.getByRole("heading", { name: "The emulator is not running" }).waitFor();
    expect(await calls(page, "follow_mails")).toHaveLength(0);
    await button(page, "Start").click();
    await page.getByText("bob@example.com").waitFor();
    await send(page, { kind: "status", status: stopped });
    await expect.poll(() => calls(page, "unfollow_mails")).toEqual([{ follower: 2 }]);
    expect(await page.getByText("bob@example.com").count()).toBe(0);

    await send(page, { kind: "status", status: running });
    await page.getByText("bob@example.com").waitFor();
    await page.keyboard.press("Control+1");
    await expect.poll(() => calls(page, "unfollow_mails")).toHaveLength(2);
    await expect.poll(() => calls(page, "follow_mails")).toHaveLength(2);
  });

  it("leads to the inbox of an image that lists no mails", async () => {
    const page = await open("mail", "mail-unsupported");
    await button(page, "Open the inbox").click();
    await expect.poll(() => calls(page, "open_link")).toEqual([{ url: "http://127.0.0.1:26703" }]);
  });
});

describe("logs", () => {
  it("renders only the visible lines, follows, and finds", async () => {
    const page = await open("logs");
    const log = page.getByRole("log");
    await log.getByText("200 in").first().waitFor();
    expect(await log.locator(".line").count()).toBeLessThan(120);
    expect(await log.evaluate((view) => view.scrollHeight - view.scrollTop - view.clientHeight)).toBeLessThan(
      2,
    );
    await log.evaluate((view) => view.scrollTo(0, 0));
    await log.getByText("Linux version").waitFor();
    expect(await button(page, "Follow the end").getAttribute("aria-pressed")).toBe("false");
    await page.keyboard.press("Control+f");
    await page.keyboard.type("failed");
    await page.getByText("1 line", { exact: true }).waitFor();
  });

  it("follows another log instead of the first", async () => {
    const page = await open("logs");
    await page.getByText("QEMU", { exact: true }).click();
    await expect.poll(() => calls(page, "unfollow_log")).toEqual([{ follower: 1 }]);
    await expect
      .poll(async () => (await calls(page, "follow_log")).map((args) => args["source"]))
      .toEqual(["serial", "qemu"]);
  });
});

describe("settings", () => {
  it("does not save a port that is in use, nor one twice", async () => {
    const page = await open("settings");
    const dashboard = page.getByLabel("Dashboard");
    await dashboard.fill("3000");
    await dashboard.blur();
    await page.getByText("In use by node (pid 4242).").waitFor();
    expect(await button(page, "Save ports").isDisabled()).toBe(true);
    await dashboard.fill("26701");
    await page.getByText("In use by another service.").first().waitFor();
    await dashboard.fill("30000");
    await button(page, "Save ports").click();
    await expect.poll(async () => (await calls(page, "change_settings")).length).toBe(1);
    expect((await calls(page, "change_settings"))[0]?.["change"]).toMatchObject({
      ports: [{ service: "dashboard", port: 30_000 }, {}, {}, {}],
      ram_mib: null,
    });
  });

  it("asks before it keeps the placeholder secrets", async () => {
    const page = await open("settings");
    const fresh = page.getByRole("switch", { name: "Fresh secrets at every start" });
    await fresh.click();
    await button(page, "Cancel").click();
    expect(await fresh.getAttribute("aria-checked")).toBe("true");
    await fresh.click();
    await button(page, "Keep the placeholders").click();
    await expect.poll(() => fresh.getAttribute("aria-checked")).toBe("false");
  });

  it("clears the typed token once it is saved", async () => {
    const page = await open("settings");
    await page.getByLabel("GitHub token").fill("ghp_typed");
    await button(page, "Save the token").click();
    await button(page, "Remove the token").waitFor();
    expect(await page.content()).not.toContain("ghp_typed");
  });
});

describe("the wizard", () => {
  it("opens by itself the first time, and leads from the checks to copied credentials", async () => {
    const page = await open("status", "welcome");
    await page.getByRole("heading", { name: "Welcome to Stack Emulator" }).waitFor();
    await button(page, "Continue").click();
    await button(page, "Set up Latest of dev").click();
    const source = { kind: "rolling", branch: null };
    await expect.poll(() => calls(page, "set_up")).toEqual([{ source, otherPorts: false }]);

    const work = activity({ task: "set_up", stages: ["pull", "capture", "start"] });
    await send(page, { kind: "activity", activity: { ...work, phases: downloading(431_000_000) } });
    await page.getByText("431 MB of 1.18 GB").waitFor();
    await send(page, { kind: "status", status: running });
    await send(page, { kind: "activity", activity: { ...work, outcome: { kind: "finished" } } });
    await button(page, "Choose and copy credentials…").click();
    await page.getByText("is cleared in 60 seconds").waitFor();
    await button(page, "Done").click();
    await page.getByRole("heading", { name: "Running" }).waitFor();
    await expect.poll(() => calls(page, "finish_first_run")).toHaveLength(1);
  });

  it("sets up with an image that is installed already", async () => {
    const page = await open("welcome", "welcome-installed");
    await button(page, "Continue").click();
    await page.getByText("Installed", { exact: true }).first().waitFor();
    await page
      .getByRole("button", { name: /^Set up emulator-dev-2/ })
      .first()
      .click();
    await expect.poll(() => calls(page, "set_up")).toHaveLength(1);
    expect(await calls(page, "use_image")).toHaveLength(0);
  });

  it("offers the starter where the repository has no image", async () => {
    const page = await open("welcome", "welcome-not-published");
    await page.getByText("owner/stack-emulator has the starter image").waitFor();
    await button(page, "Use images of owner/stack-emulator").click();
    const source = { kind: "rolling", branch: null };
    await expect.poll(() => calls(page, "set_up")).toEqual([{ source, otherPorts: false }]);
    expect((await calls(page, "change_settings"))[0]?.["change"]).toMatchObject({
      repository: "owner/stack-emulator",
      branch: null,
    });
  });

  it("offers the starter where the repository lists no image", async () => {
    const page = await open("welcome", "welcome-no-image");
    await button(page, "Continue").click();
    await button(page, "Use images of owner/stack-emulator").click();
    await expect.poll(() => calls(page, "list_releases")).toHaveLength(2);
    await expect.poll(() => calls(page, "change_settings")).toHaveLength(1);
  });

  it("continues a setup that was killed", async () => {
    const page = await open("welcome", "welcome-unfinished");
    await button(page, "Continue").click();
    await page.getByText("stopped at 611 MB of 1.18 GB").waitFor();
    await button(page, "Continue").click();
    const source = { kind: "rolling", branch: null };
    await expect.poll(() => calls(page, "set_up")).toEqual([{ source, otherPorts: false }]);
  });

  it("does not continue while a check fails", async () => {
    const page = await open("welcome", "unfit");
    await page.getByText("1 check failed.").waitFor();
    expect(await button(page, "Continue").isDisabled()).toBe(true);
    await button(page, "Check again").click();
    await expect.poll(() => calls(page, "examine")).toEqual([{ probeAgain: false }, { probeAgain: true }]);
  });
});

describe("the window", () => {
  it("is used by keyboard alone", async () => {
    const page = await open("status");
    await page.keyboard.press("Control+3");
    await page.getByRole("heading", { name: "Credentials", exact: true }).waitFor();
    await page.keyboard.press("Control+1");
    await page.getByRole("heading", { name: "Running" }).waitFor();
    // From the page to its first button, Restart.
    await page.keyboard.press("Tab");
    const focused = () => page.evaluate(() => document.activeElement?.textContent.trim());
    expect(await focused()).toBe("Restart");
    await page.keyboard.press("Enter");
    await expect.poll(() => calls(page, "restart")).toHaveLength(1);
  });

  it("asks what to do with a running emulator before it quits", async () => {
    const page = await open("status");
    await send(page, { kind: "quit", asked: true });
    await page.getByRole("dialog").waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await expect.poll(() => calls(page, "stay")).toHaveLength(1);
    // During an operation, the question is about both.
    const pull = activity({ task: "pull", stages: ["pull"], phases: downloading(592_000_000) });
    await send(page, { kind: "activity", activity: pull });
    await send(page, { kind: "quit", asked: true });
    await page.getByText("Installing the image is not finished.").waitFor();
    expect(await button(page, "Stop it and quit").isVisible()).toBe(true);
    await button(page, "Quit and leave it running").click();
    await expect.poll(() => calls(page, "quit")).toEqual([{ choice: "leave_running" }]);
  });

  it("says in the dialog that the emulator could not be stopped", async () => {
    const page = await open("status", "quit-refused");
    const dialog = page.getByRole("dialog");
    await button(page, "Stop it and quit").click();
    await dialog.getByText("The emulator could not be stopped").waitFor();
    await button(page, "Try again").click();
    await expect
      .poll(() => calls(page, "quit"))
      .toEqual([{ choice: "stop_emulator" }, { choice: "stop_emulator" }]);
    await dialog.getByText("The emulator could not be stopped").waitFor();
    expect(await button(page, "Quit and leave it running").isEnabled()).toBe(true);
  });

  it("shows a failure once on a page that does not show outcomes", async () => {
    const page = await open("settings", "stopped");
    const failed = activity({ outcome: { kind: "failed", failure: portTaken } });
    await send(page, { kind: "activity", activity: activity({}) });
    await send(page, { kind: "activity", activity: failed });
    const portTakenTitle = "A port is in use by another program";
    const title = page.getByText(portTakenTitle);
    await title.waitFor();
    await button(page, "Dismiss").click();
    await send(page, { kind: "activity", activity: { ...failed, notices: [] } });
    expect(await title.count()).toBe(0);
    // One that is still shown gives way to the status page, which shows it itself.
    await send(page, { kind: "activity", activity: { ...failed, id: 8 } });
    await title.waitFor();
    await page.getByRole("link", { name: "Status" }).click();
    await page.getByRole("main").getByRole("heading", { name: portTakenTitle }).waitFor();
    await expect.poll(() => title.count()).toBe(1);
    await send(page, { kind: "activity", activity: { ...failed, id: 9 } });
    await expect.poll(() => title.count()).toBe(1);
  });

  it("tells of a newer release until it is dismissed", async () => {
    const page = await open("status", "newer-release");
    await page.getByText("Version 0.2.0 is available.").waitFor();
    await page.getByRole("link", { name: "See what is new" }).click();
    const url = "https://github.com/owner/stack-emulator/releases/tag/v0.2.0";
    await expect.poll(() => calls(page, "open_link")).toEqual([{ url }]);
    await page.getByRole("heading", { name: "Running" }).waitFor();
    await button(page, "Dismiss version 0.2.0").click();
    await page.getByText("Version 0.2.0 is available.").waitFor({ state: "detached" });
    await expect.poll(() => calls(page, "dismiss_release")).toEqual([{ version: "0.2.0" }]);
  });

  it("installs a release where the app can, and restarts into it", async () => {
    const page = await open("status", "release-offered");
    const at = (install: InstallState): Update => ({
      kind: "newer_release",
      release: { ...newer, install },
    });
    await button(page, "Install version 0.2.0").click();
    await expect.poll(() => calls(page, "install_release")).toEqual([{ version: "0.2.0" }]);
    await send(page, at({ kind: "downloading", percent: 43 }));
    await page.getByText("Downloading version 0.2.0, 43 %").waitFor();
    expect(await button(page, "Dismiss version 0.2.0").count()).toBe(0);
    await button(page, "Cancel the download").click();
    await expect.poll(() => calls(page, "cancel_install")).toHaveLength(1);
    await send(page, at({ kind: "failed" }));
    await button(page, "Try again to install version 0.2.0").click();
    await expect.poll(() => calls(page, "install_release")).toHaveLength(2);
    await send(page, at({ kind: "installing" }));
    await page.getByText("Installing version 0.2.0").waitFor();
    await send(page, at({ kind: "ready" }));
    await button(page, "Restart app").click();
    await expect.poll(() => calls(page, "restart_app")).toHaveLength(1);
  });

  it("does not look for newer releases if the user does not want it", async () => {
    const page = await open("settings");
    const updates = page.getByRole("switch", { name: "Tell of newer releases" });
    await updates.click();
    await expect.poll(() => updates.getAttribute("aria-checked")).toBe("false");
    expect((await calls(page, "change_settings"))[0]?.["change"]).toMatchObject({ updates: false });
  });

  it("opens the page that the tray asks for", async () => {
    const page = await open("status");
    await send(page, { kind: "navigate", page: "settings" });
    await page.getByRole("heading", { name: "Settings", exact: true }).waitFor();
  });

  it("does not tick while it is hidden", async () => {
    const page = await open("status");
    await page.getByText("26 minutes ago").waitFor();
    const timers = await page.evaluate(() => {
      const events: string[] = [];
      const [set, clear] = [globalThis.setInterval, globalThis.clearInterval];
      globalThis.setInterval = ((...args: Parameters<typeof set>) => {
        events.push("set");
        return set(...args);
      }) as typeof set;
      globalThis.clearInterval = (timer) => {
        if (timer !== undefined) events.push("cleared");
        clear(timer);
      };
      for (const state of ["hidden", "visible"]) {
        events.push(state);
        Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
      }
      return events;
    });
    expect(timers).toEqual(["hidden", "cleared", "visible", "set"]);
  });
});
