// The time, for texts such as "26 minutes ago". Ticks only while something shows it and the window is visible,
// so that a hidden window costs nothing.
import { createSubscriber } from "svelte/reactivity";

class Clock {
  readonly #everyMs: number;
  readonly #subscribe: () => void;

  constructor(everyMs: number) {
    this.#everyMs = everyMs;
    this.#subscribe = createSubscriber((tick) => {
      let timer: ReturnType<typeof setInterval> | undefined;
      const follow = () => {
        clearInterval(timer);
        timer = undefined;
        if (document.visibilityState === "hidden") return;
        tick();
        timer = setInterval(tick, this.#everyMs);
      };
      follow();
      document.addEventListener("visibilitychange", follow);
      return () => {
        clearInterval(timer);
        document.removeEventListener("visibilitychange", follow);
      };
    });
  }

  /** Now, in milliseconds since the Unix epoch. */
  get now(): number {
    this.#subscribe();
    return Date.now();
  }
}

/** For times shown in minutes. */
export const slow = new Clock(15_000);
/** For times shown in seconds. */
export const quick = new Clock(1000);
