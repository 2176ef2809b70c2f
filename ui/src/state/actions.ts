// What buttons do. Long operations show their outcome as an activity, so their own rejection is not
// shown a second time; small ones say in a toast what went wrong.
import { commands } from "../bindings";
import type { Activity, ImageSource } from "../bindings";
import { ask, asFailure } from "../bridge";
import type { Answer } from "../bridge";
import type { Remedy } from "../text/failures";
import { observed } from "./emulator.svelte";
import { questions } from "./questions.svelte";
import { route } from "./route.svelte";
import { sayCopied, toasts } from "./toasts.svelte";

/** Runs a small action; a failure is told in passing. Whether it worked. */
export async function small(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    toasts.fail(asFailure(error));
    return false;
  }
}

/**
 * Runs a long operation. Once it has begun, its activity tells how it ended, to a page that was reloaded as
 * well; told here is only that it could not begin, or that the bridge itself is broken.
 */
async function long(begin: () => Promise<Answer<null>>): Promise<void> {
  try {
    await ask(begin());
  } catch (error) {
    const failure = asFailure(error);
    if (failure.code === "busy" || failure.code === "internal") toasts.fail(failure);
  }
}

export const start = (): Promise<void> => long(() => commands.start());
export const restart = (): Promise<void> => long(() => commands.restart());
export const reset = (): Promise<void> => long(() => commands.reset());
export const capture = (): Promise<void> => long(() => commands.capture());
export const rotate = (): Promise<void> => long(() => commands.rotateSecrets());
export const stop = (discardSession = false): Promise<void> => long(() => commands.stop(discardSession));
export const setUp = (source: ImageSource): Promise<void> => long(() => commands.setUp(source));
export const pull = (source: ImageSource): Promise<void> => long(() => commands.pull(source, true));

/** Cancels the activity under way. */
export function cancel(): void {
  const activity = observed.activity;
  if (activity) void small(() => ask(commands.cancel(activity.id)));
}

/** Takes an activity that has ended off the page. */
export function dismiss(): void {
  const activity = observed.activity;
  if (activity) void small(() => ask(commands.dismiss(activity.id)));
}

/** Puts text that is no secret on the clipboard. */
export function copyText(text: string, what: string): void {
  void small(async () => {
    await ask(commands.copyText(text));
    sayCopied({ count: 1, clearsAfterSeconds: 0 }, what);
  });
}

/** Makes an installed image the one that the next start uses. */
export function useImage(digest: string, name: string): Promise<boolean> {
  return small(async () => {
    await ask(commands.useImage(digest));
    toasts.say(`The next start uses ${name}.`);
  });
}

/** Opens an address in the user's browser. */
export function openLink(url: string): void {
  void small(() => ask(commands.openLink(url)));
}

/** Shows a file where it lies. */
export function showInFolder(path: string): void {
  void small(() => ask(commands.showInFolder(path)));
}

/** Does again what an activity was to do, where that can be told from it. */
function again({ task, source }: Activity): void {
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

/** Does the one thing that a failure asks for. `retry` is what "Try again" means there. */
export function heal(remedy: Remedy, retry: (() => void) | null): void {
  switch (remedy.kind) {
    case "retry":
      if (retry) retry();
      else if (observed.activity) again(observed.activity);
      return;
    case "page":
      route.go(remedy.page);
      return;
    case "capture":
      return void capture();
    case "reset":
      return void resetAfterAsking();
    case "stop":
      return void stop();
  }
}

/** Drops the session once the user has agreed to lose it. */
export async function resetAfterAsking(): Promise<void> {
  const agreed = await questions.put({
    title: "Drop the session?",
    text: "Everything done in the emulator since its snapshot was taken is lost: users, projects, data. The next start is from the clean snapshot.",
    yes: "Drop the session",
    danger: true,
  });
  if (agreed) await reset();
}

/** Replaces the secrets once the user knows what stops working. */
export async function rotateAfterAsking(): Promise<void> {
  const agreed = await questions.put({
    title: "Replace the secrets?",
    text: "The four keys of this emulator stop working at once. Apps that use project credentials keep theirs.",
    yes: "Replace the secrets",
    danger: false,
  });
  if (agreed) await rotate();
}
