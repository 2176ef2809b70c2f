//! Logs: following them, and the bundle for a report of a fault.

use std::path::Path;
use std::sync::Arc;

use emulator::logs::{Follower, LogSource};
use tauri::State;
use tauri::ipc::Channel;
use tauri_plugin_dialog::DialogExt as _;

use super::desktop::chosen_to_save;
use crate::app_state::AppState;
use crate::wire::failure::Answer;
use crate::wire::logs::LogUpdate;

/// What the bundle is called unless the user says otherwise.
const FILE_NAME: &str = "stack-emulator-diagnostics.zip";

/// Sends the last lines of a log, and then what is added to it.
#[tauri::command]
#[specta::specta]
pub(crate) async fn follow_log(
    state: State<'_, Arc<AppState>>,
    source: LogSource,
    lines: u32,
    on_update: Channel<LogUpdate>,
) -> Answer<u32> {
    let lines = usize::try_from(lines).unwrap_or(usize::MAX);
    let follower = state
        .emulator()
        .follow_log(source, lines)
        .map_err(emulator::Error::from)?;
    Ok(state
        .followers
        .add(tauri::async_runtime::spawn(follow(follower, on_update))))
}

async fn follow(mut follower: Follower, page: Channel<LogUpdate>) {
    loop {
        match follower.next_lines().await {
            Ok(chunk) => {
                if let Err(error) = page.send(LogUpdate::Lines { chunk }) {
                    tracing::debug!(%error, "the page is gone");
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(error = %emulator::chain(&error), "a log could not be followed further");
                let last = LogUpdate::Failed {
                    failure: emulator::Error::from(error).into(),
                };
                // A page that is gone need not know.
                drop(page.send(last));
                return;
            }
        }
    }
}

/// Ends following.
#[tauri::command]
#[specta::specta]
pub(crate) async fn unfollow_log(state: State<'_, Arc<AppState>>, follower: u32) -> Answer {
    state.followers.remove(follower);
    Ok(())
}

/// Asks where to, and writes logs and reports there without secrets. Null if the user did not say.
#[tauri::command]
#[specta::specta]
pub(crate) async fn save_diagnostics(state: State<'_, Arc<AppState>>) -> Answer<Option<String>> {
    let dialog = state
        .app()
        .dialog()
        .file()
        .set_title("Save diagnostics")
        .set_file_name(FILE_NAME);
    let Some(path) = chosen_to_save(state.app(), dialog).await? else {
        return Ok(None);
    };
    let report = state.emulator().diagnostics(Path::new(&path)).await?;
    state.note_written(&report.path);
    Ok(Some(path))
}
