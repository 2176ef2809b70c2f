// The formats of a project's variables.
import type { FileChange, Format, Project, RefreshedFiles } from "../bindings";
import { fileName } from "./sources";

/** Formats in the order in which they are offered. */
export const FORMATS: readonly { value: Format; text: string; about: string }[] = [
  {
    value: "next",
    text: "Next.js",
    about: "With the prefix NEXT_PUBLIC_ on variables that the browser reads.",
  },
  {
    value: "vite",
    text: "Vite",
    about: "With the prefix VITE_ on variables that the browser reads.",
  },
  {
    value: "expo",
    text: "Expo",
    about: "With the prefix EXPO_PUBLIC_ on variables that the app reads.",
  },
  { value: "dotenv", text: ".env", about: "Without prefixes, as lines of a .env file." },
  { value: "env", text: "Shell", about: "Export commands to paste into a terminal." },
  { value: "json", text: "JSON", about: "One JSON object." },
];

/** The file that a format's variables are written to; null if they are not written to one. */
export const envFile = (project: Project, format: Format): string | null =>
  project.env_files.find((file) => file.format === format)?.name ?? null;

/** A format's name. */
export const formatName = (format: Format): string =>
  FORMATS.find(({ value }) => value === format)?.text ?? format;

/** What writing a `.env` file did. */
export function envWritten({ clashes, ...change }: FileChange): string {
  const others = clashes.map(
    ({ file, names }) => ` ${fileName(file)} has other values for ${names.join(", ")}: remove them there.`,
  );
  return written(change) + others.join("");
}

function written({ path, created, added, changed }: Omit<FileChange, "clashes">): string {
  const file = fileName(path);
  if (!created && added + changed === 0) return `${file} is already up to date.`;
  const counts = [
    ...(added > 0 ? [`${added} added`] : []),
    ...(changed > 0 ? [`${changed} changed`] : []),
  ].join(", ");
  return `${created ? "Created" : "Updated"} ${file}${counts === "" ? "" : ` (${counts})`}.`;
}

/** What writing all `.env` files again did. */
export function refreshed({ updated, unchanged, skipped, failed }: RefreshedFiles): string {
  const files = (count: number): string => `${count} ${count === 1 ? "file" : "files"}`;
  const done =
    updated > 0
      ? `Updated ${files(updated)}.`
      : unchanged > 0
        ? "The files are up to date."
        : "No file was written.";
  const left =
    skipped > 0 ? [`Left ${files(skipped)} unchanged: moved, or with other credentials by now.`] : [];
  return [done, ...left, ...failed.map((reason) => `Failed: ${reason}.`)].join(" ");
}

/** What a reset does to `.env` files. */
export function staleFiles(files: readonly string[]): string {
  const stale = "Credentials already in .env files stop working";
  return files.length === 0
    ? `${stale}; write them again after the next start.`
    : `${stale} (${files.join(", ")}). After the next start, write them again on the page Credentials.`;
}
