// The emulator as it starts, runs and stops.
import { forever, refuse } from "../bridge";
import * as data from "../data";
import { LONG, firstRun, of } from "./base";
import type { Scenarios } from "./base";

export const status: Scenarios = {
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
  "release-by-package": of({
    newer_release: { release: { ...data.newer, install: { kind: "elsewhere", by: "homebrew" } } },
  }),
  "release-offered": of({
    newer_release: { release: { ...data.newer, install: { kind: "offered" } } },
  }),
  "release-downloading": of({
    newer_release: { release: { ...data.newer, install: { kind: "downloading", percent: 43 } } },
  }),
  "release-installing": of({
    newer_release: { release: { ...data.newer, install: { kind: "installing" } } },
  }),
  "release-ready": of({
    newer_release: { release: { ...data.newer, install: { kind: "ready" } } },
  }),
  "release-failed": of({
    newer_release: { release: { ...data.newer, install: { kind: "failed" } } },
  }),
  idle: of({
    status: { status: { ...data.running, stops_when_idle_min: 30 } },
    settings: { settings: { ...data.settings, stop_when_idle_min: 30 } },
  }),
  "idle-elsewhere": of({
    status: { status: { ...data.running, stops_when_idle_min: 45 } },
    settings: { settings: { ...data.settings, stop_when_idle_min: 45 } },
  }),
  "no-tray": of({ app: { app: { ...data.app, tray: false } } }),
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
  "quit-pulling": of({
    quit: { asked: true },
    activity: {
      activity: data.activity({ task: "pull", stages: ["pull"], phases: data.downloading(431_000_000) }),
    },
  }),
};
