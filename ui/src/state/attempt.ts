// Short actions, whose failure is shown in a toast.
import { asFailure } from "../bridge";
import { toasts } from "./toasts.svelte";

/** Runs a short action; a failure is shown in a toast. Returns whether it worked. */
export async function attempt(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    toasts.fail(asFailure(error));
    return false;
  }
}
