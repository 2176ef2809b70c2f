//! Logs: following them, and the bundle for a report of a fault.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use emulator::logs::{Chunk, Follower};
use tauri::State;
use tauri::async_runtime::JoinHandle;
use tauri::ipc::Channel;
use tauri_plugin_dialog::DialogExt as _;

use super::Answer;
use super::desktop::chosen_to_save;
use crate::activity::lock;
use crate::desk::Desk;
use crate::wire::logs::{LogChunk, LogSource};

/// The page follows one log at a time; one that was loaded again may have forgotten its last.
const MOST_FOLLOWERS: usize = 4;
/// What the bundle is called unless the user says otherwise.
const FILE_NAME: &str = "stack-emulator-diagnostics.zip";

/// Who follows what. Each is a task that ends with its channel, or when it is told to.
#[derive(Debug, Default)]
pub(crate) struct Followers(Mutex<(u32, BTreeMap<u32, JoinHandle<()>>)>);

impl Followers {
    fn add(&self, task: JoinHandle<()>) -> u32 {
        let mut known = lock(&self.0);
        known.0 += 1;
        let id = known.0;
        while known.1.len() >= MOST_FOLLOWERS {
            if let Some((_, oldest)) = known.1.pop_first() {
                oldest.abort();
            }
        }
        known.1.insert(id, task);
        id
    }

    fn remove(&self, id: u32) {
        if let Some(task) = lock(&self.0).1.remove(&id) {
            task.abort();
        }
    }
}

/// Sends the last lines of a log, and then what is added to it.
#[tauri::command]
#[specta::specta]
pub(crate) async fn follow_log(
    desk: State<'_, Arc<Desk>>,
    source: LogSource,
    lines: u32,
    on_chunk: Channel<LogChunk>,
) -> Answer<u32> {
    let lines = usize::try_from(lines).unwrap_or(usize::MAX);
    let follower = desk
        .emulator()
        .follow_log(source.into(), lines)
        .map_err(emulator::Error::from)?;
    Ok(desk
        .followers
        .add(tauri::async_runtime::spawn(follow(follower, on_chunk))))
}

async fn follow(mut follower: Follower, page: Channel<LogChunk>) {
    loop {
        match follower.next_lines().await {
            Ok(chunk) => {
                if let Err(error) = page.send(LogChunk::from(chunk)) {
                    tracing::debug!(%error, "the page is gone");
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(error = %emulator::chain(&error), "a log could not be followed further");
                let last = LogChunk {
                    first_line: 0,
                    lines: Vec::new(),
                    restarted: false,
                    failure: Some(emulator::Error::from(error).into()),
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
pub(crate) async fn unfollow_log(desk: State<'_, Arc<Desk>>, follower: u32) -> Answer {
    desk.followers.remove(follower);
    Ok(())
}

/// Asks where to, and writes logs and reports there without secrets. Null if the user did not say.
#[tauri::command]
#[specta::specta]
pub(crate) async fn save_diagnostics(desk: State<'_, Arc<Desk>>) -> Answer<Option<String>> {
    let dialog = desk
        .app()
        .dialog()
        .file()
        .set_title("Save diagnostics")
        .set_file_name(FILE_NAME);
    let Some(path) = chosen_to_save(desk.app(), dialog).await? else {
        return Ok(None);
    };
    let report = desk.emulator().diagnostics(Path::new(&path)).await?;
    desk.note_written(&report.path);
    Ok(Some(path))
}

impl From<Chunk> for LogChunk {
    fn from(chunk: Chunk) -> Self {
        Self {
            first_line: chunk.first_line,
            lines: chunk.lines,
            restarted: chunk.restarted,
            failure: None,
        }
    }
}

impl From<LogSource> for emulator::logs::LogSource {
    fn from(source: LogSource) -> Self {
        match source {
            LogSource::Serial => Self::Serial,
            LogSource::Qemu => Self::Qemu,
            LogSource::App => Self::App,
        }
    }
}
