// What buttons do. A long operation shows its outcome as an activity, so its rejection is not shown a second
// time; a short action reports its failure in a toast.
import { commands } from "../bindings";
import type { Activity, ImageSource } from "../bindings";
import { ask, asFailure } from "../bridge";
import type { Answer } from "../bridge";
import { refreshed, staleFiles } from "../text/formats";
import { canUseOtherPorts } from "../text/ports";
import type { Action } from "../text/remedies";
import { attempt } from "./attempt";
import { observed } from "./emulator.svelte";
import { moved } from "./moved.svelte";
import { questions } from "./questions.svelte";
import { route } from "./route.svelte";
import { changeSettings } from "./settings";
import { sayCopied, toasts } from "./toasts.svelte";

export { attempt };

/**
 * Runs a long operation. Once it has begun, its activity says how it ended, even to a page that was reloaded.
 * Shown here is only that it could not begin, or that the bridge itself is broken.
 */
async function operate(begin: () => Promise<Answer<null>>): Promise<void> {
  try {
    await ask(begin());
  } catch (error) {
    const failure = asFailure(error);
    if (failure.code === "busy" || failure.code === "internal") toasts.fail(failure);
  }
}

export const start = (): Promise<void> => operate(() => commands.start(false));
export const restart = (): Promise<void> => operate(() => commands.restart());
export const reset = (): Promise<void> => operate(() => commands.reset());
export const capture = (): Promise<void> => operate(() => commands.capture());
export const rotate = (): Promise<void> => operate(() => commands.rotateSecrets());
export const stop = (discardSession = false): Promise<void> => operate(() => commands.stop(discardSession));
export const setUp = (source: ImageSource): Promise<void> => operate(() => commands.setUp(source, false));
export const pull = (source: ImageSource): Promise<void> => operate(() => commands.pull(source, true));

export const createCheckpoint = (name: string): Promise<void> =>
  operate(() => commands.createCheckpoint(name));
export const restoreCheckpoint = (name: string): Promise<void> =>
  operate(() => commands.restoreCheckpoint(name));

/** Does what failed since another program has a port, on the next ports that are free. */
export function startOnOtherPorts(): Promise<void> {
  moved.watch();
  const { task, source, outcome } = observed.activity ?? {};
  if (outcome?.kind === "failed") toasts.withdraw(outcome.failure);
  if (task === "set_up" && source) return operate(() => commands.setUp(source, true));
  // What it leads to is said there.
  route.go("status");
  return operate(() => commands.start(true));
}

/** Writes all `.env` files again that credentials were written to. Returns whether that worked. */
export const refreshEnvFiles = (): Promise<boolean> =>
  attempt(async () => {
    toasts.say(refreshed(await ask(commands.refreshEnvFiles())));
  });

/** Cancels the running activity. */
export function cancel(): void {
  const activity = observed.activity;
  if (activity) void attempt(() => ask(commands.cancel(activity.id)));
}

/** Removes an activity that has ended from the page. */
export function dismiss(): void {
  const activity = observed.activity;
  if (activity) void attempt(() => ask(commands.dismiss(activity.id)));
}

/** Copies text that is not secret to the clipboard. */
export function copyText(text: string, what: string): void {
  void attempt(async () => {
    await ask(commands.copyText(text));
    sayCopied({ count: 1, clears_after_seconds: 0 }, what);
  });
}

/** Selects an installed image for the next start. */
export function useImage(digest: string, name: string): Promise<boolean> {
  return attempt(async () => {
    await ask(commands.useImage(digest));
    toasts.say(`Selected ${name} for the next start.`);
  });
}

/** Opens an address in the user's browser. */
export function openLink(url: string): void {
  void attempt(() => ask(commands.openLink(url)));
}

/** Has a newer release of this program not shown again. */
export function dismissRelease(version: string): void {
  void attempt(() => ask(commands.dismissRelease(version)));
}

/** Has a newer release of this program take this app's place. */
export function installRelease(version: string): void {
  void attempt(() => ask(commands.installRelease(version)));
}

/** Has the download of a newer release end. */
export function cancelInstall(): void {
  void attempt(() => ask(commands.cancelInstall()));
}

/** Restarts the app, with what was installed. */
export function restartApp(): void {
  void attempt(() => ask(commands.restartApp()));
}

/** Shows a file in the file browser. */
export function showInFolder(path: string): void {
  void attempt(() => ask(commands.showInFolder(path)));
}

/** Has images come from another repository, then does `next`. */
export async function useImagesOf(repository: string, next: () => void): Promise<void> {
  if (await attempt(() => changeSettings({ repository }))) next();
}

/** Runs an activity's task again, as far as the activity says what it was. */
function again({ task, source, subject }: Activity): void {
  switch (task) {
    case "start":
      return void start();
    case "stop":
      return void stop();
    case "restart":
      return void restart();
    case "reset":
      return void reset();
    case "capture":
      return void capture();
    case "rotate":
      return void rotate();
    case "checkpoint":
      if (subject !== null) void createCheckpoint(subject);
      return;
    case "restore":
      if (subject !== null) void restoreCheckpoint(subject);
      return;
    case "pull":
      if (source) void pull(source);
      else route.go("images");
      return;
    case "set_up":
      if (source) void setUp(source);
      else route.go("welcome");
      return;
  }
}

/** Whether a failure's button would do what it says. `retry`: whether "Try again" does something there. */
export function isOffered(action: Action, retry: boolean): boolean {
  switch (action.kind) {
    case "retry":
      return retry || observed.activity !== null;
    case "other_ports":
      return canUseOtherPorts(observed.activity, observed.settings?.ports ?? [], action.services);
    default:
      return true;
  }
}

/** Does what a failure's button says. `retry`: what "Try again" does there. */
export function applyAction(action: Action, retry: (() => void) | null): void {
  const tryAgain = (): void => {
    if (retry) retry();
    else if (observed.activity) again(observed.activity);
  };
  switch (action.kind) {
    case "retry":
      tryAgain();
      return;
    case "repository":
      return void useImagesOf(action.repository, tryAgain);
    case "page":
      route.go(action.page);
      return;
    case "start":
      return void start();
    case "other_ports":
      return void startOnOtherPorts();
    case "capture":
      return void capture();
    case "rotate":
      return void rotateAfterAsking();
    case "reset":
      return void resetAfterAsking();
    case "stop":
      return void stop();
  }
}

/** Discards the session after asking. */
export async function resetAfterAsking(): Promise<void> {
  // The question is worth more than the list: without it, it is put all the same.
  const files = await ask(commands.staleEnvFiles()).catch(() => []);
  const agreed = await questions.ask({
    title: "Reset the emulator?",
    text: `This deletes all users, projects and data created since the snapshot was taken. The next start is from the clean snapshot. ${staleFiles(files)}`,
    yes: "Discard session",
    danger: true,
  });
  if (agreed) await reset();
}

/** Rotates the secrets after saying what stops working. */
export async function rotateAfterAsking(): Promise<void> {
  const agreed = await questions.ask({
    title: "Rotate the secrets?",
    text: "The four secrets of this emulator stop working at once; anything that uses them needs the new values. Project credentials are not affected.",
    yes: "Rotate the secrets",
    danger: false,
  });
  if (agreed) await rotate();
}

/** Restores a checkpoint, after asking if anything would be lost. */
export async function restoreAfterAsking(name: string): Promise<void> {
  const status = observed.status;
  const lost =
    status?.state !== "stopped"
      ? "This ends the running emulator without saving its session."
      : status.session_kept
        ? "This replaces the saved session."
        : null;
  const agreed =
    lost === null ||
    (await questions.ask({
      title: `Restore the checkpoint ${name}?`,
      text: `${lost} All users, projects and data that are not in the checkpoint are deleted.`,
      yes: "Restore checkpoint",
      danger: true,
    }));
  if (agreed) await restoreCheckpoint(name);
}

/** Deletes a checkpoint after asking. Returns whether it is gone. */
export async function deleteCheckpointAfterAsking(name: string): Promise<boolean> {
  const agreed = await questions.ask({
    title: `Delete the checkpoint ${name}?`,
    text: "This deletes all users, projects and data that only this checkpoint has. A running emulator is not affected.",
    yes: "Delete checkpoint",
    danger: true,
  });
  return agreed && (await attempt(() => ask(commands.deleteCheckpoint(name))));
}
