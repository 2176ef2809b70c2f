//! Whether this host can run the emulator.

use std::sync::Arc;

use tauri::State;

use super::Answer;
use crate::desk::Desk;
use crate::wire::checks::Examination;

/// Looks at whether this host can run the emulator.
#[tauri::command]
#[specta::specta]
pub(crate) async fn examine(desk: State<'_, Arc<Desk>>, probe_again: bool) -> Answer<Examination> {
    Ok(desk.emulator().examine(probe_again).await.into())
}
