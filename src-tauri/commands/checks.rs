//! Whether this host can run the emulator.

use std::sync::Arc;

use emulator::examine::Examination;
use tauri::State;

use crate::app_state::AppState;
use crate::wire::failure::Answer;

/// Looks at whether this host can run the emulator.
#[tauri::command]
#[specta::specta]
pub(crate) async fn examine(
    state: State<'_, Arc<AppState>>,
    probe_again: bool,
) -> Answer<Examination> {
    Ok(state.emulator().examine(probe_again).await)
}
