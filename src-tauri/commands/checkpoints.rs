//! Checkpoints of the instance: listed, created, restored, deleted.

use std::sync::Arc;

use emulator::paths::CheckpointName;
use emulator::{CheckpointEntry, Code};
use progress::Silent;
use tauri::State;

use crate::activity::Plan;
use crate::app_state::AppState;
use crate::operations::perform;
use crate::wire::activity::{Stage, Task};
use crate::wire::failure::{Answer, Failure};

/// The checkpoints, in the order of their names.
#[tauri::command]
#[specta::specta]
pub(crate) async fn list_checkpoints(
    state: State<'_, Arc<AppState>>,
) -> Answer<Vec<CheckpointEntry>> {
    Ok(state.emulator().checkpoints().await?.checkpoints)
}

/// Keeps the running emulator under a name.
#[tauri::command]
#[specta::specta]
pub(crate) async fn create_checkpoint(state: State<'_, Arc<AppState>>, name: String) -> Answer {
    let name = checked(&name)?;
    let plan = Plan {
        subject: Some(name.to_string()),
        ..Plan::of(Task::Checkpoint, Stage::Checkpoint)
    };
    perform(&state, plan, |emulator, reports| async move {
        emulator.create_checkpoint(&name, &reports).await?;
        Ok(())
    })
    .await
}

/// Has the emulator run from a checkpoint, in place of what runs or is saved.
#[tauri::command]
#[specta::specta]
pub(crate) async fn restore_checkpoint(state: State<'_, Arc<AppState>>, name: String) -> Answer {
    let name = checked(&name)?;
    let plan = Plan {
        subject: Some(name.to_string()),
        ..Plan::of(Task::Restore, Stage::Start)
    };
    perform(&state, plan, |emulator, reports| async move {
        emulator.restore_checkpoint(&name, &reports).await?;
        Ok(())
    })
    .await
}

/// Removes a checkpoint.
#[tauri::command]
#[specta::specta]
pub(crate) async fn delete_checkpoint(state: State<'_, Arc<AppState>>, name: String) -> Answer {
    let name = checked(&name)?;
    state.emulator().delete_checkpoint(&name, &Silent).await?;
    Ok(())
}

fn checked(name: &str) -> Answer<CheckpointName> {
    name.parse()
        .map_err(|error| Failure::new(Code::CheckpointName, format!("{error}")))
}
