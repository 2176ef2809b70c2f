// The scenes: pages, states and widths, and the clicks before the picture.
import type { Page } from "playwright-core";

export type Scene = {
  page: string;
  scenario: string;
  /** What tells it from others of its page and state. */
  name?: string;
  width?: number;
  height?: number;
  prepare?: (page: Page) => Promise<void>;
  /** Whether it shows the technical words that are behind “Details”, or a log. */
  technical?: true;
};

const all = (page: string, scenarios: string[], more: Partial<Scene> = {}): Scene[] =>
  scenarios.map((scenario) => ({ page, scenario, ...more }));
const click =
  (...names: (string | RegExp)[]) =>
  async (page: Page): Promise<void> => {
    for (const name of names) await page.getByRole("button", { name }).first().click();
  };
const choose = (option: string) => (page: Page) => page.getByText(option, { exact: true }).first().click();
const openDetails = async (page: Page): Promise<void> => {
  for (const summary of await page.getByText("Details", { exact: true }).all()) await summary.click();
};
const toImages = click("Continue");

const NARROW = { width: 400, height: 720 };
const WIDE = { width: 1440, height: 900 };
const TALL = { width: 920, height: 1100, name: "tall" };

export const SCENES: readonly Scene[] = [
  ...all("status", [
    "running",
    "stopped",
    "prepared",
    "standby",
    "goes-on",
    "slow-rotation",
    "loading",
    "empty",
    "starting",
    "capturing",
    "start-failed",
    "cold",
    "died",
    "powered-off",
    "unreachable",
    "other-settings",
    "paused",
    "paused-by-signal",
    "interrupted",
    "stopping",
    "cancelling",
    "waiting",
    "no-tray",
    "busy",
    "long",
    "pulling",
    "checkpointing",
    "newer-release",
    "emulated",
    "secrets-locked",
    "ports-set",
    "told-ports",
    "idle",
    "release-by-package",
    "release-offered",
    "release-downloading",
    "release-installing",
    "release-ready",
    "release-failed",
  ]),
  ...all("status", ["cold", "paused-by-signal", "unreachable"], {
    ...TALL,
    name: "details",
    prepare: openDetails,
    technical: true,
  }),
  ...all("status", ["idle"], TALL),
  { page: "status", scenario: "start-failed", name: "moved", prepare: click("Start on other ports") },
  {
    page: "status",
    scenario: "start-failed",
    ...NARROW,
    name: "moved",
    prepare: click("Start on other ports"),
  },
  ...all("status", ["running", "restored", "empty", "loading", "checkpoint-lost"], TALL),
  ...all("status", ["running", "start-failed", "long", "loading"], NARROW),
  ...all("status", ["running", "checkpoint-lost"], { width: 400, height: 1500 }),
  ...all("status", ["running"], WIDE),
  ...all("status", ["newer-release"], { width: 920, height: 480, name: "low" }),
  { page: "status", scenario: "stopped", name: "question", prepare: click("Reset…") },
  {
    page: "status",
    scenario: "running",
    name: "restore",
    prepare: click("Restore the checkpoint seeded"),
  },
  {
    page: "status",
    scenario: "running",
    name: "delete",
    prepare: click("Delete the checkpoint seeded"),
  },
  {
    page: "status",
    scenario: "running",
    name: "quit",
    prepare: (page) => page.evaluate(() => window.mock.send({ kind: "quit", asked: true })),
  },
  ...all("status", ["quit-pulling"], NARROW),
  { page: "status", scenario: "quit-refused", prepare: click("Stop it and quit") },
  { page: "status", scenario: "running", name: "copied", prepare: click("Copy credentials") },

  ...all("images", ["running", "loading", "empty", "pulling", "unfinished", "offline", "long"], TALL),
  ...all("images", ["release-installed", "welcome-interrupted"], TALL),
  ...all("images", ["running", "long", "pulling"], NARROW),
  {
    page: "images",
    scenario: "running",
    ...TALL,
    name: "pr",
    prepare: async (page) => {
      await choose("Pull request")(page);
      await page.getByLabel("Pull request", { exact: true }).last().fill("#1234");
      await click("Find the build")(page);
      await page.getByText("Faster sign-in").waitFor();
    },
  },
  {
    page: "images",
    scenario: "token-needed",
    ...TALL,
    name: "run",
    prepare: async (page) => {
      await choose("Workflow run")(page);
      await page.getByLabel("Workflow run", { exact: true }).last().fill("19283746501");
      await click("Find the build")(page);
      await page.getByRole("alert").waitFor();
    },
  },
  { page: "images", scenario: "running", name: "remove", prepare: click("Remove PR 1234") },
  { page: "images", scenario: "running", name: "prune", prepare: click("Remove unused…") },

  ...all("credentials", ["running", "stopped", "loading", "no-project", "credentials-failed", "long"], TALL),
  ...all("credentials", ["running", "long", "no-project"], NARROW),
  {
    page: "credentials",
    scenario: "running",
    name: "removed",
    prepare: click("Remove shop from the list"),
  },
  { page: "credentials", scenario: "running", name: "refreshed", prepare: click("Refresh .env files") },
  { page: "credentials", scenario: "running", name: "rotate", prepare: click("Rotate…") },
  {
    page: "credentials",
    scenario: "running",
    ...TALL,
    name: "revealed",
    prepare: click("Show Secret server key"),
  },

  ...all("mail", ["running", "loading", "stopped", "starting", "empty", "mail-none"]),
  ...all("mail", ["mail-unsupported", "mail-nowhere", "mail-failed"]),
  ...all("mail", ["running", "stopped", "mail-long"], NARROW),
  { page: "mail", scenario: "running", name: "open", prepare: click(/^ada@example/) },
  { page: "mail", scenario: "running", ...NARROW, name: "open", prepare: click(/^ada@example/) },
  { page: "mail", scenario: "mail-long", name: "open", prepare: click(/^a-very-long/) },
  {
    page: "mail",
    scenario: "running",
    name: "search",
    prepare: (page) => page.getByLabel("Search address or subject").fill("nobody"),
  },

  ...all("logs", ["running", "loading", "empty", "log-broken"], { technical: true }),
  ...all("logs", ["running"], { ...NARROW, technical: true }),
  {
    page: "logs",
    scenario: "running",
    technical: true,
    name: "search",
    prepare: (page) => page.getByLabel("Search").fill("project"),
  },

  { page: "settings", scenario: "start-failed", name: "toast" },
  ...all("settings", ["token-gh", "token-keychain", "standby", "goes-on"], { ...TALL, height: 1280 }),
  ...all("settings", ["running", "loading", "overridden", "idle-elsewhere"], { ...TALL, height: 1280 }),
  {
    page: "settings",
    scenario: "token-keychain",
    ...TALL,
    height: 1280,
    name: "details",
    prepare: openDetails,
    technical: true,
  },
  ...all("settings", ["running", "overridden"], { width: 400, height: 1500 }),
  {
    page: "settings",
    scenario: "running",
    name: "port",
    prepare: async (page) => {
      await page.getByLabel("Dashboard").fill("3000");
      await page.getByLabel("Dashboard").blur();
      await page.getByText("In use by node").waitFor();
    },
  },

  ...all("welcome", [
    "welcome",
    "welcome-emulated",
    "unfit",
    "loading",
    "welcome-pulling",
    "welcome-capturing",
    "welcome-failed",
    "welcome-not-published",
    "welcome-done",
    "welcome-placeholders",
  ]),
  { page: "welcome", scenario: "unfit", name: "details", prepare: openDetails, technical: true },
  ...all("welcome", ["welcome", "unfit", "welcome-pulling", "welcome-done"], NARROW),
  ...all(
    "welcome",
    [
      "welcome",
      "welcome-emulated",
      "welcome-offline",
      "welcome-no-image",
      "welcome-unfinished",
      "welcome-installed",
      "welcome-interrupted",
    ],
    {
      name: "image",
      prepare: toImages,
    },
  ),
  { page: "welcome", scenario: "welcome", ...NARROW, name: "image", prepare: toImages },
  {
    page: "welcome",
    scenario: "welcome-emulated",
    name: "details",
    prepare: openDetails,
    technical: true,
  },
  {
    page: "welcome",
    scenario: "welcome-done",
    name: "copied",
    prepare: click("Choose and copy credentials…"),
  },
];
