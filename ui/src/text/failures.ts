// The table from error codes to what the page says and offers. The message comes from the engine, and so does
// the remedy, which remedies.ts puts into words; this file adds the title in the user's words.
import type { Code, Failure } from "../bindings";
import { isTechnical } from "./jargon";
import {
  addToken,
  advise,
  retry,
  toChecks,
  toImages,
  toLogs,
  toPorts,
  toPrune,
  toSettings,
  toStatus,
  type Action,
} from "./remedies";

/** What the command line alone reports. */
type CommandLine =
  | "confirmation"
  | "declined"
  | "environment"
  | "file_exists"
  | "interrupted"
  | "occupied"
  | "output"
  | "password"
  | "program"
  | "system"
  | "token"
  | "user_missing"
  | "user_refused";

type Entry = {
  title: string;
  /** What helps where the failure brings no remedy of its own. */
  action?: Action;
  /** Its message names programs that the user has to know of, whatever their names. */
  namesPrograms?: true;
};

// A title is true for every error behind its code: it names their common effect, not one cause.
const TABLE: Readonly<Record<Exclude<Code, CommandLine>, Entry>> = {
  // The host.
  qemu_missing: { title: "The program for virtual machines is missing or too old", action: toChecks },
  qemu_start: { title: "The virtual machine did not start", action: toLogs },
  qemu_died: { title: "The virtual machine stopped unexpectedly", action: toLogs },
  qemu: { title: "The virtual machine cannot be controlled", action: toLogs },
  migration: { title: "The virtual machine’s state could not be saved or loaded", action: toLogs },
  accelerator: { title: "Virtual machines do not work on this computer", action: toChecks },
  accelerator_failed: { title: "Hardware virtualization failed on this computer", action: toChecks },
  process: { title: "A process could not be checked or stopped" },
  random: { title: "The operating system’s random source failed", action: retry },
  folder: { title: "The emulator’s folder cannot be used", action: retry },
  file: { title: "A file could not be read or written", action: retry },
  record: { title: "One of the emulator’s own files cannot be read or written" },
  disk_full: { title: "Not enough disk space", action: toPrune },
  port_taken: { title: "A port is in use by another program", action: toPorts, namesPrograms: true },
  port_setting: { title: "A port setting is not valid", action: toPorts },
  too_small: {
    title: "The virtual machine is too small for the image",
    action: toSettings,
  },
  setting: { title: "A setting is not valid", action: toSettings },

  // The instance.
  busy: { title: "The emulator is busy", action: retry },
  running: { title: "The emulator is running" },
  not_running: {
    title: "The emulator is not running",
    action: toStatus,
  },
  mail_missing: { title: "There is no such mail any more" },
  mail_unsupported: { title: "This image does not show its mails" },
  instance_missing: { title: "There is no such instance" },
  instance_exists: { title: "There is an instance of that name already" },
  no_session: { title: "There is no saved session" },
  checkpoint_name: { title: "This cannot be the name of a checkpoint" },
  checkpoint_missing: { title: "There is no such checkpoint" },
  checkpoint_exists: { title: "There is a checkpoint of that name already" },
  checkpoint_damaged: { title: "The checkpoint is damaged" },
  session_disk: { title: "The session’s disk was replaced while the emulator runs" },
  other_machine: { title: "The emulator runs with other settings than it would start with now" },
  watch: { title: "Cannot watch for changes made by other programs", action: retry },
  not_ready: { title: "The services did not become ready in time", action: toLogs },
  rotation: { title: "The secrets could not be rotated", action: toLogs },
  guest: { title: "Something inside the virtual machine failed", action: toLogs },
  stop: { title: "The virtual machine could not be stopped", action: retry },
  config_disk: { title: "The virtual machine’s settings could not be written", action: retry },
  overlay: { title: "The session’s disk could not be created", action: retry },
  session_damaged: { title: "The saved session’s memory is damaged" },
  no_snapshot: { title: "There is no snapshot" },
  snapshot_damaged: { title: "The snapshot is damaged" },
  session_base: { title: "The session’s disk cannot be used" },
  other_image: { title: "The saved session belongs to another image" },
  archive: { title: "The archive file cannot be used" },

  // Images.
  image_missing: { title: "The image is missing", action: toImages },
  image: { title: "The image cannot be used", action: toImages },
  image_in_use: { title: "The image is in use" },
  image_unknown: { title: "There is no such image" },
  image_ambiguous: { title: "More than one image has this name" },
  image_damaged: { title: "The image is damaged", action: toImages },
  image_store: { title: "The folder of images cannot be used", action: retry },
  manifest: { title: "The image’s description cannot be used" },
  manifest_digest: { title: "The image does not match its description", action: retry },
  session_kept: { title: "The saved session belongs to another image" },
  no_disk: { title: "The download contains no disk image" },
  artifact_damaged: { title: "The build’s files are damaged", action: retry },
  artifact_refused: { title: "The build contains files that are not allowed" },
  artifact_expired: { title: "GitHub has deleted this build" },
  no_asset: { title: "The release has no image for this computer" },
  asset_uploading: { title: "The release’s image is still being uploaded", action: retry },
  no_build: { title: "No build was found" },
  no_artifact: { title: "The build has no image for this computer" },
  build_running: { title: "The build is still running", action: retry },
  build_failed: { title: "The build failed" },
  download_answer: { title: "The server sent an invalid response", action: retry },
  download_length: { title: "The download is incomplete", action: retry },
  download_too_large: { title: "The download is too large" },
  download_digest: { title: "The download does not match its published digest", action: retry },
  download_unstable: { title: "The image keeps changing while it is being downloaded", action: retry },

  // GitHub.
  network: { title: "GitHub cannot be reached", action: retry },
  redirect: { title: "The server’s redirect was not followed" },
  tls_setup: { title: "Secure connections do not work on this computer" },
  tls_certificate: { title: "The server’s certificate was not accepted", action: retry },
  rate_limited: { title: "GitHub’s request limit is reached", action: addToken },
  token_needed: { title: "This download needs a GitHub token", action: addToken },
  token_in_clear: { title: "The GitHub token would be sent unencrypted" },
  github_token_refused: { title: "GitHub does not accept the token", action: addToken },
  github_forbidden: { title: "GitHub denied access", action: addToken },
  github_not_found: { title: "Not found on GitHub" },
  github_expired: { title: "No longer available on GitHub" },
  github_status: { title: "GitHub returned an error", action: retry },
  github_answer: { title: "GitHub sent an invalid response", action: retry },
  github_api_address: { title: "The address of the GitHub API is not valid" },

  // Secrets and credentials.
  secret_store: { title: "The secrets could not be read or stored", action: retry },
  secrets_missing: { title: "The secrets are missing" },
  key_refused: { title: "The backend does not accept the emulator’s own key", action: retry },
  config_file: { title: "The config file cannot be used" },
  env_file: { title: "The .env file could not be written" },
  no_backend: { title: "The image has no backend service" },
  backend_unreachable: { title: "The backend does not answer", action: toLogs },
  backend_failed: { title: "The backend could not create credentials", action: toLogs },
  folder_share: { title: "The project’s folder could not be shared", action: retry },
  not_shared: { title: "This folder is not shared" },
  too_many_folders: { title: "No more folders can be shared" },
  folder_refused: { title: "This folder cannot be shared" },
  clipboard: { title: "The clipboard cannot be used", action: retry },

  // The app.
  log_missing: { title: "There is no log yet" },
  log: { title: "The log cannot be read or written", action: retry },
  link: { title: "The link or file could not be opened" },
  update: { title: "The app was not updated" },
  autostart: { title: "Opening at login could not be changed" },
  cancelled: { title: "Canceled" },
  internal: { title: "Internal error" },
};

/** A failure as the page shows it. */
export type Description = {
  title: string;
  /** What happened and why; null if that takes words that not everybody knows. */
  message: string | null;
  /** The code, where everybody can read it; else it is among the details. */
  code: string | null;
  /** What not everybody has to know: such words, and the further lines of a message, such as a program's output. */
  details: string | null;
  /** What to do, if no button does it. */
  hint: string | null;
  action: Action | null;
  /** What can be done instead. */
  other: Action | null;
};

/** Whether the table knows `code`. */
export const isKnown = (code: string): code is keyof typeof TABLE => Object.hasOwn(TABLE, code);

/** Puts a failure into words. */
export function describe(failure: Failure): Description {
  const entry: Entry | undefined = isKnown(failure.code) ? TABLE[failure.code] : undefined;
  const advice = failure.remedy === null ? {} : advise(failure.remedy);
  // The first line says what happened; a program's output follows.
  const [first = "", ...rest] = failure.message.trim().split("\n");
  const told = sentence(first);
  const message = entry && !entry.namesPrograms && isTechnical(told) ? null : told;
  const code = isTechnical(failure.code) ? null : failure.code;
  const details = [
    message === null ? told : "",
    rest.join("\n"),
    advice.technical ?? "",
    code === null ? failure.code : "",
  ]
    .map((text) => text.trim())
    .filter((text) => text !== "")
    .join("\n");
  return {
    title: entry?.title ?? "The operation failed",
    message,
    code,
    details: details === "" ? null : details,
    hint: failure.hint ?? advice.hint ?? null,
    action: advice.action ?? entry?.action ?? null,
    other: advice.other ?? null,
  };
}

/** A failure as text for a report. */
export function asReport(failure: Failure, version: string): string {
  const said = describe(failure).hint;
  const hint = said === null ? "" : `\nhint: ${said}`;
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
