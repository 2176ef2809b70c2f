// Short words about what was just done. Failures that need reading are shown where they belong instead.
import type { Copied, Failure } from "../bindings";
import { plural } from "../text/quantity";

/** Something to be read in passing, or a failure of a small action. */
export type Toast = { id: number; text: string; failure: Failure | null };

/** Long enough for a line of text to be read twice. */
const SHOWN_FOR_MS = 6000;

class Toasts {
  list = $state.raw<Toast[]>([]);
  #last = 0;

  /** Says something that goes away by itself. */
  say(text: string): void {
    const id = this.#add(text, null);
    setTimeout(() => this.drop(id), SHOWN_FOR_MS);
  }

  /** Says that a small action failed; stays until it is dismissed. */
  fail(failure: Failure): void {
    // The same failure twice is one failure.
    this.list = this.list.filter((toast) => toast.failure?.message !== failure.message);
    this.#add("", failure);
  }

  /** Takes a toast away. */
  drop(id: number): void {
    this.list = this.list.filter((toast) => toast.id !== id);
  }

  #add(text: string, failure: Failure | null): number {
    this.#last += 1;
    // More than three at once are not read.
    this.list = [...this.list.slice(-2), { id: this.#last, text, failure }];
    return this.#last;
  }
}

/** The toasts being shown. */
export const toasts = new Toasts();

/** Says what is on the clipboard, and for how long. */
export function sayCopied(copied: Copied, what?: string): void {
  const subject = what ?? plural(copied.count, "variable");
  const cleared =
    copied.clearsAfterSeconds > 0 ? ` The clipboard is cleared in ${copied.clearsAfterSeconds} seconds.` : "";
  toasts.say(`Copied ${subject}.${cleared}`);
}
