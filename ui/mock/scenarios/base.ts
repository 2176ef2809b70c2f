// What scenarios are made of.
import { refuse } from "../bridge";
import type { Scenario } from "../bridge";
import * as data from "../data";

/** Scenarios by their names. */
export type Scenarios = Readonly<Record<string, Scenario>>;

/** A name that is too long for its place. */
export const LONG =
  "a-very-long-name-that-somebody-gave-to-a-folder-because-they-could/and-another-one-inside-of-it/with spaces and ünïcödé";

const base: Scenario["state"] = {
  app: { app: data.app },
  status: { status: data.running },
  activity: { activity: null },
  images: { images: data.installed },
  projects: { projects: data.projects },
  settings: { settings: data.settings },
};
/** The running emulator with other parts of its state, and other answers. */
export const of = (state: Scenario["state"], answers?: Scenario["answers"]): Scenario => ({
  state: { ...base, ...state },
  ...(answers && { answers }),
});
/** Before anything was set up. */
export const firstRun: Scenario["state"] = {
  app: { app: { ...data.app, first_run: true } },
  status: { status: data.empty },
  images: { images: data.noImages },
  projects: { projects: [] },
};
/** No answer from GitHub. */
export const offline = refuse({
  code: "network",
  message: "cannot reach api.github.com: the name could not be resolved",
  hint: null,
  remedy: { kind: "check_network" },
});
