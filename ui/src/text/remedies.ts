// What to do about a failure, in the words of the app: sentences and buttons instead of commands.
import type { Loss, Page, Remedy } from "../bindings";
import { bytes } from "./quantity";

/** What a button does. */
export type Action =
  | { kind: "retry"; label: string }
  | { kind: "page"; page: Page; label: string }
  | { kind: "repository"; repository: string; label: string }
  | { kind: "start"; label: string }
  | { kind: "other_ports"; services: string[]; label: string }
  | { kind: "capture"; label: string }
  | { kind: "rotate"; label: string }
  | { kind: "reset"; label: string }
  | { kind: "stop"; label: string };

/** A remedy in words, as a button, or both. */
export type Advice = {
  hint?: string;
  action?: Action;
  /** What can be done instead. */
  other?: Action;
  /** What is behind “Details”: the same in words that not everybody knows. */
  technical?: string;
};

export const retry: Action = { kind: "retry", label: "Try again" };
export const toLogs: Action = { kind: "page", page: "logs", label: "Show the logs" };
export const toSettings: Action = { kind: "page", page: "settings", label: "Open settings" };
export const toPorts: Action = { kind: "page", page: "settings", label: "Change the ports" };
export const toImages: Action = { kind: "page", page: "images", label: "Choose an image" };
export const toPrune: Action = { kind: "page", page: "images", label: "Free up space" };
export const toChecks: Action = { kind: "page", page: "welcome", label: "Run the checks" };
export const toStatus: Action = { kind: "page", page: "status", label: "Go to Status" };
export const addToken: Action = { kind: "page", page: "settings", label: "Set the token" };
const start: Action = { kind: "start", label: "Start" };
const onOtherPorts = (services: string[]): Action => ({
  kind: "other_ports",
  services,
  label: "Start on other ports",
});
const capture: Action = { kind: "capture", label: "Take a new snapshot" };
const rotate: Action = { kind: "rotate", label: "Rotate the secrets…" };
const reset: Action = { kind: "reset", label: "Discard the session…" };
const stop: Action = { kind: "stop", label: "Stop the emulator" };

/** Has images come from a repository that has some. */
export const useImagesOf = (repository: string): Action => ({
  kind: "repository",
  repository,
  label: `Use images of ${repository}`,
});

/** What is lost with one of the emulator's own files. */
const LOSSES: Readonly<Record<Loss, string>> = {
  selected_image: "only the selected image is lost, none of the emulator’s data",
  machine: "a virtual machine that still runs is ended, and its disk is kept",
  nothing: "it is created again from the session’s disk",
  memory: "the session’s disk is started instead, and no data is lost",
  shared_folders: "the shared folders are lost, and can be shared again",
  projects: "the list of projects is lost",
  secrets: "the secrets are lost, and the next start creates new ones",
  snapshot: "you can take a new snapshot",
  checkpoint: "the checkpoint is lost",
  settings: "the default settings apply",
  content: "its content is lost",
};

type Words = { [K in Remedy["kind"]]: (remedy: Extract<Remedy, { kind: K }>) => Advice };

const WORDS: Words = {
  // The emulator.
  start: () => ({ hint: "Start the emulator first.", action: toStatus }),
  stop: () => ({ action: stop }),
  stop_instance: ({ instance }) => ({ hint: `Stop the instance ${instance} first.` }),
  list_instances: () => ({}),
  delete_instance: ({ instance }) => ({
    hint: `Choose another name, or delete the instance ${instance}.`,
  }),
  stop_and_start: () => ({ hint: "Restart the emulator first.", action: toStatus }),
  list_checkpoints: () => ({}),
  list_users: () => ({}),
  list_mails: () => ({}),
  delete_checkpoint: ({ checkpoint }) => ({
    hint: `Choose another name, or delete the checkpoint ${checkpoint}.`,
  }),
  clone_snapshot: () => ({ hint: "Clone the snapshot, or start and stop the emulator first." }),
  end_machine: () => ({
    hint: "Stopping ends the virtual machine and keeps its disk.",
    action: stop,
  }),
  retry: () => ({ action: retry }),
  retry_later: () => ({ hint: "Try again later.", action: retry }),
  wait_for_command: () => ({
    hint: "Try again when it has finished, or stop that process.",
    action: retry,
  }),
  wait_longer: ({ variable }) => ({
    hint: `If this computer is slow, allow more time with the environment variable ${variable}.`,
    action: toLogs,
  }),
  read_logs: () => ({ action: toLogs }),
  read_status: () => ({ action: toLogs }),
  check_host: () => ({ action: toChecks }),
  take_snapshot: () => ({ action: capture }),
  continue_or_discard_session: () => ({
    hint: "Start to continue the session, or discard it.",
    action: reset,
  }),
  continue: () => ({ action: start }),
  stop_after_fault: () => ({
    hint: "The logs may say why. Stop the emulator, then start it again.",
    action: toLogs,
  }),
  start_without_image: () => ({
    hint: "Start with the session’s own image, or discard the session.",
    action: reset,
  }),
  boot_session_disk: () => ({
    hint: "Start boots the session’s disk instead, and no data is lost.",
    action: start,
  }),
  restore_image_or_discard: () => ({
    hint: "Put the image back, or discard the session.",
    action: reset,
  }),
  restore_disk_or_discard: () => ({
    hint: "Put the session’s folder back that was there when the emulator was started, or discard the session.",
    action: reset,
  }),
  restore_file_or_discard: () => ({
    hint: "Put that file back from a copy, or discard the session: its data cannot be read without the file.",
    action: reset,
  }),

  // Files and the disk.
  free_disk_space: ({ folder, continues }) => ({
    hint:
      folder !== null
        ? `Free disk space in ${folder}, or choose another place.`
        : continues
          ? "Free disk space, then try again: it continues where it stopped."
          : "Free disk space, then try again.",
    action: toPrune,
  }),
  check_owner: ({ folder }) => ({
    hint: `Check that you own ${folder} and can read and write in it.`,
    action: retry,
  }),
  use_private_folder: ({ folder, variable }) => ({
    hint: `Remove ${folder}, or set ${variable} to a folder that only you can use.`,
    action: retry,
  }),
  move_away: ({ file, loss }) => ({ hint: `Move ${file} away: ${LOSSES[loss]}.`, action: retry }),
  use_its_version: ({ file, loss }) => ({
    hint: `Use the version of Stack Emulator that wrote it, or move ${file} away: ${LOSSES[loss]}.`,
  }),
  raise_watch_limit: ({ parameter }) => ({
    hint: `Close programs that watch many files, or raise the limit: sysctl ${parameter}.`,
    action: retry,
  }),
  raise_limit: ({ commands }) => ({
    hint: `Raise the limit of the session or container that runs the app${commands.length > 0 ? ` (${commands.join(", ")})` : ""}, or close other programs.`,
    action: retry,
  }),
  end_programs: () => ({ hint: "Close other programs, then try again.", action: retry }),

  // Settings.
  read_settings: () => ({ action: toSettings }),
  free_ports: ({ ports }) => ({
    hint: "Stop that program, or use other ports.",
    action: onOtherPorts(ports.map(({ service }) => service)),
    other: toPorts,
  }),
  use_ipv4_address: () => ({
    hint: "Use 127.0.0.1 in addresses instead of localhost, or stop that program.",
  }),
  change_ports: () => ({ action: toPorts }),
  lower_port_prefix: ({ variable }) => ({
    hint: `Set the environment variable ${variable} to a smaller number, or unset it.`,
  }),
  give_more: ({ variable }) => ({
    hint: `If the environment variable ${variable} is set, raise or unset it.`,
    action: toSettings,
  }),
  use_emulation: ({ variable }) => ({
    hint: `Unset the environment variable ${variable}: the emulator then uses what works.`,
    technical: `Software emulation works everywhere: set ${variable} to tcg for it.`,
    action: toChecks,
  }),
  set_repository: () => ({ action: toSettings }),

  // Secrets.
  unlock_keychain: () => ({
    hint: "Unlock this computer’s password store.",
    technical: "Unlock your keychain, or restart the keychain service.",
    action: retry,
  }),
  create_keyring: () => ({
    hint: "Create a place for passwords with your desktop’s password manager.",
    technical: "Create a default keyring, for instance with Passwords and Keys (seahorse) or KWalletManager.",
    action: retry,
  }),
  unlock_keychain_or_use_memory: ({ variable }) => ({
    hint: `Unlock this computer’s password store, or set ${variable} to a folder in memory.`,
    technical: "The password store is your keychain.",
    action: retry,
  }),
  rotate_secrets: () => ({ hint: "Rotating creates new secrets.", action: rotate }),
  start_for_new_secrets: () => ({ hint: "The next start creates new ones.", action: start }),

  // Images.
  pull_image: () => ({ action: toImages }),
  pull_again: () => ({ hint: "Install it again, which replaces it.", action: toImages }),
  list_images: () => ({ action: toImages }),
  release_image: ({ holds }) => ({
    hint: holds.some((hold) => hold.session)
      ? "Stop the emulator, discard its session, and select another image. Discarding deletes that session’s data."
      : holds.some((hold) => hold.checkpoints)
        ? "Delete the checkpoints of this image, and select another image."
        : "Select another image first.",
  }),
  choose_architecture: () => ({
    hint: "Choose an image for this computer’s architecture.",
    action: toImages,
  }),
  pull_starter: ({ repository }) =>
    repository === null
      ? {
          hint: "Set the repository that releases Stack Emulator in Settings: it has the starter image.",
          action: toSettings,
        }
      : {
          hint: `${repository} has the starter image of Stack Emulator.`,
          action: useImagesOf(repository),
        },
  other_release: () => ({ hint: "Choose another release.", action: toImages }),
  update_or_other_image: () => ({
    hint: "Update Stack Emulator, or choose another image.",
    action: toImages,
  }),
  wait_for_publication: () => ({
    hint: "It is probably still being published: try again in a few minutes.",
    action: retry,
  }),
  start_build: () => ({
    hint: "The workflow may not run for this pull request: start it by hand, then choose its workflow run.",
  }),
  wait_for_build: () => ({ hint: "Try again when the build has finished.", action: retry }),
  see_build: () => ({ hint: "See the run’s page; then re-run it, or choose another run." }),
  check_run: () => ({ hint: "Check that this is a run of the workflow that builds images." }),
  rerun_build: () => ({ hint: "Re-run the workflow to build it again." }),
  distrust_build: () => ({ hint: "Do not use this build, and tell its author." }),
  download_again: () => ({
    hint: "If it fails again, tell the publisher of the image.",
    action: retry,
  }),

  // The network.
  check_network: () => ({
    hint: "Check the network and the proxy, then try again: it continues where it stopped.",
    action: retry,
  }),
  check_proxy: () => ({
    hint: "A proxy or mirror may be in the way: check HTTPS_PROXY and STACK_EMULATOR_GITHUB_API.",
    action: retry,
  }),
  set_token_for_more: () => ({
    hint: "With a token, the limit is 5000 requests an hour.",
    action: addToken,
  }),
  set_token: () => ({ action: addToken }),
  replace_token: () => ({
    hint: "The token may have expired. Public releases need none.",
    action: addToken,
  }),
  widen_token: () => ({
    hint: "Use a token that may read this repository’s contents and actions.",
    action: addToken,
  }),
  check_name: ({ authenticated }) =>
    authenticated
      ? { hint: "Check the name, and that the token may read this repository." }
      : { hint: "Check the name. A private repository needs a token.", action: addToken },
  secure_api_address: () => ({
    hint: "Set STACK_EMULATOR_GITHUB_API to an https address, or remove the token.",
  }),
  correct_api_address: () => ({
    hint: "Set STACK_EMULATOR_GITHUB_API to the address of a GitHub REST API, or unset it.",
    action: retry,
  }),
  install_certificates: () => ({
    hint: "Check that the system’s certificates are installed (package ca-certificates), and that SSL_CERT_FILE and SSL_CERT_DIR, if set, name some.",
  }),
  trust_authority: () => ({
    hint: "If a proxy or mirror has a certificate of your company’s own authority, have this computer trust that authority.",
    action: retry,
  }),
  check_clock: () => ({
    hint: "Check this computer’s clock. If it is right, tell the operator of that host.",
    action: retry,
  }),

  // An app's side.
  name_config_file: () => ({ hint: "Choose the project’s config file." }),
  correct_config_file: () => ({
    hint: "The file must export a plain object as `config`, and be readable by you.",
    action: retry,
  }),
  name_link_target: () => ({ hint: "Choose the file that the link leads to." }),
  rename_folder: () => ({ hint: "Rename it, or move the project to another folder." }),
  use_project_folder: () => ({ hint: "Put the config file into a folder of its own project." }),
  unshare_folder: () => ({ hint: "Stop sharing a folder first." }),
  list_folders: () => ({}),
  close_folder: () => ({
    hint: "A program in the virtual machine is using it: try again, or stop the emulator.",
    action: retry,
  }),

  // This computer.
  install_qemu: ({ how }) => ({ hint: how, action: toChecks }),
  reinstall_qemu: () => ({
    hint: "Reinstall the program for virtual machines with its firmware files.",
    action: toChecks,
    technical: "The program is QEMU.",
  }),
  correct_variable: ({ variable }) => ({
    hint: `Correct the environment variable ${variable}, or unset it.`,
  }),
  use_fastest: ({ variable, accelerator }) => ({
    hint: `Unset the environment variable ${variable} for faster starts.`,
    technical: `Without it, ${accelerator} is used.`,
  }),
  use_host_architecture: ({ variable }) => ({
    hint: `Unset the environment variable ${variable} to use an image of this computer’s architecture.`,
  }),
  enable_nesting: () => ({
    hint: "If this computer is a virtual machine, enable nested virtualization on its host, then check again.",
  }),
  enable_accelerator: ({ accelerator }) => ({
    hint: "Turn on hardware virtualization if this computer has it, then check again.",
    technical: `${accelerator} has to be available to you.`,
  }),
  probe_again: ({ accelerator }) => ({
    hint: "Check again: fast starts may work now.",
    technical: `${accelerator} is tested then.`,
  }),
  free_disk_space_for_snapshot: ({ most_mib }) => ({
    hint: `A snapshot and a saved session can take up to ${bytes(most_mib * 2 ** 20)} more: free disk space, or give the virtual machine less memory.`,
  }),
  free_disk_space_and_continue: () => ({ hint: "Free disk space, then select Continue." }),
  start_after_crash: () => ({
    hint: "Start boots from the session’s disk. The logs may show why it stopped.",
  }),
  rotate_once_stored: () => ({
    hint: "Once the check above is ok, rotate the secrets to store new ones there.",
  }),
  none_next_command_cleans_up: () => ({ hint: "No action needed: the next start cleans up." }),
  none_file_is_private: () => ({
    hint: "No action needed: only you can read them.",
    technical: "They are in a file that is gone after a restart. Containers often forbid keyrings.",
  }),
  none_next_start_takes_snapshot: () => ({
    hint: "No action needed: the next start without a saved session takes a new snapshot.",
  }),

  // Archive files.
  copy_archive_again: () => ({ hint: "Copy the file again, or take a snapshot here.", action: capture }),
  take_snapshot_instead: () => ({ hint: "Take a snapshot here instead.", action: capture }),
  match_archive: () => ({ hint: "Make these the same, or take a snapshot here.", action: capture }),
  other_archive_file: () => ({ hint: "Wait for it, or write to another file.", action: retry }),
};

/** Puts a remedy into words. */
export function advise(remedy: Remedy): Advice {
  // Each function is called with the kind that it stands under.
  const words = WORDS[remedy.kind] as (remedy: Remedy) => Advice;
  return words(remedy);
}
