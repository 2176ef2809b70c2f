// An emulator that does not run as it should.
import { refuse } from "../bridge";
import * as data from "../data";
import { of } from "./base";
import type { Scenarios } from "./base";

export const troubles: Scenarios = {
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
  "start-failed": of({
    status: { status: data.stopped },
    activity: { activity: data.activity({ outcome: { kind: "failed", failure: data.portTaken } }) },
  }),
  "told-ports": of({
    status: {
      status: {
        ...data.moved,
        told_ports: data.settings.ports.map(({ service, port }) => ({ service, port })),
      },
    },
  }),
  "ports-set": of({
    status: { status: data.stopped },
    activity: { activity: data.activity({ outcome: { kind: "failed", failure: data.portTaken } }) },
    settings: {
      settings: {
        ...data.settings,
        ports: data.settings.ports.map((port) => ({ ...port, overridden: port.service === "dashboard" })),
      },
    },
  }),
  "secrets-locked": of({
    status: { status: data.stopped },
    activity: { activity: data.activity({ outcome: { kind: "failed", failure: data.secretsLocked } }) },
  }),
  emulated: of({
    status: { status: data.stopped },
    activity: {
      activity: data.activity({
        phases: [{ stage: "start", phase: "qemu", ms: null, bytes: null }],
        notices: [
          { warning: true, text: "kvm failed while it ran the virtual machine; trying again with tcg." },
        ],
      }),
    },
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
  died: of({ status: { status: data.died } }),
  "powered-off": of({ status: { status: { ...data.died, ended_by: "guest" } } }),
  unreachable: of({ status: { status: { ...data.running, unreachable: true } } }),
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
};
