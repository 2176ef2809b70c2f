// Whether a start that was told to has left the emulator's ports for others, so that credentials in files are stale.
import { addresses } from "../text/ports";
import { observed } from "./emulator.svelte";

class Moved {
  #before = $state.raw<string | null>(null);

  /** Notes the addresses before a start on other ports. */
  watch(): void {
    this.#before = addresses(observed.status?.services ?? []);
  }

  /** Whether the emulator runs on other ports than it had then. */
  get yes(): boolean {
    const status = observed.status;
    return (
      this.#before !== null && status?.state === "running" && addresses(status.services) !== this.#before
    );
  }

  /** Has it not told of again. */
  dismiss(): void {
    this.#before = null;
  }
}

/** The one note of it. */
export const moved = new Moved();
