// The table from error codes to what the page says and offers. The message and the hint come from the engine;
// this file adds the title in the user's words and the button that does what helps.
import type { Failure, Page } from "../bindings";

/** What a failure's button does. */
export type Remedy =
  | { kind: "retry"; label: string }
  | { kind: "page"; page: Page; label: string }
  | { kind: "capture"; label: string }
  | { kind: "reset"; label: string }
  | { kind: "stop"; label: string };

type Entry = {
  title: string;
  remedy?: Remedy;
  /** The button does what the engine's hint says in words of the command line. */
  replacesHint?: true;
};

const retry: Remedy = { kind: "retry", label: "Try again" };
const toLogs: Remedy = { kind: "page", page: "logs", label: "Show the logs" };
const toSettings: Remedy = { kind: "page", page: "settings", label: "Open settings" };
const toPorts: Remedy = { kind: "page", page: "settings", label: "Change the port" };
const toImages: Remedy = { kind: "page", page: "images", label: "Choose an image" };
const toPrune: Remedy = { kind: "page", page: "images", label: "Free up space" };
const toChecks: Remedy = { kind: "page", page: "welcome", label: "Run the checks" };
const addToken: Remedy = { kind: "page", page: "settings", label: "Set the token" };
const capture: Remedy = { kind: "capture", label: "Take a new snapshot" };
const reset: Remedy = { kind: "reset", label: "Discard the session…" };
const stop: Remedy = { kind: "stop", label: "Stop the emulator" };

// A title is true for every error behind its code: it names their common effect, not one cause.
const TABLE: Readonly<Record<string, Entry>> = {
  // The host.
  qemu_missing: { title: "QEMU is not installed or too old", remedy: toChecks },
  qemu_start: { title: "QEMU did not start", remedy: toLogs, replacesHint: true },
  qemu_died: { title: "The virtual machine stopped unexpectedly", remedy: toLogs, replacesHint: true },
  qemu: { title: "A command to QEMU failed", remedy: toLogs },
  migration: { title: "The virtual machine’s state could not be saved or loaded", remedy: toLogs },
  accelerator: { title: "QEMU cannot run a virtual machine on this computer", remedy: toChecks },
  accelerator_failed: { title: "Hardware virtualization failed on this computer", remedy: toChecks },
  process: { title: "A process could not be checked or stopped" },
  random: { title: "The operating system’s random source failed", remedy: retry },
  folder: { title: "The emulator’s folder cannot be used", remedy: retry },
  file: { title: "A file could not be read or written", remedy: retry },
  record: { title: "One of the emulator’s own files cannot be read or written" },
  disk_full: { title: "Not enough disk space", remedy: toPrune },
  port_taken: { title: "A port is in use by another program", remedy: toPorts, replacesHint: true },
  port_setting: { title: "A port setting is not valid", remedy: toPorts },
  too_small: {
    title: "The virtual machine is too small for the image",
    remedy: toSettings,
    replacesHint: true,
  },
  setting: { title: "A setting is not valid", remedy: toSettings },

  // The instance.
  busy: { title: "The emulator is busy", remedy: retry },
  running: { title: "The emulator is running", remedy: stop, replacesHint: true },
  not_running: {
    title: "The emulator is not running",
    remedy: { kind: "page", page: "status", label: "Go to Status" },
  },
  watch: { title: "Cannot watch for changes made by other programs", remedy: retry },
  not_ready: { title: "The services did not become ready in time", remedy: toLogs },
  rotation: { title: "The secrets could not be rotated", remedy: toLogs },
  guest: { title: "Something inside the virtual machine failed", remedy: toLogs, replacesHint: true },
  stop: { title: "The virtual machine could not be stopped", remedy: retry },
  config_disk: { title: "The virtual machine’s settings could not be written", remedy: retry },
  overlay: { title: "The session’s disk could not be created", remedy: retry },
  session_damaged: { title: "The saved session’s memory is damaged" },
  no_snapshot: { title: "There is no snapshot", remedy: capture, replacesHint: true },
  snapshot_damaged: { title: "The snapshot is damaged", remedy: capture, replacesHint: true },
  session_base: { title: "The session’s disk cannot be used", remedy: reset, replacesHint: true },
  other_image: { title: "The saved session belongs to another image", remedy: reset, replacesHint: true },
  archive: { title: "The archive file cannot be used" },

  // Images.
  image_missing: { title: "The image is missing", remedy: toImages, replacesHint: true },
  image: { title: "The image cannot be used", remedy: toImages },
  image_in_use: { title: "The image is in use" },
  image_unknown: { title: "There is no such image" },
  image_ambiguous: { title: "More than one image has this name" },
  image_damaged: { title: "The image is damaged", remedy: toImages },
  image_store: { title: "The folder of images cannot be used", remedy: retry },
  manifest: { title: "The image’s description cannot be used" },
  manifest_digest: { title: "The image does not match its description", remedy: retry },
  session_kept: { title: "The saved session belongs to another image", remedy: reset },
  no_disk: { title: "The download contains no disk image" },
  artifact_damaged: { title: "The build’s files are damaged", remedy: retry },
  artifact_refused: { title: "The build contains files that are not allowed" },
  artifact_expired: { title: "GitHub has deleted this build" },
  no_asset: { title: "The release has no image for this computer" },
  asset_uploading: { title: "The release’s image is still being uploaded", remedy: retry },
  no_build: { title: "No build was found" },
  no_artifact: { title: "The build has no image for this computer" },
  build_running: { title: "The build is still running", remedy: retry },
  build_failed: { title: "The build failed" },
  download_answer: { title: "The server sent an invalid response", remedy: retry },
  download_length: { title: "The download is incomplete", remedy: retry },
  download_too_large: { title: "The download is too large" },
  download_digest: { title: "The download does not match its published digest", remedy: retry },
  download_unstable: { title: "The image keeps changing while it is being downloaded", remedy: retry },

  // GitHub.
  network: { title: "GitHub cannot be reached", remedy: retry },
  redirect: { title: "The server’s redirect was not followed" },
  tls_setup: { title: "Secure connections do not work on this computer" },
  tls_certificate: { title: "The server’s certificate was not accepted", remedy: retry },
  rate_limited: { title: "GitHub’s request limit is reached", remedy: addToken },
  token_needed: { title: "This download needs a GitHub token", remedy: addToken },
  token_in_clear: { title: "The GitHub token would be sent unencrypted" },
  github_token_refused: { title: "GitHub does not accept the token", remedy: addToken },
  github_forbidden: { title: "GitHub denied access", remedy: addToken },
  github_not_found: { title: "Not found on GitHub" },
  github_expired: { title: "No longer available on GitHub" },
  github_status: { title: "GitHub returned an error", remedy: retry },
  github_answer: { title: "GitHub sent an invalid response", remedy: retry },
  github_api_address: { title: "The address of the GitHub API is not valid" },

  // Secrets and credentials.
  secret_store: { title: "The secrets could not be read or stored", remedy: retry },
  secrets_missing: { title: "The secrets are missing" },
  key_refused: { title: "The backend does not accept the emulator’s own key", remedy: retry },
  config_file: { title: "The config file cannot be used" },
  env_file: { title: "The .env file could not be written" },
  no_backend: { title: "The image has no backend service" },
  backend_unreachable: { title: "The backend does not answer", remedy: toLogs },
  backend_failed: { title: "The backend could not create credentials", remedy: toLogs },
  folder_share: { title: "The project’s folder could not be shared", remedy: retry },
  not_shared: { title: "This folder is not shared" },
  too_many_folders: { title: "No more folders can be shared" },
  folder_refused: { title: "This folder cannot be shared" },
  clipboard: { title: "The clipboard cannot be used", remedy: retry },

  // The app.
  log_missing: { title: "There is no log yet" },
  log: { title: "The log cannot be read or written", remedy: retry },
  link: { title: "The link or file could not be opened" },
  autostart: { title: "Opening at login could not be changed" },
  cancelled: { title: "Canceled" },
  internal: { title: "Internal error" },
};

/** A failure as the page shows it. */
export type Description = {
  title: string;
  /** What happened and why. */
  message: string;
  /** The further lines of a message, such as a program's output. */
  details: string | null;
  /** What to do, if no button does it. */
  hint: string | null;
  remedy: Remedy | null;
};

/** Whether the table knows `code`. */
export const isKnown = (code: string): boolean => Object.hasOwn(TABLE, key(code));

/** Codes are written with hyphens or underscores, by where they come from. */
const key = (code: string): string => code.replaceAll("-", "_");

/** Puts a failure into words. */
export function describe(failure: Failure): Description {
  const entry = isKnown(failure.code) ? TABLE[key(failure.code)] : undefined;
  // The first line says what happened; a program's output follows.
  const [first = "", ...rest] = failure.message.trim().split("\n");
  const details = rest.join("\n").trim();
  return {
    title: entry?.title ?? "The operation failed",
    message: sentence(first),
    details: details === "" ? null : details,
    hint: entry?.replacesHint ? null : failure.hint,
    remedy: entry?.remedy ?? null,
  };
}

/** A failure as text for a report. */
export function asReport(failure: Failure, version: string): string {
  const hint = failure.hint === null ? "" : `\nhint: ${failure.hint}`;
  return `Stack Emulator ${version}\ncode: ${failure.code}\n${failure.message}${hint}\n`;
}

/** A message that follows a colon: gets a full stop, keeps its first letter. */
export function clause(text: string): string {
  const trimmed = text.trim();
  return trimmed === "" || /[.!?…:]$/.test(trimmed) ? trimmed : `${trimmed}.`;
}

/** A message as a sentence: the engine's begin with a small letter and have no full stop. */
export function sentence(text: string): string {
  const ended = clause(text);
  return ended.charAt(0).toUpperCase() + ended.slice(1);
}
