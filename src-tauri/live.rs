//! The state as it is shown: published whole, part by part, to the page and the tray.
//!
//! Whoever shows something subscribes and renders what is there; nobody infers. A part that was not looked at
//! yet is `None`.

use tauri::async_runtime::JoinHandle;
use tauri::ipc::Channel;
use tokio::sync::watch;

use std::sync::Mutex;

use crate::activity::{Activities, lock};
use crate::wire::app::{AppInfo, Update};
use crate::wire::images::InstalledImages;
use crate::wire::projects::Project;
use crate::wire::settings::Settings;
use crate::wire::status::Status;

/// Each part's newest state.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) app: watch::Sender<AppInfo>,
    pub(crate) status: watch::Sender<Option<Status>>,
    pub(crate) images: watch::Sender<Option<InstalledImages>>,
    pub(crate) projects: watch::Sender<Option<Vec<Project>>>,
    pub(crate) settings: watch::Sender<Option<Settings>>,
    /// The one that feeds the page. A page that is loaded again observes anew, and the old channel leads nowhere.
    feeding: Mutex<Option<JoinHandle<()>>>,
}

impl Live {
    pub(crate) fn new(app: AppInfo) -> Self {
        Self {
            app: watch::Sender::new(app),
            status: watch::Sender::new(None),
            images: watch::Sender::new(None),
            projects: watch::Sender::new(None),
            settings: watch::Sender::new(None),
            feeding: Mutex::new(None),
        }
    }

    /// Publishes a part if it is not what it was.
    pub(crate) fn publish<T: PartialEq>(part: &watch::Sender<Option<T>>, now: T) {
        part.send_if_modified(|shown| {
            let changed = shown.as_ref() != Some(&now);
            if changed {
                *shown = Some(now);
            }
            changed
        });
    }

    /// Sends every part to `page`, and again whenever it changes.
    pub(crate) fn feed(&self, page: Channel<Update>, activities: &Activities) {
        let mut app = self.app.subscribe();
        let mut status = self.status.subscribe();
        let mut images = self.images.subscribe();
        let mut projects = self.projects.subscribe();
        let mut settings = self.settings.subscribe();
        let mut activity = activities.subscribe();
        app.mark_changed();
        activity.mark_changed();
        status.mark_changed();
        images.mark_changed();
        projects.mark_changed();
        settings.mark_changed();
        let feeding = tauri::async_runtime::spawn(async move {
            loop {
                let update = tokio::select! {
                    Ok(()) = app.changed() => Some(Update::App { app: app.borrow_and_update().clone() }),
                    Ok(()) = activity.changed() => Some(Update::Activity {
                        activity: activity.borrow_and_update().clone(),
                    }),
                    Ok(()) = status.changed() => {
                        status.borrow_and_update().clone().map(|status| Update::Status { status: Box::new(status) })
                    }
                    Ok(()) = images.changed() => {
                        images.borrow_and_update().clone().map(|images| Update::Images { images })
                    }
                    Ok(()) = projects.changed() => {
                        projects.borrow_and_update().clone().map(|projects| Update::Projects { projects })
                    }
                    Ok(()) = settings.changed() => {
                        settings.borrow_and_update().clone().map(|settings| Update::Settings { settings })
                    }
                    else => return,
                };
                if let Some(update) = update
                    && let Err(error) = page.send(update)
                {
                    tracing::debug!(%error, "the page is gone");
                    return;
                }
            }
        });
        if let Some(earlier) = lock(&self.feeding).replace(feeding) {
            earlier.abort();
        }
    }
}
