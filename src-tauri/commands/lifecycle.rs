//! The state, and the operations on the instance.

use std::sync::Arc;

use tauri::State;
use tauri::ipc::Channel;

use crate::activity::Plan;
use crate::app_state::AppState;
use crate::operations::{self, Ports, perform};
use crate::wire::activity::{Stage, Task};
use crate::wire::app::Update;
use crate::wire::failure::Answer;

/// Sends the whole state, and then each part of it again whenever that part changes.
#[tauri::command]
#[specta::specta]
pub(crate) async fn observe(state: State<'_, Arc<AppState>>, on_update: Channel<Update>) -> Answer {
    state.published.feed(on_update, &state.activities);
    Ok(())
}

/// Starts the emulator. Resolves when it is ready or has failed. With `other_ports`, it has the next free ports from then
/// on if another program has its own.
#[tauri::command]
#[specta::specta]
pub(crate) async fn start(state: State<'_, Arc<AppState>>, other_ports: bool) -> Answer {
    operations::start(&state, Ports::of(other_ports)).await
}

/// Stops the emulator and keeps the session, or drops it.
#[tauri::command]
#[specta::specta]
pub(crate) async fn stop(state: State<'_, Arc<AppState>>, discard_session: bool) -> Answer {
    if !discard_session {
        return operations::stop(&state).await;
    }
    let plan = Plan::of(Task::Stop, Stage::Stop);
    perform(&state, plan, |emulator, reports| async move {
        emulator
            .discard("stop --discard", operations::worker().as_ref(), &reports)
            .await?;
        Ok(())
    })
    .await
}

/// Stops, keeping the session, and starts.
#[tauri::command]
#[specta::specta]
pub(crate) async fn restart(state: State<'_, Arc<AppState>>) -> Answer {
    let plan = Plan {
        stages: vec![Stage::Stop, Stage::Start],
        ..Plan::of(Task::Restart, Stage::Stop)
    };
    perform(&state, plan, |emulator, reports| async move {
        // To the end: what is wanted is a start of its own, and not that the same machine goes on.
        emulator.stop(None, &reports).await?;
        reports.enter(Stage::Start);
        emulator.start(&reports).await?;
        Ok(())
    })
    .await
}

/// Drops the session; the next start is from the clean snapshot.
#[tauri::command]
#[specta::specta]
pub(crate) async fn reset(state: State<'_, Arc<AppState>>) -> Answer {
    let plan = Plan::of(Task::Reset, Stage::Reset);
    perform(&state, plan, |emulator, reports| async move {
        emulator
            .discard("reset", operations::worker().as_ref(), &reports)
            .await?;
        Ok(())
    })
    .await
}

/// Boots the image once and takes a new snapshot.
#[tauri::command]
#[specta::specta]
pub(crate) async fn capture(state: State<'_, Arc<AppState>>) -> Answer {
    let plan = Plan::of(Task::Capture, Stage::Capture);
    perform(&state, plan, |emulator, reports| async move {
        emulator.capture(&reports).await?;
        Ok(())
    })
    .await
}

/// Replaces the four secrets of the running emulator.
#[tauri::command]
#[specta::specta]
pub(crate) async fn rotate_secrets(state: State<'_, Arc<AppState>>) -> Answer {
    let plan = Plan::of(Task::Rotate, Stage::Rotate);
    perform(&state, plan, |emulator, reports| async move {
        emulator.rotate(&reports).await?;
        Ok(())
    })
    .await
}

/// Cancels an activity of this app. What it leaves is cleaned up before this resolves.
#[tauri::command]
#[specta::specta]
pub(crate) async fn cancel(state: State<'_, Arc<AppState>>, activity: u32) -> Answer {
    if state.activities.cancel(activity) {
        state.activities.ended(activity).await;
    }
    Ok(())
}

/// Forgets an activity that has ended, so that it is no longer shown.
#[tauri::command]
#[specta::specta]
pub(crate) async fn dismiss(state: State<'_, Arc<AppState>>, activity: u32) -> Answer {
    state.activities.dismiss(activity);
    Ok(())
}
