// Questions that stand before something that cannot be undone. One at a time.

/** A question, as it is put. */
export type Question = {
  title: string;
  /** What will happen, and what is lost. */
  text: string;
  /** The verb and the object. */
  yes: string;
  danger: boolean;
};

class Questions {
  current = $state.raw<Question | null>(null);
  #answer: ((yes: boolean) => void) | null = null;

  /** Puts a question; whether the user agreed. */
  put(question: Question): Promise<boolean> {
    // A new question takes the place of one that nobody answered.
    this.answer(false);
    this.current = question;
    return new Promise((resolve) => (this.#answer = resolve));
  }

  /** Answers the question that is being put. */
  answer(yes: boolean): void {
    this.current = null;
    this.#answer?.(yes);
    this.#answer = null;
  }
}

/** The question being put. */
export const questions = new Questions();
