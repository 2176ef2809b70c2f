// Short messages about what was just done. Failures that need reading are shown in place instead.
import type { Copied, Failure } from "../bindings";
import { plural } from "../text/quantity";

/** A short message, or the failure of a short action. */
export type Toast = { id: number; text: string; failure: Failure | null };

/** Long enough for a line of text to be read twice. */
const SHOWN_FOR_MS = 6000;

class Toasts {
  list = $state.raw<Toast[]>([]);
  #last = 0;

  /** Shows a message that goes away by itself. */
  say(text: string): void {
    const id = this.#add(text, null);
    setTimeout(() => this.drop(id), SHOWN_FOR_MS);
  }

  /** Shows the failure of a short action until it is dismissed. */
  fail(failure: Failure): void {
    // The same failure is not shown twice.
    this.withdraw(failure);
    this.#add("", failure);
  }

  /** Removes the toast of a failure that is shown elsewhere. */
  withdraw(failure: Failure): void {
    this.list = this.list.filter((toast) => toast.failure?.message !== failure.message);
  }

  /** Removes a toast. */
  drop(id: number): void {
    this.list = this.list.filter((toast) => toast.id !== id);
  }

  #add(text: string, failure: Failure | null): number {
    this.#last += 1;
    // Nobody reads more than three at once.
    this.list = [...this.list.slice(-2), { id: this.#last, text, failure }];
    return this.#last;
  }
}

/** The toasts that are shown. */
export const toasts = new Toasts();

/** Says what was copied, and when the clipboard is cleared. */
export function sayCopied(copied: Copied, what?: string): void {
  const subject = what ?? plural(copied.count, "variable");
  const cleared =
    copied.clears_after_seconds > 0
      ? ` The clipboard is cleared in ${copied.clears_after_seconds} seconds.`
      : "";
  toasts.say(`Copied ${subject}.${cleared}`);
}
