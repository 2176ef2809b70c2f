// Invented values, in the shapes that the engine sends.
import type {
  Activity,
  AppInfo,
  Check,
  CheckpointEntry,
  Failure,
  InstalledImage,
  InstalledImages,
  MailSummary,
  NewerRelease,
  PortSetting,
  Project,
  Release,
  ServiceStatus,
  Settings,
  SnapshotInfo,
  StartSummary,
  ShownStatus,
} from "../src/bindings";

/** The moment at which all scenarios play, so that pictures of them are the same each time. */
export const NOW = Date.UTC(2026, 3, 26, 14, 30);
const MINUTE = 60_000;
const DAY = 86_400_000;

export const app: AppInfo = {
  version: "0.1.0",
  platform: "linux",
  tray: true,
  home: "~/.stack/emulator",
  first_run: false,
};

export const newer: NewerRelease = {
  version: "0.2.0",
  url: "https://github.com/owner/stack-emulator/releases/tag/v0.2.0",
  install: { kind: "elsewhere", by: null },
};

export const services: ServiceStatus[] = [
  {
    id: "dashboard",
    name: "Dashboard",
    url: "http://127.0.0.1:26700",
    health: "healthy",
    healthy: true,
    answer_ms: 4.2,
    browsable: true,
  },
  {
    id: "backend",
    name: "Backend API",
    url: "http://127.0.0.1:26701",
    health: "healthy",
    healthy: true,
    answer_ms: 6.1,
    browsable: false,
  },
  {
    id: "minio",
    name: "Object storage",
    url: "http://127.0.0.1:26702",
    health: "healthy",
    healthy: true,
    answer_ms: 3.3,
    browsable: false,
  },
  {
    id: "inbucket",
    name: "Mail inbox",
    url: "http://127.0.0.1:26703",
    health: "healthy",
    healthy: true,
    answer_ms: 2.8,
    browsable: true,
  },
];
export const unchecked = services.map((service) => ({
  ...service,
  health: "unchecked" as const,
  healthy: false,
  answer_ms: null,
}));

export const snapshot: SnapshotInfo = {
  id: "4c1f0a97b2d86e35",
  captured_at_ms: NOW - 2 * DAY,
  cold_boot_ms: 18_400,
  bytes_on_disk: 412_000_000,
};

export const checkpoints: CheckpointEntry[] = [
  {
    name: "before-upgrade",
    created_at_ms: NOW - 9 * DAY,
    bytes_on_disk: 388_000_000,
    fits: false,
    reason: "QEMU was 9.2.1 and is now 10.0.2",
  },
  {
    name: "seeded",
    created_at_ms: NOW - 12 * MINUTE,
    bytes_on_disk: 217_000_000,
    fits: true,
    reason: null,
  },
];

const callback = "http://localhost:3000/handler/magic-link-callback?code=";
const mail = (id: string, to: string, subject: string, minutes: number): MailSummary => ({
  id,
  project_id: "4f1c7a90-0f6d-4c3e-9a55-2b7e8d1c6a3f",
  to,
  subject,
  link: null,
  code: null,
  created_at_ms: NOW - minutes * MINUTE,
});
export const magicLink: MailSummary = {
  ...mail("m-4", "ada@example.com", "Sign in to shop: your code is HGXSY9", 1),
  link: `${callback}hgxsy9fv96z8sns79x4j1x77gp4dx8r2wae0crza8p6j0`,
  code: "HGXSY9",
};
export const mails: MailSummary[] = [
  magicLink,
  {
    ...mail("m-3", "grace.hopper@example.com", "You are invited to join Compilers", 12),
    link: "http://localhost:3000/handler/team-invitation?code=2wae0crza8p6j0hgxsy9fv96z8sns79x4j1x77gp4dx8r",
    code: "2wae0crza8p6j0hgxsy9fv96z8sns79x4j1x77gp4dx8r",
  },
  mail("m-2", "ada@example.com", "Your order is on its way", 47),
  mail("m-1", "bob@example.com", "", 2880),
];

export const startSummary: StartSummary = {
  kind: "resumed",
  checkpoint: null,
  fallback_reason: null,
  total_ms: 712,
  phases: [
    { name: "prepare", ms: 6 },
    { name: "qemu", ms: 41 },
    { name: "load", ms: 19 },
    { name: "agent", ms: 152 },
    { name: "clock", ms: 18 },
    { name: "rotate", ms: 238 },
    { name: "ready", ms: 238 },
  ],
  started_at_ms: NOW - 26 * MINUTE,
  uptime_ms: 26 * MINUTE,
  rotated: true,
  secrets_kept: false,
};

export const stopped: ShownStatus = {
  instance: "default",
  state: "stopped",
  paused_by: null,
  ended_by: null,
  unreachable: false,
  busy: null,
  start: null,
  other_settings: [],
  services: unchecked,
  folder: null,
  stops_when_idle_min: null,
  told_ports: [],
  network: null,
  accelerator: null,
  snapshot,
  snapshot_damage: null,
  session_kept: true,
  session_saved: true,
  image: "/home/ada/.stack/emulator/images/9f2c/disk.qcow2",
  image_in_use: { name: "emulator-dev-latest", digest: "sha256:9f2c", built_at_ms: NOW - 2 * DAY },
  secret_store: "keychain",
  secret_warning: null,
  memory: null,
  next_start: { kind: "plain", rotation_ms: 480 },
  failure: null,
};

export const died: ShownStatus = { ...stopped, state: "died", session_saved: false };

export const running: ShownStatus = {
  ...stopped,
  state: "running",
  start: startSummary,
  services,
  accelerator: "kvm",
  network: "closed",
  session_kept: false,
  memory: { resident: 612_000_000, anonymous: 148_000_000, given: 4_294_967_296 },
};

/** On the next block of ports. */
export const moved: ShownStatus = {
  ...running,
  services: services.map((service) => ({ ...service, url: service.url.replace(":267", ":268") })),
};

export const empty: ShownStatus = {
  ...stopped,
  services: [],
  snapshot: null,
  session_kept: false,
  image: null,
  image_in_use: null,
  secret_store: null,
};

export const release = (index: number, more: Partial<Release> = {}): Release => {
  const date = new Date(NOW - index * 3 * DAY).toISOString().slice(0, 10).replaceAll("-", "");
  const tag = `emulator-dev-${date}-${(0xa1b2c3d + index * 7919).toString(16).slice(0, 7)}`;
  return {
    tag,
    name: tag,
    published_at_ms: NOW - index * 3 * DAY - 5 * 3_600_000,
    prerelease: true,
    rolling: false,
    latest: false,
    bytes: 1_184_000_000 - index * 3_200_000,
    digest: `sha256:${String(index).repeat(64)}`,
    commit: (0x8d1e2f3a4b + index * 104_729).toString(16).slice(0, 10),
    url: `https://github.com/stack-auth/stack-auth/releases/tag/${tag}`,
    ...more,
  };
};
export const releases: Release[] = [
  release(0, { tag: "emulator-dev-latest", name: "Latest of dev", rolling: true, latest: true }),
  ...[0, 1, 2, 3, 4, 5, 6].map((index) => release(index)),
  release(9, { tag: "emulator-main-latest", name: "Latest of main", rolling: true, prerelease: false }),
];

export const images: InstalledImage[] = [
  {
    digest: "sha256:9f2c61be08d4a7f35c1e9b20764d8aef0135c7924be8d60fa1937c52e4806b3d",
    name: "emulator-dev-latest",
    source: { kind: "rolling", branch: null },
    commit: "8d1e2f3a4b",
    last_used_at_ms: NOW - 26 * MINUTE,
    bytes_on_disk: 1_184_000_000,
    verified: true,
    in_use: true,
    used_by: ["default"],
    snapshot,
    snapshot_archived: false,
  },
  {
    digest: "sha256:11aa61be08d4a7f35c1e9b20764d8aef0135c7924be8d60fa1937c52e4806b3d",
    name: "PR 1234",
    source: { kind: "pull_request", number: 1234 },
    commit: "77ab01cd92",
    last_used_at_ms: NOW - 8 * DAY,
    bytes_on_disk: 1_176_000_000,
    verified: true,
    in_use: false,
    used_by: [],
    snapshot: { ...snapshot, id: "b2", bytes_on_disk: 98_000_000 },
    snapshot_archived: true,
  },
  {
    digest: "sha256:22bb61be08d4a7f35c1e9b20764d8aef0135c7924be8d60fa1937c52e4806b3d",
    name: "stack-emulator-amd64.qcow2",
    source: { kind: "file", path: "/home/ada/Downloads/stack-emulator-amd64.qcow2" },
    commit: null,
    last_used_at_ms: null,
    bytes_on_disk: 268_000_000,
    verified: false,
    in_use: false,
    used_by: [],
    snapshot: null,
    snapshot_archived: false,
  },
];

export const installed: InstalledImages = {
  images,
  unfinished: [],
  bytes_on_disk: 3_138_000_000,
  limit_bytes: 20_000_000_000,
  free_bytes: 84_200_000_000,
};
export const noImages: InstalledImages = { ...installed, images: [], bytes_on_disk: 0 };

const ENV_FILES: Project["env_files"] = [
  { format: "env", name: ".env" },
  { format: "dotenv", name: ".env" },
  { format: "next", name: ".env.local" },
  { format: "vite", name: ".env.local" },
  { format: "expo", name: ".env" },
];
export const projects: Project[] = [
  {
    config_file: "/home/ada/code/shop/stack.config.ts",
    shown_path: "~/code/shop/stack.config.ts",
    name: "shop",
    exists: true,
    last_used_at_ms: NOW - 26 * MINUTE,
    format: "next",
    env_files: ENV_FILES,
    written_files: 1,
  },
  {
    config_file: "/home/ada/code/notes/apps/web/stack.config.ts",
    shown_path: "~/code/notes/apps/web/stack.config.ts",
    name: "web",
    exists: true,
    last_used_at_ms: NOW - 3 * DAY,
    format: "vite",
    env_files: ENV_FILES,
    written_files: 2,
  },
  {
    config_file: "/home/ada/code/gone/stack.config.ts",
    shown_path: "~/code/gone/stack.config.ts",
    name: "gone",
    exists: false,
    last_used_at_ms: NOW - 40 * DAY,
    format: "dotenv",
    env_files: ENV_FILES,
    written_files: 0,
  },
];

const port = (service: string, name: string, usual: number): PortSetting => ({
  service,
  name,
  port: usual,
  default: usual,
  variable: `EMULATOR_${service.toUpperCase()}_PORT`,
  overridden: false,
});

export const settings: Settings = {
  ports: [
    port("dashboard", "Dashboard", 26_700),
    port("backend", "Backend API", 26_701),
    port("minio", "Object storage", 26_702),
    port("inbucket", "Mail inbox", 26_703),
  ],
  ram_mib: 4096,
  vcpus: 4,
  limits: { ram_mib: 32_768, cpus: 8, min_ram_mib: 1024, max_ram_mib: 24_576, max_vcpus: 8 },
  open_at_login: true,
  start_emulator_at_launch: false,
  notifications: true,
  updates: true,
  cache_limit_bytes: 20_000_000_000,
  archive_after_days: 14,
  stop_when_idle_min: null,
  no_rotation: false,
  ahead: "disk",
  network: "by_image",
  room_for_standby: true,
  repository: "stack-auth/stack-auth",
  default_repository: "stack-auth/stack-auth",
  own_repository: "owner/stack-emulator",
  branch: "dev",
  github_token: "none",
  overrides: [],
  restart_needed: false,
};

export const checks: Check[] = [
  {
    id: "qemu",
    title: "QEMU",
    verdict: "ok",
    detail: "QEMU emulator version 10.0.2 at /usr/bin/qemu-system-x86_64",
    evidence: null,
    remedy: null,
  },
  {
    id: "accelerator",
    title: "Accelerator",
    verdict: "ok",
    detail: "KVM works (0.04 s)",
    evidence: null,
    remedy: null,
  },
  {
    id: "instance",
    title: "Instance",
    verdict: "ok",
    detail: "default, stopped",
    evidence: null,
    remedy: null,
  },
  {
    id: "disk",
    title: "Free disk",
    verdict: "ok",
    detail: "84.2 GB in ~/.stack/emulator",
    evidence: null,
    remedy: null,
  },
  {
    id: "ports",
    title: "Ports",
    verdict: "ok",
    detail: "26700, 26701, 26702, 26703 free",
    evidence: null,
    remedy: null,
  },
  {
    id: "secrets",
    title: "Secrets",
    verdict: "ok",
    detail: "new secrets are stored in the keychain",
    evidence: null,
    remedy: null,
  },
];

/** Those of a computer that cannot run the emulator. */
export const unfitChecks: Check[] = [
  {
    id: "qemu",
    title: "QEMU",
    verdict: "failed",
    detail: "qemu-system-x86_64 is not installed",
    evidence: null,
    remedy: { kind: "install_qemu", how: "On Debian 12, install it from bookworm-backports." },
  },
  {
    id: "instance",
    title: "Instance",
    verdict: "ok",
    detail: "default, stopped",
    evidence: null,
    remedy: null,
  },
  {
    id: "disk",
    title: "Free disk",
    verdict: "warning",
    detail: "3.10 GB in ~/.stack/emulator",
    evidence: null,
    remedy: { kind: "free_disk_space_for_snapshot", most_mib: 8192, variable: "EMULATOR_RAM" },
  },
  {
    id: "secrets",
    title: "Secrets",
    verdict: "ok",
    detail: "new secrets are stored in the keychain",
    evidence: null,
    remedy: null,
  },
];

export const portTaken: Failure = {
  code: "port_taken",
  message: "port 26700 (dashboard) is in use by node (pid 4242)",
  hint: null,
  remedy: { kind: "free_ports", ports: [{ port: 26700, service: "dashboard" }] },
};

export const secretsLocked: Failure = {
  code: "secret_store",
  message: "your keychain is locked",
  hint: null,
  remedy: { kind: "unlock_keychain" },
};

export const noPublishedImage: Failure = {
  code: "github_not_found",
  message:
    "the repository stack-auth/stack-auth has no image for amd64: the release emulator-dev-latest of stack-auth/stack-auth was not found at api.github.com",
  hint: null,
  remedy: { kind: "pull_starter", repository: "owner/stack-emulator" },
};

export const activity = (more: Partial<Activity>): Activity => ({
  id: 7,
  task: "start",
  subject: null,
  source: null,
  stages: ["start"],
  phases: [],
  notices: [],
  began_at_ms: NOW - 400,
  limit: null,
  outcome: { kind: "running" },
  ...more,
});

export const downloading = (done: number, total = 1_184_000_000): Activity["phases"] => [
  { stage: "pull", phase: "resolve", ms: 210, bytes: null },
  {
    stage: "pull",
    phase: "download",
    ms: null,
    bytes: { done, total, bytes_per_second: 11_400_000, seconds_left: (total - done) / 11_400_000 },
  },
];
