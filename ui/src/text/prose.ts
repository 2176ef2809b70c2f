// Messages quote commands and names between backticks, as in a terminal.

/** A stretch of text, set as code or not. */
export type Span = { text: string; code: boolean };

/** Splits at pairs of backticks; one without a partner stays as it is. */
export function spans(text: string): Span[] {
  return text
    .split(/(`[^`\n]+`)/)
    .filter((part) => part !== "")
    .map((part) => {
      const code = part.length > 2 && part.startsWith("`") && part.endsWith("`");
      return code ? { text: part.slice(1, -1), code } : { text: part, code };
    });
}
