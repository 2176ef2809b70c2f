//! What the app holds while it runs: the engine's instance, what is shown of it, and what is under way.
//!
//! The instance folder is the truth. What is shown is refreshed when the engine says that something changed there,
//! when an operation of the app has ended, and when the window is shown; nothing is kept that a refresh could not
//! bring back.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use emulator::Emulator;
use emulator::changes::Changed;
use emulator::preferences::Preferences;
use tauri::{AppHandle, Manager as _};
use tokio::sync::{Notify, watch};

use crate::activity::{Activities, lock};
use crate::clipboard::Clipboard;
use crate::followers::Followers;
use crate::published::Published;
use crate::wire::app::AppInfo;

/// The app's state, managed by Tauri.
#[derive(Debug)]
pub(crate) struct AppState {
    app: AppHandle,
    /// With the preferences in force. Replaced when they change; an operation goes on with the one that it began
    /// with.
    emulator: Mutex<(Arc<Emulator>, Preferences)>,
    pub(crate) published: Published,
    pub(crate) activities: Activities,
    pub(crate) clipboard: Clipboard,
    /// Files outside the home folder that this app has written, and so may point to.
    written: Mutex<BTreeSet<PathBuf>>,
    /// Whether the window can be seen.
    pub(crate) shown: watch::Sender<bool>,
    /// Whether the desktop is dark.
    pub(crate) dark: watch::Sender<bool>,
    pub(crate) followers: Followers,
    /// Told when the download of a newer release is to end.
    pub(crate) update_cancelled: Notify,
    /// Whether the app is to begin anew once it has ended.
    restarts: AtomicBool,
    /// The parts to refresh.
    stale: Mutex<Changed>,
    refresh: Notify,
}

impl AppState {
    pub(crate) fn new(
        app: AppHandle,
        emulator: Emulator,
        preferences: Preferences,
        info: AppInfo,
    ) -> Self {
        Self {
            app,
            emulator: Mutex::new((Arc::new(emulator), preferences)),
            published: Published::new(info),
            activities: Activities::new(),
            clipboard: Clipboard::default(),
            written: Mutex::default(),
            shown: watch::Sender::new(false),
            dark: watch::Sender::new(false),
            followers: Followers::default(),
            update_cancelled: Notify::new(),
            restarts: AtomicBool::new(false),
            stale: Mutex::new(Changed::EVERYTHING),
            refresh: Notify::new(),
        }
    }

    /// The state of this app.
    pub(crate) fn of(app: &AppHandle) -> Arc<Self> {
        app.state::<Arc<Self>>().inner().clone()
    }

    pub(crate) fn app(&self) -> &AppHandle {
        &self.app
    }

    /// The instance, with the settings in force.
    pub(crate) fn emulator(&self) -> Arc<Emulator> {
        lock(&self.emulator).0.clone()
    }

    /// Notes that the app has written a file for the user.
    pub(crate) fn note_written(&self, file: &Path) {
        // Links are followed, as they are when it is asked about.
        let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
        lock(&self.written).insert(file);
    }

    /// Whether the app has written the file with this path, links followed.
    pub(crate) fn has_written(&self, file: &Path) -> bool {
        lock(&self.written).contains(file)
    }

    /// Ends the app, and begins it anew.
    pub(crate) fn restart(&self) {
        self.restarts.store(true, Ordering::Release);
        self.app.exit(0);
    }

    /// Whether the app is to begin anew once it has ended.
    pub(crate) fn restarts(&self) -> bool {
        self.restarts.load(Ordering::Acquire)
    }

    /// Puts `preferences` in force; variables still override them.
    pub(crate) fn apply_preferences(&self, preferences: &Preferences) {
        let mut held = lock(&self.emulator);
        if held.1 == *preferences {
            return;
        }
        let settings = held.0.settings().clone().with_preferences(preferences);
        let emulator = Emulator::new(settings, held.0.name().clone(), None);
        *held = (Arc::new(emulator), preferences.clone());
        drop(held);
        self.invalidate(Changed::EVERYTHING);
    }

    /// Reads the preferences again: another program may have changed them.
    pub(crate) fn reload_preferences(&self) {
        match Preferences::read(self.emulator().home()) {
            Ok(preferences) => self.apply_preferences(&preferences),
            // Those that were read last stay in force; refreshing the settings tells what is wrong.
            Err(error) => {
                let error = emulator::chain(&error);
                tracing::debug!(error, "the settings could not be read");
            }
        }
    }

    /// Has parts refreshed.
    pub(crate) fn invalidate(&self, changed: Changed) {
        let mut known = lock(&self.stale);
        *known = known.and(changed);
        drop(known);
        self.refresh.notify_one();
    }

    /// The parts to refresh, once there are any.
    pub(crate) async fn stale(&self) -> Changed {
        loop {
            let stale = std::mem::take(&mut *lock(&self.stale));
            if stale != Changed::NOTHING {
                return stale;
            }
            self.refresh.notified().await;
        }
    }
}
