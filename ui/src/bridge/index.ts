// The page's calls to the engine: returns the value of a generated command, or throws the failure that Rust sent.
import type { Failure } from "../bindings";

/** The result of a generated command. */
export type Answer<T> = { status: "ok"; data: T } | { status: "error"; error: Failure };

/** A failure of the engine as an error. */
export class Refused extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.message);
    this.name = "Refused";
    this.failure = failure;
  }
}

/** The value of a command; throws [`Refused`] if the engine failed. */
export async function ask<T>(answer: Promise<Answer<T>>): Promise<T> {
  const said = await answer;
  if (said.status === "error") throw new Refused(said.error);
  return said.data;
}

/** A caught error as a failure to show. Anything but `Refused` is a fault of this app. */
export function asFailure(caught: unknown): Failure {
  if (caught instanceof Refused) return caught.failure;
  const message = caught instanceof Error ? caught.message : String(caught);
  return { code: "internal", message, hint: null, remedy: null };
}
