//! What the app holds while it runs: the engine's instance, what is shown of it, and what is under way.
//!
//! The instance folder is the truth. The desk looks when the engine says that something changed there, when an
//! operation of its own has ended, and when the window is shown; it keeps nothing that a look could not bring
//! back. While the window is hidden it looks only as far as the tray needs.

use std::collections::BTreeSet;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use emulator::Emulator;
use emulator::changes::Changed;
use emulator::preferences::Preferences;
use tauri::{AppHandle, Manager as _};
use tokio::sync::{Notify, watch};

use crate::activity::{Activities, Plan, Reports, lock};
use crate::clipboard::Clipboard;
use crate::commands::logs::Followers;
use crate::live::Live;
use crate::notification;
use crate::wire::activity::Outcome;
use crate::wire::app::AppInfo;
use crate::wire::failure::Failure;

/// The app's state, managed by Tauri.
#[derive(Debug)]
pub(crate) struct Desk {
    app: AppHandle,
    /// With the preferences that it goes by. Replaced when they change; an operation goes on with the one that it
    /// began with.
    emulator: Mutex<(Arc<Emulator>, Preferences)>,
    pub(crate) live: Live,
    pub(crate) activities: Activities,
    pub(crate) clipboard: Clipboard,
    /// Files outside the home folder that this app has written, and so may point to.
    written: Mutex<BTreeSet<PathBuf>>,
    /// Whether the window can be seen.
    pub(crate) shown: watch::Sender<bool>,
    /// Whether the desktop is dark.
    pub(crate) dark: watch::Sender<bool>,
    pub(crate) followers: Followers,
    /// The parts that are to be looked at again.
    stale: Mutex<Changed>,
    look: Notify,
}

impl Desk {
    pub(crate) fn new(
        app: AppHandle,
        emulator: Emulator,
        preferences: Preferences,
        info: AppInfo,
    ) -> Self {
        Self {
            app,
            emulator: Mutex::new((Arc::new(emulator), preferences)),
            live: Live::new(info),
            activities: Activities::new(),
            clipboard: Clipboard::default(),
            written: Mutex::default(),
            shown: watch::Sender::new(false),
            dark: watch::Sender::new(false),
            followers: Followers::default(),
            stale: Mutex::new(Changed::EVERYTHING),
            look: Notify::new(),
        }
    }

    /// The app's desk.
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

    /// Goes by `preferences` from now on, where no variable goes before them.
    pub(crate) fn go_by(&self, preferences: &Preferences) {
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

    /// Goes by the preferences as they are now: another program may have changed them.
    pub(crate) fn heed_preferences(&self) {
        match Preferences::read(self.emulator().home()) {
            Ok(preferences) => self.go_by(&preferences),
            // Those that were read last stay in force; a look at the settings says what is the matter.
            Err(error) => {
                let error = emulator::chain(&error);
                tracing::debug!(error, "the settings could not be read");
            }
        }
    }

    /// Has parts looked at again.
    pub(crate) fn invalidate(&self, changed: Changed) {
        let mut known = lock(&self.stale);
        *known = known.and(changed);
        drop(known);
        self.look.notify_one();
    }

    /// The parts to look at, once there are any.
    pub(crate) async fn stale(&self) -> Changed {
        loop {
            let stale = std::mem::take(&mut *lock(&self.stale));
            if stale != Changed::NOTHING {
                return stale;
            }
            self.look.notified().await;
        }
    }

    /// Does `work` as this app's activity, to its end, even if nobody waits for that any more.
    ///
    /// # Errors
    ///
    /// Another activity is under way; the work fails, which the activity then says as well; it is cancelled.
    pub(crate) async fn perform<F>(
        self: &Arc<Self>,
        plan: Plan,
        work: impl FnOnce(Arc<Emulator>, Reports) -> F + Send + 'static,
    ) -> Result<(), Failure>
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let task = plan.task;
        let (reports, mut asked) = self.activities.begin(plan)?;
        let desk = self.clone();
        let running = tauri::async_runtime::spawn(async move {
            // The look that follows a change of the settings may not have come that far.
            desk.heed_preferences();
            let emulator = desk.emulator();
            let result = tokio::select! {
                result = work(emulator.clone(), reports.clone()) => result,
                // The other end lives as long as the activity.
                Ok(_) = asked.wait_for(|asked| *asked) => Err(Failure::cancelled()),
            };
            let outcome = match &result {
                Ok(()) => Outcome::Finished,
                // The future was dropped in its middle.
                Err(failure) if *asked.borrow() => {
                    match emulator.recover_interrupted(&reports).await {
                        Ok(()) if failure.code == "cancelled" => Outcome::Cancelled,
                        Ok(()) => Outcome::Failed {
                            failure: failure.clone(),
                        },
                        Err(error) => Outcome::Failed {
                            failure: error.into(),
                        },
                    }
                }
                Err(failure) => Outcome::Failed {
                    failure: failure.clone(),
                },
            };
            reports.end(outcome.clone());
            desk.invalidate(Changed::EVERYTHING);
            notification::tell_outcome(&desk, task, &outcome);
            result
        });
        match running.await {
            Ok(result) => result,
            Err(error) => Err(Failure::of("internal", "the operation broke off", &error)),
        }
    }
}
