// Changes to settings: only the named ones change.
import { commands } from "../bindings";
import type { Settings, SettingsChange } from "../bindings";
import { ask } from "../bridge";
import { attempt } from "./actions";

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

/** Changes settings; throws if Rust refuses. */
export function changeSettings(change: Partial<SettingsChange>): Promise<Settings> {
  return ask(commands.changeSettings({ ...UNCHANGED, ...change }));
}

/** Changes settings at once, as a switch does; a refusal is shown in a toast. */
export function set(change: Partial<SettingsChange>): void {
  void attempt(() => changeSettings(change));
}
