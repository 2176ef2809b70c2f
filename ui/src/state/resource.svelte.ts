// The answer of a command that is asked on demand: not there yet, there, or failed.
import type { Failure } from "../bindings";
import { asFailure, ask } from "../bridge";
import type { Answer } from "../bridge";

/** The latest answer of a command. */
export class Resource<T> {
  value = $state.raw<T | null>(null);
  failure = $state.raw<Failure | null>(null);
  asking = $state(false);
  readonly #command: () => Promise<Answer<T>>;
  #last = 0;

  constructor(command: () => Promise<Answer<T>>) {
    this.#command = command;
  }

  /** Asks. The previous answer stays until the new one arrives; a late older answer is dropped. */
  async ask(): Promise<void> {
    this.#last += 1;
    const mine = this.#last;
    this.asking = true;
    try {
      const value = await ask(this.#command());
      if (mine !== this.#last) return;
      this.value = value;
      this.failure = null;
    } catch (error) {
      if (mine !== this.#last) return;
      this.failure = asFailure(error);
    } finally {
      if (mine === this.#last) this.asking = false;
    }
  }

  /** Drops the answer, and one that is still to come. */
  clear(): void {
    this.#last += 1;
    this.value = null;
    this.failure = null;
    this.asking = false;
  }
}
