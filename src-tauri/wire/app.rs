//! The app itself: what it is, its pages, and how it ends.

use serde::{Deserialize, Serialize};
use specta::Type;
use tauri_specta::Event;

use super::activity::Activity;
use super::images::InstalledImages;
use super::projects::Project;
use super::settings::Settings;
use super::status::ShownStatus;

/// Facts about the app that do not change while it runs.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
pub(crate) struct AppInfo {
    pub(crate) version: String,
    pub(crate) platform: Platform,
    /// False where the desktop shows no tray icons: closing the window then leaves nothing to click.
    pub(crate) tray: bool,
    /// The folder that holds everything, with `~` for the user's own.
    pub(crate) home: String,
    /// Whether the first-run wizard is to be shown.
    pub(crate) first_run: bool,
}

/// The desktop that the app runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Platform {
    Linux,
    Macos,
    Windows,
}

/// A page of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Page {
    Status,
    Images,
    Credentials,
    Mail,
    Logs,
    Settings,
    Welcome,
}

/// What happens to a running emulator when the app ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub(crate) enum QuitChoice {
    StopEmulator,
    LeaveRunning,
}

/// A release of this program that is newer than the one that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Type)]
pub(crate) struct NewerRelease {
    /// Such as `1.2.3`.
    pub(crate) version: String,
    /// Its page.
    pub(crate) url: String,
    pub(crate) install: InstallState,
}

/// How far a newer release is from being this app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Type)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum InstallState {
    /// The app cannot replace itself; null where it is not known what can.
    Elsewhere { by: Option<Installer> },
    /// It can, when it is told to.
    Offered,
    /// The release is on its way here.
    Downloading {
        /// How much of it is here, if that is known.
        percent: Option<u8>,
    },
    /// It is put in the app's place, which cannot be canceled.
    Installing,
    /// It is in the app's place, and begins with a restart of the app.
    Ready,
    /// The app is what it was; it can be told again.
    Failed,
}

/// What installs a newer release of the app where the app does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Installer {
    Apt,
    Homebrew,
}

/// A config file is being dragged over the window, or was dropped on it.
#[derive(Clone, Debug, PartialEq, Serialize, Type, Event)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum ConfigFileDrag {
    Over,
    Left,
    Dropped { path: String },
}

/// One part of the state.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Update {
    App {
        app: AppInfo,
    },
    // Boxed: by far the largest.
    Status {
        status: Box<ShownStatus>,
    },
    Activity {
        activity: Option<Activity>,
    },
    Images {
        images: InstalledImages,
    },
    Projects {
        projects: Vec<Project>,
    },
    Settings {
        settings: Settings,
    },
    /// A newer release of this program that is to be shown, if there is one.
    NewerRelease {
        release: Option<NewerRelease>,
    },
    /// The tray or a notification wants a page shown. Sent once, as soon as there is a page to hear it.
    Navigate {
        page: Page,
    },
    /// Whether the user wants to quit, and is to be asked what becomes of what runs.
    Quit {
        asked: bool,
    },
}
