// Where an image comes from, in words and as typed by the user.
import type { ImageSource, UnfinishedPull } from "../bindings";
import { bytes } from "./quantity";

/** `PR 1234`, `run 987`, a tag, a file's name. */
export function sourceName(source: ImageSource): string {
  switch (source.kind) {
    case "rolling":
      return source.branch === null ? "newest release" : `newest of ${source.branch}`;
    case "tag":
      return source.tag;
    case "pull_request":
      return `PR ${source.number}`;
    case "run":
      return `run ${source.id}`;
    case "file":
      return fileName(source.path);
  }
}

/** What an earlier pull or set-up has left to be done. */
export function leftOver({ name, done, total, setUp }: UnfinishedPull): string {
  if (done < total) return `The download of ${name} ended early, at ${bytes(done)} of ${bytes(total)}.`;
  return setUp ? `Setting up with ${name} was not finished.` : `The download of ${name} was not finished.`;
}

/** The last part of a path. */
export function fileName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** Whether two sources are the same. */
export function sameSource(one: ImageSource, other: ImageSource): boolean {
  return JSON.stringify(Object.entries(one).sort()) === JSON.stringify(Object.entries(other).sort());
}

/** The number of a pull request from `1234`, `#1234` or its address; null if it is none of these. */
export function pullRequestNumber(typed: string): number | null {
  return positive(/^(?:#|https:\/\/[^/\s]+\/[^/\s]+\/[^/\s]+\/pull\/)?(\d+)(?:[/?#].*)?$/.exec(typed.trim()));
}

/** The identifier of a workflow run from itself or its address; null if it is neither. */
export function runId(typed: string): number | null {
  return positive(
    /^(?:https:\/\/[^/\s]+\/[^/\s]+\/[^/\s]+\/actions\/runs\/)?(\d+)(?:[/?#].*)?$/.exec(typed.trim()),
  );
}

function positive(match: RegExpExecArray | null): number | null {
  const number = Number(match?.[1] ?? Number.NaN);
  return Number.isSafeInteger(number) && number > 0 ? number : null;
}

/** The first 12 digits of a digest, without the algorithm. */
export function shortDigest(digest: string): string {
  return digest.replace(/^[a-z0-9]+:/, "").slice(0, 12);
}
