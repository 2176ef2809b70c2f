// Confirmations before actions that cannot be undone. One at a time.

/** A question. */
export type Question = {
  title: string;
  /** What will happen, and what will be lost. */
  text: string;
  /** The button: a verb and its object. */
  yes: string;
  danger: boolean;
};

class Questions {
  current = $state.raw<Question | null>(null);
  #answer: ((yes: boolean) => void) | null = null;

  /** Asks a question. Returns whether the user agreed. */
  ask(question: Question): Promise<boolean> {
    // A new question replaces one that was not answered.
    this.answer(false);
    this.current = question;
    return new Promise((resolve) => (this.#answer = resolve));
  }

  /** Answers the pending question. */
  answer(yes: boolean): void {
    this.current = null;
    this.#answer?.(yes);
    this.#answer = null;
  }
}

/** The pending question. */
export const questions = new Questions();
