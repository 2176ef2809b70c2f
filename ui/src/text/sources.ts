// Where an image comes from, in words and as the user types it.
import type { ImageSource, InstalledImage, InstalledImages, UnfinishedPull } from "../bindings";
import { bytes } from "./quantity";

/** `PR 1234`, `workflow run 987`, a tag, a file's name. */
export function sourceName(source: ImageSource): string {
  switch (source.kind) {
    case "rolling":
      return source.branch === null ? "latest release" : `latest of ${source.branch}`;
    case "tag":
      return source.tag;
    case "pull_request":
      return `PR ${source.number}`;
    case "run":
      return `workflow run ${source.id}`;
    case "file":
      return fileName(source.path);
  }
}

/** What an earlier download or setup left unfinished. */
export function leftOver({ name, done, total, set_up }: UnfinishedPull): string {
  if (done < total) return `The download of ${name} stopped at ${bytes(done)} of ${bytes(total)}.`;
  return set_up ? `Setup with ${name} is not finished.` : `The download of ${name} is not finished.`;
}

/** The images that no instance uses and the next start does not either. */
export const unusedImages = ({ images }: InstalledImages): InstalledImage[] =>
  images.filter((image) => !image.in_use && image.used_by.length === 0);

/** What removing unused images deletes, and whether it can be downloaded again. */
export function pruneConsequence(installed: InstalledImages): string {
  const what = "Deletes images that no instance uses, their snapshots, and unfinished downloads.";
  const files = unusedImages(installed).filter(({ source }) => source?.kind === "file");
  if (files.length === 0) return `${what} They can be downloaded again.`;
  const names = files.map(({ name }) => name).join(" and ");
  const verb = files.length === 1 ? "was" : "were";
  return `${what} ${names} ${verb} added from a file and cannot be downloaded again.`;
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
