// The formats of a project's variables.
import type { FileChange, Format, Project } from "../bindings";
import { fileName } from "./sources";

/** Formats in the order in which they are offered. */
export const FORMATS: readonly { value: Format; text: string; about: string }[] = [
  {
    value: "next",
    text: "Next.js",
    about: "With the prefix NEXT_PUBLIC_ on variables that the browser reads.",
  },
  { value: "vite", text: "Vite", about: "With the prefix VITE_ on variables that the browser reads." },
  { value: "expo", text: "Expo", about: "With the prefix EXPO_PUBLIC_ on variables that the app reads." },
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
export function envWritten({ path, created, added, changed }: FileChange): string {
  const file = fileName(path);
  if (!created && added + changed === 0) return `${file} is already up to date.`;
  const counts = [
    ...(added > 0 ? [`${added} added`] : []),
    ...(changed > 0 ? [`${changed} changed`] : []),
  ].join(", ");
  return `${created ? "Created" : "Updated"} ${file}${counts === "" ? "" : ` (${counts})`}.`;
}
