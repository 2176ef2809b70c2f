// The first-run wizard.
import * as data from "../data";
import { firstRun, of, offline } from "./base";
import type { Scenarios } from "./base";

export const welcome: Scenarios = {
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
