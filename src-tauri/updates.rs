//! Newer releases of this program: looked for while the window is shown, and told there until the user dismisses one.
//!
//! The engine decides when GitHub is asked, once a day at most for app and command line together, and keeps the answer.

use std::sync::Arc;
use std::time::Duration;

use crate::app_state::AppState;
use crate::wire::app::NewerRelease;

/// The version of this program.
const OWN: &str = env!("CARGO_PKG_VERSION");
/// How often to look whether it is time for a question, or whether another process has had an answer.
const LOOK_EVERY: Duration = Duration::from_secs(60 * 60);

/// Keeps what is told of newer releases current while the window is shown, for as long as the app runs.
pub(crate) async fn watch(state: Arc<AppState>) {
    let mut shown = state.shown.subscribe();
    let mut settings = state.published.settings.subscribe();
    // The senders belong to the app's state, which this task keeps.
    while shown.wait_for(|shown| *shown).await.is_ok() {
        look(&state).await;
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            // Whether to look at all is one of them.
            Ok(()) = settings.changed() => {}
        }
    }
}

/// Has a release not told of again.
pub(crate) fn dismiss(state: &AppState, version: &str) {
    if let Some(lookout) = state.emulator().lookout() {
        lookout.dismiss(version);
    }
    show(state);
}

async fn look(state: &AppState) {
    // At once what is known; the answer may take seconds.
    show(state);
    if let Some(lookout) = state.emulator().lookout() {
        lookout.ask().await;
        show(state);
    }
}

/// Publishes what is known, by the settings that are in force now.
fn show(state: &AppState) {
    let lookout = state.emulator().lookout();
    let newer = lookout.and_then(|lookout| lookout.to_show(OWN));
    let newer = newer.map(NewerRelease::from);
    state.published.newer.send_if_modified(|shown| {
        let changed = *shown != newer;
        *shown = newer;
        changed
    });
}
