//! The end of the app: what becomes of a running emulator is the user's to say.
//!
//! QEMU is no child of the app's session, so leaving it running is safe, and what happens at logout, when
//! there is no time to ask.

use std::sync::Arc;

use tauri_specta::Event as _;

use crate::commands::lifecycle;
use crate::desk::Desk;
use crate::window;
use crate::wire::app::{QuitChoice, QuitRequested};
use crate::wire::failure::Failure;
use crate::wire::status::State;

/// Ends the app, or asks first if there is something to ask.
pub(crate) fn request(desk: &Arc<Desk>) {
    let activity = desk.activities.running();
    let runs = desk
        .live
        .status
        .borrow()
        .as_ref()
        .is_some_and(|status| match status.state {
            State::Running
            | State::Paused
            | State::Starting
            | State::Stopping
            | State::Capturing => true,
            State::Stopped | State::Interrupted | State::Died => false,
        });
    if activity.is_none() && !runs {
        desk.app().exit(0);
        return;
    }
    window::show(desk.app(), None);
    if let Err(error) = (QuitRequested { activity }).emit(desk.app()) {
        // A page that cannot be asked cannot answer either.
        tracing::warn!(%error, "the page could not be asked; the emulator is left running");
        desk.app().exit(0);
    }
}

/// Does what the user chose, and ends the app.
pub(crate) async fn carry_out(desk: &Arc<Desk>, choice: QuitChoice) -> Result<(), Failure> {
    desk.activities.cancel_running().await;
    match choice {
        QuitChoice::StopEmulator => lifecycle::stop_emulator(desk).await?,
        QuitChoice::LeaveRunning => {}
    }
    desk.app().exit(0);
    Ok(())
}
