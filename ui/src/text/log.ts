// The lines of a log that the page keeps, and which of them match a search.
import type { Chunk } from "../bindings";

/** The page keeps no more lines than this: about a megabyte of text. */
export const MOST_LINES = 10_000;

/** A line, with the number that the log gives it. */
export type Line = { number: number; text: string };

/** Adds a chunk. If the log was restarted, earlier lines are dropped. */
export function append(lines: readonly Line[], chunk: Chunk): Line[] {
  const before = chunk.restarted ? [] : lines;
  const added = chunk.lines.map((text, index) => ({ number: chunk.first_line + index, text }));
  return [...before, ...added].slice(-MOST_LINES);
}

/** Lines that contain `query`, in any case; all of them for an empty one. */
export function matching(lines: readonly Line[], query: string): readonly Line[] {
  const wanted = query.trim().toLowerCase();
  return wanted === "" ? lines : lines.filter(({ text }) => text.toLowerCase().includes(wanted));
}

/** A line in pieces, with matches marked. */
export function pieces(text: string, query: string): { text: string; match: boolean }[] {
  const wanted = query.trim().toLowerCase();
  const lower = text.toLowerCase();
  // Some letters change their length with their case; then the positions do not fit.
  if (wanted === "" || lower.length !== text.length) return [{ text, match: false }];
  const made: { text: string; match: boolean }[] = [];
  let from = 0;
  for (;;) {
    const at = lower.indexOf(wanted, from);
    if (at < 0) break;
    if (at > from) made.push({ text: text.slice(from, at), match: false });
    made.push({ text: text.slice(at, at + wanted.length), match: true });
    from = at + wanted.length;
  }
  if (from < text.length || made.length === 0) made.push({ text: text.slice(from), match: false });
  return made;
}
