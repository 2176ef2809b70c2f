//! The app itself: what it is, its pages, and how it ends.

use emulator::updates::ProgramRelease;
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
}

impl From<ProgramRelease> for NewerRelease {
    fn from(ProgramRelease { version, url }: ProgramRelease) -> Self {
        Self { version, url }
    }
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
