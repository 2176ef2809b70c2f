// The state as Rust last sent it. Pages render it and infer nothing else.
import { Channel } from "@tauri-apps/api/core";

import { commands } from "../bindings";
import type {
  Activity,
  AppInfo,
  Failure,
  InstalledImages,
  NewerRelease,
  Project,
  Settings,
  ShownStatus,
  Update,
} from "../bindings";
import { ask, asFailure } from "../bridge";
import { route } from "./route.svelte";

class Observed {
  app = $state.raw<AppInfo | null>(null);
  status = $state.raw<ShownStatus | null>(null);
  activity = $state.raw<Activity | null>(null);
  images = $state.raw<InstalledImages | null>(null);
  projects = $state.raw<Project[] | null>(null);
  settings = $state.raw<Settings | null>(null);
  /** A newer release of this program that the user has not dismissed. */
  newer = $state.raw<NewerRelease | null>(null);
  /** Whether the quit dialog is shown. */
  quitting = $state.raw(false);
  /** Why no updates arrive. */
  failure = $state.raw<Failure | null>(null);

  /** Whether an activity of this app is running. */
  get active(): boolean {
    const kind = this.activity?.outcome.kind;
    return kind === "running" || kind === "cancelling";
  }

  /** Whether an operation is running, in this app or in another process. */
  get occupied(): boolean {
    return this.active || (this.status?.busy ?? null) !== null;
  }

  /** Subscribes to updates, for the lifetime of the page. */
  observe(): void {
    const updates = new Channel<Update>();
    updates.onmessage = (update) => this.take(update);
    ask(commands.observe(updates)).catch((error: unknown) => (this.failure = asFailure(error)));
  }

  private take(update: Update): void {
    switch (update.kind) {
      case "app":
        this.app = update.app;
        break;
      case "status":
        this.status = update.status;
        break;
      case "activity":
        this.activity = update.activity;
        break;
      case "images":
        this.images = update.images;
        break;
      case "projects":
        this.projects = update.projects;
        break;
      case "settings":
        this.settings = update.settings;
        break;
      case "newer_release":
        this.newer = update.release;
        break;
      case "navigate":
        route.go(update.page);
        break;
      case "quit":
        this.quitting = update.asked;
        break;
    }
  }
}

/** The one state of the page. */
export const observed = new Observed();
