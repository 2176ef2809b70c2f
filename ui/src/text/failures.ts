// The one table from error codes to what the page says and offers. The message and the hint come from the
// engine; what is here is the headline in the user's words, and the button that does the one thing to do.
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
const toChecks: Remedy = { kind: "page", page: "welcome", label: "Run the checks" };
const addToken: Remedy = { kind: "page", page: "settings", label: "Set the token" };
const capture: Remedy = { kind: "capture", label: "Take a new snapshot" };
const reset: Remedy = { kind: "reset", label: "Drop the session" };
const stop: Remedy = { kind: "stop", label: "Stop the emulator" };

const TABLE: Readonly<Record<string, Entry>> = {
  // The host.
  qemu_missing: { title: "QEMU is not installed, or too old", remedy: toChecks },
  qemu_start: { title: "QEMU did not start", remedy: toLogs, replacesHint: true },
  qemu_died: { title: "The virtual machine ended unexpectedly", remedy: toLogs, replacesHint: true },
  qemu: { title: "QEMU refused a command", remedy: toLogs },
  migration: { title: "The machine’s state could not be saved or loaded", remedy: toLogs },
  accelerator: { title: "No way to run a virtual machine works here", remedy: toChecks },
  accelerator_failed: { title: "Hardware virtualisation failed on this computer", remedy: toChecks },
  process: { title: "The system does not tell about its processes" },
  random: { title: "The system gave no random numbers", remedy: retry },
  folder: { title: "The emulator’s folder cannot be used", remedy: retry },
  file: { title: "A file could not be read or written", remedy: retry },
  record: { title: "One of the emulator’s own files cannot be read" },
  disk_full: { title: "There is not enough room on the disk", remedy: toImages },
  port_taken: { title: "A port is in use by another program", remedy: toPorts, replacesHint: true },
  port_setting: { title: "A port setting cannot be used", remedy: toPorts },
  too_small: {
    title: "The image needs more than the machine is given",
    remedy: toSettings,
    replacesHint: true,
  },
  environment: { title: "An environment variable has a value that cannot be used" },
  setting: { title: "A setting cannot be used", remedy: toSettings },
  system: { title: "The system refused something the app needs" },

  // The instance.
  busy: { title: "The emulator is busy with something else", remedy: retry },
  running: { title: "This cannot be done while the emulator runs", remedy: stop, replacesHint: true },
  not_running: {
    title: "The emulator is not running",
    remedy: { kind: "page", page: "status", label: "Go to Status" },
  },
  watch: { title: "Changes by other programs cannot be seen", remedy: retry },
  not_ready: { title: "The services did not become ready in time", remedy: toLogs },
  rotation: { title: "The secrets could not be replaced", remedy: toLogs },
  guest: { title: "Something inside the virtual machine failed", remedy: toLogs, replacesHint: true },
  stop: { title: "The virtual machine could not be ended", remedy: retry },
  config_disk: { title: "The virtual machine’s settings could not be written", remedy: retry },
  overlay: { title: "The session’s disk could not be made", remedy: retry },
  session_damaged: { title: "The saved memory of the session is damaged" },
  no_snapshot: { title: "There is no snapshot", remedy: capture, replacesHint: true },
  snapshot_damaged: { title: "The snapshot is damaged", remedy: capture, replacesHint: true },
  session_base: { title: "The session’s disk cannot be used", remedy: reset, replacesHint: true },
  other_image: { title: "The session belongs to another image", remedy: reset, replacesHint: true },
  archive: { title: "The snapshot archive cannot be used" },

  // Images.
  image_missing: { title: "There is no image yet", remedy: toImages, replacesHint: true },
  image: { title: "The image cannot be used", remedy: toImages },
  image_in_use: { title: "The image is in use" },
  image_unknown: { title: "There is no such image" },
  image_ambiguous: { title: "More than one image is meant" },
  image_damaged: { title: "The image is damaged", remedy: toImages },
  image_store: { title: "The folder of images cannot be used", remedy: retry },
  manifest: { title: "The image’s description cannot be used" },
  manifest_digest: { title: "The image is not the one it says it is", remedy: retry },
  session_kept: { title: "A kept session is in the way", remedy: reset },
  no_disk: { title: "There is no disk image in what was downloaded" },
  artifact_damaged: { title: "The build’s files are damaged", remedy: retry },
  artifact_refused: { title: "The build’s files are not what they should be" },
  artifact_expired: { title: "GitHub has deleted this build" },
  no_asset: { title: "The release has no image for this computer" },
  asset_uploading: { title: "The release’s image is still being uploaded", remedy: retry },
  no_build: { title: "There is no build of it" },
  no_artifact: { title: "The build has no image for this computer" },
  build_running: { title: "The build is still running", remedy: retry },
  build_failed: { title: "The build failed" },
  download_answer: { title: "The download was answered wrongly", remedy: retry },
  download_length: { title: "The download ended early", remedy: retry },
  download_too_large: { title: "The download is larger than was said" },
  download_digest: { title: "What was downloaded is not what was published", remedy: retry },
  download_unstable: { title: "The image keeps changing while it is downloaded", remedy: retry },

  // GitHub.
  network: { title: "GitHub cannot be reached", remedy: retry },
  redirect: { title: "The download was sent astray" },
  tls_setup: { title: "Secure connections cannot be made here" },
  tls_certificate: { title: "GitHub could not prove who it is", remedy: retry },
  rate_limited: { title: "GitHub allows no more requests for now", remedy: addToken },
  token_needed: { title: "GitHub wants a token for this", remedy: addToken },
  token_in_clear: { title: "The token would be sent unprotected" },
  github_token_refused: { title: "GitHub refuses the token", remedy: addToken },
  github_forbidden: { title: "GitHub does not allow this", remedy: addToken },
  github_not_found: { title: "GitHub does not know it" },
  github_expired: { title: "GitHub has deleted it" },
  github_status: { title: "GitHub could not answer", remedy: retry },
  github_answer: { title: "GitHub’s answer cannot be read", remedy: retry },
  github_api_address: { title: "The address of GitHub cannot be used" },

  // Secrets and credentials.
  secret_store: { title: "The keychain does not answer", remedy: retry },
  secrets_missing: { title: "There are no secrets yet" },
  credentials: { title: "The emulator gave no credentials", remedy: retry },
  key_refused: { title: "The emulator refused its own key", remedy: retry },
  config_file: { title: "The config file cannot be used" },
  env_file: { title: "The .env file cannot be written" },
  no_backend: { title: "The image has no backend that gives credentials" },
  backend_unreachable: { title: "The backend does not answer", remedy: toLogs },
  backend_failed: { title: "The backend could not give credentials", remedy: toLogs },
  folder_share: { title: "The project’s folder could not be shared", remedy: retry },
  not_shared: { title: "This folder is not shared" },
  too_many_folders: { title: "No more folders can be shared" },
  folder_refused: { title: "This folder is not shared with the emulator" },
  clipboard: { title: "The clipboard cannot be used", remedy: retry },

  // The app.
  log_missing: { title: "There is no log yet" },
  log: { title: "The log cannot be read", remedy: retry },
  link: { title: "This address is not opened from here" },
  autostart: { title: "Opening at login cannot be changed" },
  cancelled: { title: "Cancelled" },
  interrupted: { title: "Interrupted" },
  internal: { title: "Something went wrong in the app itself" },
};

/** What the page shows of a failure. */
export type Told = {
  title: string;
  /** What happened and why. */
  message: string;
  /** The rest of a message of many lines, such as a program's last words. */
  details: string | null;
  /** What to do, where no button does it. */
  hint: string | null;
  remedy: Remedy | null;
};

/** Whether the table knows `code`. */
export const isKnown = (code: string): boolean => Object.hasOwn(TABLE, key(code));

/** Codes are written with hyphens or underscores, by where they come from. */
const key = (code: string): string => code.replaceAll("-", "_");

/** Puts a failure into words. */
export function tell(failure: Failure): Told {
  const entry = isKnown(failure.code) ? TABLE[key(failure.code)] : undefined;
  // The first line says it; what a program wrote comes after.
  const [first = "", ...rest] = failure.message.trim().split("\n");
  const details = rest.join("\n").trim();
  return {
    title: entry?.title ?? "It did not work",
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

/** A message after a colon: ended by a stop, and begun as it is. */
export function clause(text: string): string {
  const trimmed = text.trim();
  return trimmed === "" || /[.!?…:]$/.test(trimmed) ? trimmed : `${trimmed}.`;
}

/** The engine's messages open with a small letter and end without a stop. */
export function sentence(text: string): string {
  const ended = clause(text);
  return ended.charAt(0).toUpperCase() + ended.slice(1);
}
