// Changes to settings: only the named ones change.
import { commands } from "../bindings";
import type { Settings, SettingsChange } from "../bindings";
import { ask } from "../bridge";
import { attempt } from "./attempt";

const UNCHANGED: SettingsChange = {
  ports: null,
  ram_mib: null,
  vcpus: null,
  open_at_login: null,
  start_emulator_at_launch: null,
  notifications: null,
  updates: null,
  cache_limit_bytes: null,
  archive_after_days: null,
  stop_when_idle_min: null,
  no_rotation: null,
  ahead: null,
  network: null,
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
