// The formats of a project's variables: what each is for.
import type { Format, Project } from "../bindings";

/** Formats in the order in which they are offered. */
export const FORMATS: readonly { value: Format; text: string; about: string }[] = [
  { value: "next", text: "Next.js", about: "With the prefix NEXT_PUBLIC_ where the browser needs them." },
  { value: "vite", text: "Vite", about: "With the prefix VITE_ where the browser needs them." },
  { value: "expo", text: "Expo", about: "With the prefix EXPO_PUBLIC_ where the app needs them." },
  { value: "dotenv", text: ".env", about: "Without prefixes, as lines of an .env file." },
  { value: "env", text: "Shell", about: "As export commands to paste into a terminal." },
  { value: "json", text: "JSON", about: "As one object." },
];

/** The file that a project's variables are written to in a format; null if they are not. */
export const envFile = (project: Project, format: Format): string | null =>
  project.envFiles.find((file) => file.format === format)?.name ?? null;

/** A format's name. */
export const formatName = (format: Format): string =>
  FORMATS.find(({ value }) => value === format)?.text ?? format;
