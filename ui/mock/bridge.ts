// Answers the calls of the generated bindings in place of Rust. A test reads `window.mock.calls` and sends
// updates and events.
import { emit } from "@tauri-apps/api/event";
import { mockIPC } from "@tauri-apps/api/mocks";

import type {
  Failure,
  LogUpdate,
  MailUpdate,
  Settings,
  SettingsChange,
  ShownStatus,
  Update,
} from "../src/bindings";
import * as data from "./data";
import { logLines } from "./logs";

type Arguments = Record<string, unknown>;
/** A command's answer; a thrown `Failure` is a refusal. */
type Handler = (args: Arguments) => unknown;
type Sink<T> = { onmessage: (message: T) => void };

/** A state of the app. */
export type Scenario = {
  /** Parts of the state; a missing part is never sent, as while Rust is still reading it. */
  state: { [Kind in Update["kind"]]?: Omit<Extract<Update, { kind: Kind }>, "kind"> };
  /** Answers that differ from the defaults. */
  answers?: Record<string, Handler>;
};

/** The interface for tests. */
export type Mock = {
  calls: { command: string; args: Arguments }[];
  send: (update: Update) => void;
  emit: (event: string, payload: unknown) => Promise<void>;
};

declare global {
  interface Window {
    mock: Mock;
  }
}

/** Never answers, so that a page keeps waiting. */
export const forever: Handler = () => new Promise(() => undefined);

/** Refuses. */
export const refuse = (failure: Failure): Handler => {
  return () => {
    // Rust's failures arrive as plain objects, not as errors.
    // eslint-disable-next-line @typescript-eslint/only-throw-error
    throw failure;
  };
};

/** Puts the scenario behind the page's calls. */
export function install(scenario: Scenario): void {
  const state = { ...scenario.state };
  const sinks: Sink<Update>[] = [];
  const send = (update: Update): void => {
    Object.assign(state, { [update.kind]: update });
    for (const sink of sinks) sink.onmessage(update);
  };
  const usual = answers(
    send,
    () => state.status?.status ?? null,
    () => state.settings?.settings ?? data.settings,
  );
  const observe: Handler = ({ onUpdate }) => {
    const sink = onUpdate as Sink<Update>;
    sinks.push(sink);
    for (const [kind, part] of Object.entries(state)) sink.onmessage({ ...part, kind } as Update);
    return null;
  };
  window.mock = { calls: [], send, emit: (event, payload) => emit(event, payload) };
  mockIPC(
    (command, payload) => {
      const args = (payload ?? {}) as Arguments;
      window.mock.calls.push({ command, args: { ...args, onUpdate: undefined } });
      const handler = scenario.answers?.[command] ?? (command === "observe" ? observe : usual[command]);
      if (!handler) throw new Error(`the mocked bridge has no command ${command}`);
      return handler(args);
    },
    { shouldMockEvents: true },
  );
}

const FIELDS = [
  { name: "STACK_PROJECT_ID", title: "Project", value: "4f1c7a90-0f6d-4c3e-9a55-2b7e8d1c6a3f" },
  {
    name: "STACK_PUBLISHABLE_CLIENT_KEY",
    title: "Publishable client key",
    value: "pck_5m0x9sq2v7t1c8b4n6k3",
  },
  { name: "STACK_SECRET_SERVER_KEY", title: "Secret server key", value: null },
  { name: "STACK_API_URL", title: "Address of the API", value: "http://127.0.0.1:26701" },
];
const SECRET = "ssk_this_value_must_be_asked_for";

function answers(
  send: (update: Update) => void,
  status: () => ShownStatus | null,
  settings: () => Settings,
): Record<string, Handler> {
  const nothing: Handler = () => null;
  const become = (next: ShownStatus): Handler => {
    return () => {
      send({ kind: "status", status: next });
      return null;
    };
  };
  return {
    start: ({ otherPorts }) => {
      // Another activity takes the place of one that has failed.
      send({ kind: "activity", activity: null });
      return become(otherPorts === true ? data.moved : data.running)({});
    },
    stop: become(data.stopped),
    restart: become(data.running),
    reset: become({ ...data.stopped, session_kept: false }),
    capture: nothing,
    set_up: nothing,
    rotate_secrets: nothing,
    list_checkpoints: () => data.checkpoints,
    create_checkpoint: nothing,
    restore_checkpoint: become({
      ...data.running,
      start: { ...data.startSummary, kind: "restored", checkpoint: "seeded", total_ms: 334 },
    }),
    delete_checkpoint: nothing,
    cancel: nothing,
    dismiss: () => {
      send({ kind: "activity", activity: null });
      return null;
    },
    examine: () => ({ fit: true, checks: data.checks }),
    list_releases: () => ({
      repository: settings().repository,
      releases: data.releases,
    }),
    resolve_image: ({ source }) => ({
      source,
      name: "PR 1234: Faster sign-in",
      bytes: 1_176_000_000,
      bytes_here: 0,
      commit: "77ab01cd92",
      built_at_ms: data.NOW - 7_200_000,
      installed: null,
      warnings: [],
      disk_bytes: 1_900_000_000,
    }),
    check_for_update: () => ({ available: data.release(0, { tag: "emulator-dev-latest", rolling: true }) }),
    pull: nothing,
    use_image: nothing,
    remove_image: () => ({ freed_bytes: 1_274_000_000 }),
    prune_images: () => ({ freed_bytes: 1_542_000_000 }),
    choose_image_file: () => "/home/ada/Downloads/stack-emulator-amd64.qcow2",
    choose_config_file: () => data.projects[0],
    add_project: () => data.projects[0],
    forget_project: nothing,
    project_credentials: ({ configFile }) => ({ config_file: configFile, values: FIELDS }),
    reveal_credential: () => SECRET,
    copy_credential: () => ({ count: 1, clears_after_seconds: 60 }),
    copy_credentials: () => ({ count: 7, clears_after_seconds: 60 }),
    write_env: () => ({
      path: "/home/ada/code/shop/.env.local",
      created: false,
      added: 2,
      changed: 5,
      clashes: [],
    }),
    refresh_env_files: () => ({ updated: 2, unchanged: 0, skipped: 1, failed: [] }),
    stale_env_files: () => ["~/code/shop/.env.local", "~/code/notes/apps/web/.env.local"],
    reveal_secret: () => SECRET,
    copy_secret: () => ({ count: 1, clears_after_seconds: 60 }),
    list_folders: () => [
      { path: "/home/ada/code/shop", shown_path: "~/code/shop", mounted: status()?.state === "running" },
      { path: "/home/ada/code/notes/apps/web", shown_path: "~/code/notes/apps/web", mounted: false },
    ],
    remove_folder: nothing,
    follow_mails: ({ onUpdate }) => {
      (onUpdate as Sink<MailUpdate>).onmessage({ kind: "mails", mails: data.mails });
      return 2;
    },
    unfollow_mails: nothing,
    read_mail: ({ id }) => ({
      ...data.mails.find((mail) => mail.id === id),
      text: "Somebody, probably you, wants to sign in to shop with this address.\n\nSign in: http://localhost:3000/handler/magic-link-callback?code=hgxsy9fv96z8sns79x4j1x77gp4dx8r2wae0crza8p6j0\n\nOr type this code: HGXSY9\n\nThe link works once, for seven days. If you did not ask for this mail, ignore it.\n",
      html: "<p>Not shown here.</p>",
    }),
    follow_log: ({ onUpdate }) => {
      const chunk = { first_line: 0, lines: logLines, restarted: false };
      (onUpdate as Sink<LogUpdate>).onmessage({ kind: "lines", chunk });
      return 1;
    },
    unfollow_log: nothing,
    save_diagnostics: () => "/home/ada/stack-emulator-diagnostics.tar.zst",
    change_settings: ({ change }) => {
      const { ports, ...rest } = change as SettingsChange;
      const given = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== null));
      // As Rust has it: 0 is never.
      if (given["stop_when_idle_min"] === 0) given["stop_when_idle_min"] = null;
      const moved = settings().ports.map((port) => {
        const choice = ports?.find(({ service }) => service === port.service);
        return choice ? { ...port, port: choice.port } : port;
      });
      const next = { ...settings(), ...given, ports: moved };
      send({ kind: "settings", settings: next });
      return next;
    },
    check_ports: ({ ports }) =>
      (ports as { service: string; port: number }[]).map(({ service, port }) => ({
        service,
        port,
        verdict: port === 3000 ? "taken" : port < 1024 ? "invalid" : "free",
        taken_by: port === 3000 ? "node (pid 4242)" : null,
      })),
    save_github_token: () => {
      send({ kind: "settings", settings: { ...settings(), github_token: "keychain" } });
      return "keychain";
    },
    forget_github_token: () => {
      send({ kind: "settings", settings: { ...settings(), github_token: "none" } });
      return "none";
    },
    copy_text: nothing,
    open_link: nothing,
    install_release: nothing,
    cancel_install: nothing,
    restart_app: nothing,
    dismiss_release: () => {
      send({ kind: "newer_release", release: null });
      return null;
    },
    show_in_folder: nothing,
    finish_first_run: nothing,
    quit: nothing,
    stay: () => {
      send({ kind: "quit", asked: false });
      return null;
    },
  };
}
