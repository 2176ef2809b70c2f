//! The state as it is shown: published whole, part by part, to the page and the tray.
//!
//! Each view subscribes and renders what is there; none infers anything. A part that was not read
//! yet is `None`.

use tauri::async_runtime::JoinHandle;
use tauri::ipc::Channel;
use tokio::sync::watch;

use std::sync::Mutex;

use crate::activity::{Activities, lock};
use crate::wire::app::{AppInfo, NewerRelease, Page, Update};
use crate::wire::images::InstalledImages;
use crate::wire::others::Other;
use crate::wire::projects::Project;
use crate::wire::settings::Settings;
use crate::wire::status::ShownStatus;

/// Each part's newest state.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) app: watch::Sender<AppInfo>,
    pub(crate) status: watch::Sender<Option<ShownStatus>>,
    pub(crate) images: watch::Sender<Option<InstalledImages>>,
    pub(crate) projects: watch::Sender<Option<Vec<Project>>>,
    pub(crate) settings: watch::Sender<Option<Settings>>,
    /// For the tray alone.
    pub(crate) others: watch::Sender<Option<Vec<Other>>>,
    /// A release to tell of, if there is one.
    pub(crate) newer: watch::Sender<Option<NewerRelease>>,
    /// Where the user wants to be, until the page has been told: it may not be listening yet.
    going: watch::Sender<Option<Page>>,
    /// Whether the user is being asked what becomes of the emulator, until there is an answer.
    pub(crate) quitting: watch::Sender<bool>,
    /// The one that feeds the page. A page that is loaded again observes anew, and the old channel leads nowhere.
    feeding: Mutex<Option<JoinHandle<()>>>,
}

impl Published {
    pub(crate) fn new(app: AppInfo) -> Self {
        Self {
            app: watch::Sender::new(app),
            status: watch::Sender::new(None),
            images: watch::Sender::new(None),
            projects: watch::Sender::new(None),
            settings: watch::Sender::new(None),
            others: watch::Sender::new(None),
            newer: watch::Sender::new(None),
            going: watch::Sender::new(None),
            quitting: watch::Sender::new(false),
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

    /// Has the page go to another of its pages, now or once it is there.
    pub(crate) fn go(&self, page: Page) {
        self.going.send_replace(Some(page));
    }

    /// Sends every part to `page`, and again whenever it changes.
    pub(crate) fn feed(&self, page: Channel<Update>, activities: &Activities) {
        let mut app = self.app.subscribe();
        let mut status = self.status.subscribe();
        let mut images = self.images.subscribe();
        let mut projects = self.projects.subscribe();
        let mut settings = self.settings.subscribe();
        let mut newer = self.newer.subscribe();
        let wishes = self.going.clone();
        let mut going = wishes.subscribe();
        let mut quitting = self.quitting.subscribe();
        let mut activity = activities.subscribe();
        app.mark_changed();
        activity.mark_changed();
        status.mark_changed();
        images.mark_changed();
        projects.mark_changed();
        settings.mark_changed();
        newer.mark_changed();
        going.mark_changed();
        quitting.mark_changed();
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
                    Ok(()) = newer.changed() => Some(Update::NewerRelease {
                        release: newer.borrow_and_update().clone(),
                    }),
                    Ok(()) = going.changed() => taken(&wishes).map(|page| Update::Navigate { page }),
                    Ok(()) = quitting.changed() => Some(Update::Quit { asked: *quitting.borrow_and_update() }),
                    else => return,
                };
                let wish = match &update {
                    Some(Update::Navigate { page }) => Some(*page),
                    Some(_) | None => None,
                };
                if let Some(update) = update
                    && let Err(error) = page.send(update)
                {
                    tracing::debug!(%error, "the page is gone");
                    put_back(&wishes, wish);
                    return;
                }
            }
        });
        if let Some(earlier) = lock(&self.feeding).replace(feeding) {
            earlier.abort();
        }
    }
}

/// The wish, which is nobody else's then.
fn taken(wishes: &watch::Sender<Option<Page>>) -> Option<Page> {
    let mut taken = None;
    wishes.send_if_modified(|wish| {
        taken = wish.take();
        false
    });
    taken
}

/// Keeps a wish that the page was not told for the next one, unless there is a newer wish.
fn put_back(wishes: &watch::Sender<Option<Page>>, unheard: Option<Page>) {
    wishes.send_if_modified(|wish| {
        let lost = wish.is_none() && unheard.is_some();
        if lost {
            *wish = unheard;
        }
        lost
    });
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    use serde_json::{Value, json};
    use tauri::ipc::InvokeResponseBody;

    use super::*;
    use crate::wire::app::Platform;

    /// Longer than any machine is busy.
    const A_WHILE: Duration = Duration::from_secs(60);

    fn published() -> Published {
        Published::new(AppInfo {
            version: "0.0.0".to_owned(),
            platform: Platform::Linux,
            tray: true,
            home: "~/.stack/emulator".to_owned(),
            first_run: false,
        })
    }

    /// A page that hears for as long as `hears` says so, and what it has heard.
    fn page(
        hears: impl Fn(&Value) -> bool + Send + Sync + 'static,
    ) -> (Channel<Update>, Receiver<Value>) {
        let (heard, hearing) = channel();
        let page = Channel::new(move |body| {
            let InvokeResponseBody::Json(text) = body else {
                panic!("an update is JSON");
            };
            let update = serde_json::from_str(&text)?;
            if !hears(&update) {
                return Err(std::io::Error::other("the page is gone").into());
            }
            // A listener that has heard enough listens no longer.
            drop(heard.send(update));
            Ok(())
        });
        (page, hearing)
    }

    fn wait_for(hearing: &Receiver<Value>, wanted: &Value) {
        while hearing.recv_timeout(A_WHILE).expect("another update") != *wanted {}
    }

    #[test]
    fn what_was_wanted_before_the_page_listens_is_told_once_it_does() {
        let (published, activities) = (published(), Activities::new());
        published.go(Page::Logs);
        published.quitting.send_replace(true);
        let (one, hearing) = page(|_| true);
        published.feed(one, &activities);
        let mut wanted = vec![
            json!({"kind": "navigate", "page": "logs"}),
            json!({"kind": "quit", "asked": true}),
        ];
        while !wanted.is_empty() {
            let update = hearing.recv_timeout(A_WHILE).expect("another update");
            wanted.retain(|one| *one != update);
        }
        // A page that is loaded again is still asked, but goes nowhere a second time.
        let (again, hearing) = page(|_| true);
        published.feed(again, &activities);
        wait_for(&hearing, &json!({"kind": "quit", "asked": true}));
        assert_eq!(*published.going.borrow(), None);
        published.quitting.send_replace(false);
        wait_for(&hearing, &json!({"kind": "quit", "asked": false}));
    }

    #[test]
    fn a_page_that_is_gone_leaves_the_wish_to_the_next() {
        let (published, activities) = (published(), Activities::new());
        published.go(Page::Images);
        let (gone, hearing) = page(|update| update["kind"] != "navigate");
        published.feed(gone, &activities);
        // The feed has ended once nobody can send any more.
        while hearing.recv_timeout(A_WHILE).is_ok() {}
        let (next, hearing) = page(|_| true);
        published.feed(next, &activities);
        wait_for(&hearing, &json!({"kind": "navigate", "page": "images"}));
    }
}
