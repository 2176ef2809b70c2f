// Changes to settings: only what is named changes.
import { commands } from "../bindings";
import type { Settings, SettingsChange } from "../bindings";
import { ask } from "../bridge";
import { small } from "./actions";

const UNCHANGED: SettingsChange = {
  ports: null,
  ramMib: null,
  vcpus: null,
  openAtLogin: null,
  startEmulatorAtLaunch: null,
  notifications: null,
  cacheLimitBytes: null,
  archiveAfterDays: null,
  noRotation: null,
  repository: null,
  branch: null,
};

/** Changes settings; throws what Rust refuses. */
export function changeSettings(change: Partial<SettingsChange>): Promise<Settings> {
  return ask(commands.changeSettings({ ...UNCHANGED, ...change }));
}

/** Changes settings at once, as a switch does; a refusal is told in passing. */
export function set(change: Partial<SettingsChange>): void {
  void small(() => changeSettings(change));
}
