// Invented values, in the shapes that the engine sends.
import type {
  Activity,
  AppInfo,
  Check,
  Failure,
  InstalledImage,
  InstalledImages,
  Project,
  Release,
  Service,
  Settings,
  SnapshotInfo,
  StartSummary,
  Status,
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
  firstRun: false,
};

export const services: Service[] = [
  {
    id: "dashboard",
    name: "Dashboard",
    url: "http://127.0.0.1:26700",
    health: "healthy",
    answerMs: 4.2,
    browsable: true,
  },
  {
    id: "backend",
    name: "Backend API",
    url: "http://127.0.0.1:26701",
    health: "healthy",
    answerMs: 6.1,
    browsable: false,
  },
  {
    id: "minio",
    name: "Object storage",
    url: "http://127.0.0.1:26702",
    health: "healthy",
    answerMs: 3.3,
    browsable: false,
  },
  {
    id: "inbucket",
    name: "Mail inbox",
    url: "http://127.0.0.1:26703",
    health: "healthy",
    answerMs: 2.8,
    browsable: true,
  },
];
export const unchecked = services.map((service) => ({
  ...service,
  health: "unchecked" as const,
  answerMs: null,
}));

export const snapshot: SnapshotInfo = {
  id: "4c1f0a97b2d86e35",
  capturedAtMs: NOW - 2 * DAY,
  coldBootMs: 18_400,
  bytesOnDisk: 412_000_000,
};

export const startSummary: StartSummary = {
  kind: "resumed",
  fallbackReason: null,
  totalMs: 712,
  phases: [
    { name: "prepare", ms: 6 },
    { name: "qemu", ms: 41 },
    { name: "load", ms: 19 },
    { name: "agent", ms: 152 },
    { name: "clock", ms: 18 },
    { name: "rotate", ms: 238 },
    { name: "ready", ms: 238 },
  ],
  startedAtMs: NOW - 26 * MINUTE,
  rotated: true,
};

export const stopped: Status = {
  instance: "default",
  state: "stopped",
  busy: null,
  start: null,
  services: unchecked,
  accelerator: null,
  snapshot,
  snapshotDamage: null,
  sessionKept: true,
  image: { name: "emulator-dev-latest", digest: "sha256:9f2c", builtAtMs: NOW - 2 * DAY },
  secretStore: { kind: "keychain", warning: null },
  memory: null,
  failure: null,
};

export const running: Status = {
  ...stopped,
  state: "running",
  start: startSummary,
  services,
  accelerator: "kvm",
  sessionKept: false,
  memory: { resident: 612_000_000, anonymous: 148_000_000, given: 4_294_967_296 },
};

export const empty: Status = {
  ...stopped,
  services: [],
  snapshot: null,
  sessionKept: false,
  image: null,
  secretStore: null,
};

export const release = (index: number, more: Partial<Release> = {}): Release => {
  const date = new Date(NOW - index * 3 * DAY).toISOString().slice(0, 10).replaceAll("-", "");
  const tag = `emulator-dev-${date}-${(0xa1b2c3d + index * 7919).toString(16).slice(0, 7)}`;
  return {
    tag,
    name: tag,
    publishedAtMs: NOW - index * 3 * DAY - 5 * 3_600_000,
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
    arch: "amd64",
    commit: "8d1e2f3a4b",
    installedAtMs: NOW - 2 * DAY,
    lastUsedAtMs: NOW - 26 * MINUTE,
    bytesOnDisk: 1_184_000_000,
    verified: true,
    inUse: true,
    usedBy: ["default"],
    snapshot,
    snapshotArchived: false,
  },
  {
    digest: "sha256:11aa61be08d4a7f35c1e9b20764d8aef0135c7924be8d60fa1937c52e4806b3d",
    name: "PR 1234",
    source: { kind: "pull_request", number: 1234 },
    arch: "amd64",
    commit: "77ab01cd92",
    installedAtMs: NOW - 9 * DAY,
    lastUsedAtMs: NOW - 8 * DAY,
    bytesOnDisk: 1_176_000_000,
    verified: true,
    inUse: false,
    usedBy: [],
    snapshot: { ...snapshot, id: "b2", bytesOnDisk: 98_000_000 },
    snapshotArchived: true,
  },
  {
    digest: "sha256:22bb61be08d4a7f35c1e9b20764d8aef0135c7924be8d60fa1937c52e4806b3d",
    name: "stack-emulator-amd64.qcow2",
    source: { kind: "file", path: "/home/ada/Downloads/stack-emulator-amd64.qcow2" },
    arch: "amd64",
    commit: null,
    installedAtMs: NOW - 31 * DAY,
    lastUsedAtMs: null,
    bytesOnDisk: 268_000_000,
    verified: false,
    inUse: false,
    usedBy: [],
    snapshot: null,
    snapshotArchived: false,
  },
];

export const installed: InstalledImages = {
  images,
  unfinished: [],
  bytesOnDisk: 3_138_000_000,
  limitBytes: 20_000_000_000,
  freeBytes: 84_200_000_000,
};
export const noImages: InstalledImages = { ...installed, images: [], bytesOnDisk: 0 };

const ENV_FILES: Project["envFiles"] = [
  { format: "env", name: ".env" },
  { format: "dotenv", name: ".env" },
  { format: "next", name: ".env.local" },
  { format: "vite", name: ".env.local" },
  { format: "expo", name: ".env" },
];
export const projects: Project[] = [
  {
    configFile: "/home/ada/code/shop/stack.config.ts",
    shownPath: "~/code/shop/stack.config.ts",
    name: "shop",
    exists: true,
    lastUsedAtMs: NOW - 26 * MINUTE,
    format: "next",
    envFiles: ENV_FILES,
  },
  {
    configFile: "/home/ada/code/notes/apps/web/stack.config.ts",
    shownPath: "~/code/notes/apps/web/stack.config.ts",
    name: "web",
    exists: true,
    lastUsedAtMs: NOW - 3 * DAY,
    format: "vite",
    envFiles: ENV_FILES,
  },
  {
    configFile: "/home/ada/code/gone/stack.config.ts",
    shownPath: "~/code/gone/stack.config.ts",
    name: "gone",
    exists: false,
    lastUsedAtMs: NOW - 40 * DAY,
    format: "dotenv",
    envFiles: ENV_FILES,
  },
];

export const settings: Settings = {
  ports: [
    { service: "dashboard", title: "Dashboard", port: 26_700, default: 26_700, setBy: null },
    { service: "backend", title: "Backend API", port: 26_701, default: 26_701, setBy: null },
    { service: "minio", title: "Object storage", port: 26_702, default: 26_702, setBy: null },
    { service: "inbucket", title: "Mail inbox", port: 26_703, default: 26_703, setBy: null },
  ],
  ramMib: 4096,
  vcpus: 4,
  limits: { hostRamMib: 32_768, hostCpus: 8, minRamMib: 1024, maxRamMib: 24_576, maxVcpus: 8 },
  openAtLogin: true,
  startEmulatorAtLaunch: false,
  notifications: true,
  cacheLimitBytes: 20_000_000_000,
  archiveAfterDays: 14,
  noRotation: false,
  repository: "stack-auth/stack-auth",
  defaultRepository: "stack-auth/stack-auth",
  branch: "dev",
  githubToken: "none",
  overrides: [],
  restartNeeded: false,
};

export const checks: Check[] = [
  {
    id: "qemu",
    title: "QEMU",
    verdict: "ok",
    detail: "QEMU emulator version 10.0.2 at /usr/bin/qemu-system-x86_64",
    remedy: null,
  },
  { id: "accelerator", title: "Accelerator", verdict: "ok", detail: "KVM works (0.04 s)", remedy: null },
  { id: "instance", title: "Instance", verdict: "ok", detail: "default, stopped", remedy: null },
  { id: "disk", title: "Free disk", verdict: "ok", detail: "84.2 GB in ~/.stack/emulator", remedy: null },
  { id: "ports", title: "Ports", verdict: "ok", detail: "26700, 26701, 26702, 26703 free", remedy: null },
  {
    id: "secrets",
    title: "Secrets",
    verdict: "ok",
    detail: "new secrets are stored in the keychain",
    remedy: null,
  },
];

export const portTaken: Failure = {
  code: "port_taken",
  message: "port 26700 (dashboard) is in use by node (pid 4242)",
  hint: "Stop that process, or use another port: `stack-emulator settings set port.dashboard PORT`.",
};

export const activity = (more: Partial<Activity>): Activity => ({
  id: 7,
  task: "start",
  subject: null,
  source: null,
  stages: ["start"],
  phases: [],
  notices: [],
  beganAtMs: NOW - 400,
  cancellable: true,
  outcome: { kind: "running" },
  ...more,
});

export const downloading = (done: number, total = 1_184_000_000): Activity["phases"] => [
  { stage: "pull", phase: "resolve", ms: 210, bytes: null },
  {
    stage: "pull",
    phase: "download",
    ms: null,
    bytes: { done, total, bytesPerSecond: 11_400_000, secondsLeft: (total - done) / 11_400_000 },
  },
];
