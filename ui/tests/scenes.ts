// What is looked at: pages, states and widths, and what is clicked before.
import type { Page } from "playwright-core";

export type Scene = {
  page: string;
  scenario: string;
  /** What tells it from others of its page and state. */
  name?: string;
  width?: number;
  height?: number;
  prepare?: (page: Page) => Promise<void>;
};

const all = (page: string, scenarios: string[], more: Partial<Scene> = {}): Scene[] =>
  scenarios.map((scenario) => ({ page, scenario, ...more }));

export const SCENES: readonly Scene[] = [
  ...all("status", [
    "running",
    "stopped",
    "loading",
    "empty",
    "starting",
    "capturing",
    "start-failed",
    "cold",
    "died",
    "busy",
    "long",
    "pulling",
  ]),
  ...all("status", ["running", "start-failed", "long", "loading"], { width: 400, height: 720 }),
  ...all("status", ["running"], { width: 1440, height: 900 }),
];
