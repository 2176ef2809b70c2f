// The states in which pages are tested.
import type { Failure, LogUpdate, MailUpdate } from "../src/bindings";
import { forever, refuse } from "./bridge";
import type { Scenario } from "./bridge";
import * as data from "./data";

const LONG =
  "a-very-long-name-that-somebody-gave-to-a-folder-because-they-could/and-another-one-inside-of-it/with spaces and ünïcödé";

const base: Scenario["state"] = {
  app: { app: data.app },
  status: { status: data.running },
  activity: { activity: null },
  images: { images: data.installed },
  projects: { projects: data.projects },
  settings: { settings: data.settings },
};
const of = (state: Scenario["state"], answers?: Scenario["answers"]): Scenario => ({
  state: { ...base, ...state },
  ...(answers && { answers }),
});
const firstRun: Scenario["state"] = {
  app: { app: { ...data.app, first_run: true } },
  status: { status: data.empty },
  images: { images: data.noImages },
  projects: { projects: [] },
};
const offline = refuse({
  code: "network",
  message: "cannot reach api.github.com: the name could not be resolved",
  hint: null,
  remedy: { kind: "check_network" },
});

const following =
  (update: MailUpdate) =>
  ({ onUpdate }: Record<string, unknown>): number => {
    (onUpdate as { onmessage: (update: MailUpdate) => void }).onmessage(update);
    return 2;
  };
const mailUnsupported: Failure = {
  code: "mail_unsupported",
  message: "the `mail` command does not work with this image: it shows its mails at http://127.0.0.1:26703",
  hint: null,
  remedy: null,
};
const longMail = {
  ...data.magicLink,
  id: "m-5",
  to: `${LONG.slice(0, 60)}@${LONG.slice(0, 40)}.example.com`,
  subject: LONG,
  code: LONG,
};

/** Every scenario by its name. */
export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  running: of({}),
  restored: of({
    status: {
      status: {
        ...data.running,
        start: { ...data.startSummary, kind: "restored", checkpoint: "seeded", total_ms: 334 },
      },
    },
  }),
  checkpointing: of({
    activity: {
      activity: data.activity({
        task: "checkpoint",
        subject: "seeded",
        stages: ["checkpoint"],
        phases: [
          { stage: "checkpoint", phase: "qemu", ms: 60, bytes: null },
          { stage: "checkpoint", phase: "save", ms: null, bytes: null },
        ],
      }),
    },
  }),
  "checkpoint-lost": of(
    { status: { status: data.stopped } },
    {
      list_checkpoints: () => [
        { ...data.checkpoints[0], name: "a-name-as-long-as-any-of-them-is" },
        {
          name: "broken",
          created_at_ms: null,
          bytes_on_disk: 4096,
          fits: false,
          reason: "cannot read ~/.stack/emulator/instances/default/checkpoints/broken/checkpoint.json",
        },
      ],
    },
  ),
  "mail-none": of({}, { follow_mails: following({ kind: "mails", mails: [] }) }),
  "mail-unsupported": of({}, { follow_mails: following({ kind: "failed", failure: mailUnsupported }) }),
  "mail-nowhere": of(
    {
      status: {
        status: { ...data.running, services: data.services.filter(({ id }) => id !== "inbucket") },
      },
    },
    { follow_mails: following({ kind: "failed", failure: mailUnsupported }) },
  ),
  "mail-failed": of(
    {},
    {
      follow_mails: following({
        kind: "failed",
        failure: {
          code: "backend_failed",
          message: "the backend answered with status 503: The emulator's database does not answer.",
          hint: null,
          remedy: { kind: "read_status" },
        },
      }),
    },
  ),
  "mail-long": of({}, { follow_mails: following({ kind: "mails", mails: [longMail, ...data.mails] }) }),
  stopped: of({ status: { status: data.stopped } }),
  prepared: of({ status: { status: { ...data.stopped, next_start: { kind: "prepared" } } } }),
  standby: of({
    status: { status: { ...data.stopped, next_start: { kind: "standby", memory: 54_400_000 } } },
    settings: { settings: { ...data.settings, ahead: "memory" } },
  }),
  "goes-on": of({
    status: { status: { ...data.stopped, next_start: { kind: "goes_on" } } },
    settings: { settings: { ...data.settings, room_for_standby: false } },
  }),
  "slow-rotation": of({
    status: { status: { ...data.stopped, next_start: { kind: "plain", rotation_ms: 104_000 } } },
  }),
  loading: {
    state: {},
    answers: {
      list_releases: forever,
      examine: forever,
      follow_log: forever,
      list_checkpoints: forever,
      follow_mails: forever,
    },
  },
  empty: of(
    { ...firstRun, app: { app: data.app } },
    {
      list_checkpoints: () => [],
      follow_log: refuse({
        code: "log_missing",
        message: "there is no log at ~/.stack/emulator/instances/default/logs/serial.log yet",
        hint: null,
        remedy: null,
      }),
    },
  ),
  starting: of({
    status: { status: { ...data.stopped, state: "starting" } },
    activity: {
      activity: data.activity({
        phases: [
          { stage: "start", phase: "prepare", ms: 6, bytes: null },
          { stage: "start", phase: "qemu", ms: 41, bytes: null },
          { stage: "start", phase: "load", ms: 19, bytes: null },
          { stage: "start", phase: "agent", ms: null, bytes: null },
        ],
      }),
    },
  }),
  capturing: of({
    status: { status: { ...data.stopped, state: "capturing", snapshot: null } },
    activity: {
      activity: data.activity({
        task: "capture",
        stages: ["capture"],
        began_at_ms: data.NOW - 21_000,
        limit: { began_at_ms: data.NOW - 20_000, limit_ms: 300_000 },
        phases: [
          { stage: "capture", phase: "prepare", ms: 80, bytes: null },
          { stage: "capture", phase: "qemu", ms: 44, bytes: null },
          { stage: "capture", phase: "boot", ms: 14_200, bytes: null },
          { stage: "capture", phase: "ready", ms: 4100, bytes: null },
          { stage: "capture", phase: "settle", ms: null, bytes: null },
        ],
      }),
    },
  }),
  "start-failed": of({
    status: { status: data.stopped },
    activity: { activity: data.activity({ outcome: { kind: "failed", failure: data.portTaken } }) },
  }),
  cold: of({
    status: {
      status: {
        ...data.running,
        start: {
          ...data.startSummary,
          kind: "cold",
          total_ms: 21_900,
          fallback_reason: "the snapshot cannot be used: ram.raw is 12 bytes short",
          rotated: false,
          phases: [
            { name: "prepare", ms: 90 },
            { name: "qemu", ms: 60 },
            { name: "boot", ms: 14_100 },
            { name: "rotate", ms: 950 },
            { name: "ready", ms: 6700 },
          ],
        },
        accelerator: "tcg",
        snapshot: null,
        snapshot_damage: "ram.raw is 12 bytes short",
        secret_store: "runtime_file",
        secret_warning:
          "No keychain is available. Until the next start, the secrets are in a file in memory.",
        services: data.services.map((service) =>
          service.id === "inbucket"
            ? { ...service, health: "failing" as const, healthy: false, answer_ms: null }
            : service,
        ),
      },
    },
  }),
  paused: of({ status: { status: { ...data.running, state: "paused", paused_by: "disk" } } }),
  "paused-by-signal": of({ status: { status: { ...data.running, state: "paused", paused_by: "signal" } } }),
  interrupted: of({ status: { status: { ...data.stopped, state: "interrupted" } } }),
  stopping: of({
    status: { status: { ...data.running, state: "stopping" } },
    activity: {
      activity: data.activity({
        task: "stop",
        stages: ["stop"],
        phases: [{ stage: "stop", phase: "save", ms: null, bytes: null }],
      }),
    },
  }),
  cancelling: of({
    status: { status: { ...data.stopped, state: "starting" } },
    activity: { activity: data.activity({ outcome: { kind: "cancelling" } }) },
  }),
  waiting: of({
    status: { status: { ...data.stopped, busy: { pid: 31_337, command: "capture" } } },
    activity: {
      activity: data.activity({
        began_at_ms: data.NOW - 12_000,
        phases: [{ stage: "start", phase: "lock", ms: null, bytes: null }],
        notices: [{ warning: false, text: "Waiting up to 6 min for `capture` (pid 31337)." }],
      }),
    },
  }),
  "newer-release": of({ newer_release: { release: data.newer } }),
  "no-tray": of({ app: { app: { ...data.app, tray: false } } }),
  died: of({ status: { status: data.died } }),
  "powered-off": of({ status: { status: { ...data.died, ended_by: "guest" } } }),
  unreachable: of({ status: { status: { ...data.running, unreachable: true } } }),
  "other-settings": of({
    status: {
      status: {
        ...data.running,
        other_settings: [{ setting: "ram", now: "1024 MiB", next: "2048 MiB" }],
      },
    },
  }),
  busy: of({
    status: { status: { ...data.stopped, state: "starting", busy: { pid: 31_337, command: "start" } } },
  }),
  long: of({
    status: {
      status: {
        ...data.running,
        image_in_use: { name: `emulator-${LONG}`, digest: null, built_at_ms: data.NOW },
        services: data.services.map((service) => ({ ...service, name: `${service.name} of ${LONG}` })),
      },
    },
    activity: {
      activity: data.activity({
        outcome: {
          kind: "failed",
          failure: {
            code: "qemu_start",
            message: `cannot start /opt/${LONG}/qemu-system-x86_64: it ended with status 1 and said:\n${"qemu-system-x86_64: -device virtio-9p-pci,fsdev=x: cannot open shared folder: No such file or directory\n".repeat(12)}`,
            hint: null,
            remedy: { kind: "read_logs" },
          },
        },
      }),
    },
    projects: {
      projects: data.projects.map((project) => ({
        ...project,
        name: LONG,
        shown_path: `~/${LONG}/stack.config.ts`,
      })),
    },
    images: {
      images: {
        ...data.installed,
        images: data.images.map((image) => ({ ...image, name: `${image.name}-${LONG}` })),
      },
    },
  }),
  pulling: of({
    images: { images: data.installed },
    activity: {
      activity: data.activity({
        id: 9,
        task: "pull",
        subject: "emulator-dev-latest",
        stages: ["pull", "capture"],
        began_at_ms: data.NOW - 38_000,
        phases: data.downloading(431_000_000),
        notices: [
          { warning: true, text: "The release has no digest, so the download cannot be compared with it." },
        ],
      }),
    },
  }),
  unfinished: of({
    images: {
      images: {
        ...data.installed,
        unfinished: [
          {
            source: { kind: "pull_request", number: 1301 },
            name: "PR 1301",
            done: 611_000_000,
            total: 1_190_000_000,
            set_up: false,
          },
        ],
      },
    },
  }),
  offline: of({}, { list_releases: offline, resolve_image: offline, check_for_update: offline }),
  "token-needed": of(
    {},
    {
      resolve_image: refuse({
        code: "token_needed",
        message: "the files of a workflow run can only be downloaded with a token",
        hint: null,
        remedy: { kind: "set_token" },
      }),
    },
  ),
  "quit-refused": of(
    { quit: { asked: true } },
    {
      quit: refuse({
        code: "stop",
        message: "QEMU (process 31337) is still running 10 s after it was killed",
        hint: null,
        remedy: null,
      }),
    },
  ),
  "quit-pulling": of({
    quit: { asked: true },
    activity: {
      activity: data.activity({ task: "pull", stages: ["pull"], phases: data.downloading(431_000_000) }),
    },
  }),
  "log-broken": of(
    {},
    {
      follow_log: ({ onUpdate }) => {
        const update: LogUpdate = {
          kind: "failed",
          failure: {
            code: "log",
            message:
              "cannot read the log ~/.stack/emulator/instances/default/logs/serial.log: input/output error",
            hint: null,
            remedy: null,
          },
        };
        (onUpdate as { onmessage: (update: LogUpdate) => void }).onmessage(update);
        return 1;
      },
    },
  ),
  "no-project": of({ projects: { projects: [] } }),
  "credentials-failed": of(
    {},
    {
      project_credentials: refuse({
        code: "config_file",
        message:
          "the emulator cannot use the config file /home/ada/code/shop/stack.config.ts: its folder is not mounted",
        hint: null,
        remedy: null,
      }),
    },
  ),
  overridden: of({
    settings: {
      settings: {
        ...data.settings,
        no_rotation: true,
        github_token: "environment",
        restart_needed: true,
        overrides: [
          { field: "ram_mib", variable: "EMULATOR_RAM" },
          { field: "no_rotation", variable: "EMULATOR_NO_ROTATION" },
        ],
        ports: data.settings.ports.map((port) =>
          port.service === "backend" ? { ...port, port: 30_001, overridden: true } : port,
        ),
      },
    },
  }),
  "token-gh": of({ settings: { settings: { ...data.settings, github_token: "gh" } } }),
  "token-keychain": of({ settings: { settings: { ...data.settings, github_token: "keychain" } } }),
  welcome: of(firstRun),
  unfit: of(firstRun, {
    examine: () => ({
      fit: false,
      checks: data.unfitChecks,
    }),
  }),
  "welcome-emulated": of(firstRun, {
    examine: () => ({
      fit: true,
      checks: data.checks.map((check) =>
        check.id === "accelerator"
          ? {
              ...check,
              verdict: "warning",
              detail: "KVM does not work on this host; using software emulation (slower).",
              evidence:
                "kvm fails (signal: 6 (SIGABRT): qemu-system-x86_64: error: failed to set MSR 0x38d to 0x0), tcg works (0.28 s)",
              remedy: { kind: "probe_again", accelerator: "KVM" },
            }
          : check,
      ),
    }),
  }),
  "welcome-no-image": of(firstRun, {
    list_releases: () => ({ repository: "stack-auth/stack-auth", releases: [] }),
  }),
  "welcome-not-published": of({
    ...firstRun,
    activity: {
      activity: data.activity({
        task: "set_up",
        source: { kind: "rolling", branch: null },
        stages: ["pull", "capture", "start"],
        phases: [{ stage: "pull", phase: "resolve", ms: 210, bytes: null }],
        outcome: { kind: "failed", failure: data.noPublishedImage },
      }),
    },
  }),
  "welcome-offline": of(firstRun, { list_releases: offline }),
  "welcome-unfinished": of({
    ...firstRun,
    images: {
      images: {
        ...data.noImages,
        unfinished: [
          {
            source: { kind: "rolling", branch: null },
            name: "emulator-dev-latest",
            done: 611_000_000,
            total: 1_184_000_000,
            set_up: true,
          },
        ],
      },
    },
  }),
  "welcome-interrupted": of({
    ...firstRun,
    images: {
      images: {
        ...data.installed,
        unfinished: [
          {
            source: { kind: "rolling", branch: "dev" },
            name: "emulator-dev-latest",
            done: 0,
            total: 0,
            set_up: true,
          },
        ],
      },
    },
  }),
  "release-installed": of({
    images: {
      images: {
        ...data.installed,
        images: data.images.map((image, index) =>
          index === 1 ? { ...image, digest: data.releases[2]?.digest ?? image.digest } : image,
        ),
      },
    },
  }),
  "welcome-installed": of(
    {
      ...firstRun,
      images: {
        images: {
          ...data.installed,
          images: data.images.map((image, index) =>
            index === 1 ? { ...image, digest: data.releases[0]?.digest ?? image.digest } : image,
          ),
        },
      },
    },
    { check_for_update: () => ({ available: null }) },
  ),
  "welcome-placeholders": of({
    ...firstRun,
    status: { status: { ...data.running, start: { ...data.startSummary, rotated: false } } },
    images: { images: data.installed },
    activity: {
      activity: data.activity({
        task: "set_up",
        stages: ["pull", "capture", "start"],
        outcome: { kind: "finished" },
      }),
    },
  }),
  "welcome-pulling": of({
    ...firstRun,
    activity: {
      activity: data.activity({
        task: "set_up",
        subject: "emulator-dev-latest",
        stages: ["pull", "capture", "start"],
        began_at_ms: data.NOW - 38_000,
        phases: data.downloading(431_000_000),
      }),
    },
  }),
  "welcome-capturing": of({
    ...firstRun,
    activity: {
      activity: data.activity({
        task: "set_up",
        subject: "emulator-dev-latest",
        stages: ["pull", "capture", "start"],
        began_at_ms: data.NOW - 121_000,
        limit: { began_at_ms: data.NOW - 14_000, limit_ms: 300_000 },
        phases: [
          { stage: "pull", phase: "resolve", ms: 210, bytes: null },
          { stage: "pull", phase: "download", ms: 103_000, bytes: null },
          { stage: "pull", phase: "reread", ms: 1900, bytes: null },
          { stage: "capture", phase: "qemu", ms: 44, bytes: null },
          { stage: "capture", phase: "boot", ms: null, bytes: null },
        ],
      }),
    },
  }),
  "welcome-failed": of({
    ...firstRun,
    activity: {
      activity: data.activity({
        task: "set_up",
        subject: "emulator-dev-latest",
        stages: ["pull", "capture", "start"],
        began_at_ms: data.NOW - 121_000,
        phases: [
          { stage: "pull", phase: "download", ms: 103_000, bytes: null },
          { stage: "capture", phase: "prepare", ms: 50, bytes: null },
        ],
        outcome: { kind: "failed", failure: data.portTaken },
      }),
    },
  }),
  "welcome-done": of({
    ...firstRun,
    status: { status: data.running },
    images: { images: data.installed },
    activity: {
      activity: data.activity({
        task: "set_up",
        stages: ["pull", "capture", "start"],
        phases: [
          { stage: "pull", phase: "download", ms: 103_000, bytes: null },
          { stage: "capture", phase: "boot", ms: 34_210, bytes: null },
          { stage: "start", phase: "qemu", ms: 712, bytes: null },
        ],
        outcome: { kind: "finished" },
      }),
    },
  }),
};

/** The scenario called `name`. */
export function scenario(name: string): Scenario {
  const found = SCENARIOS[name];
  if (!found) throw new Error(`there is no scenario ${name}`);
  return found;
}
