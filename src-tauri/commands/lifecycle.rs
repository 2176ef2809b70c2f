//! The state, and the operations on the instance.

use std::sync::Arc;

use tauri::State;
use tauri::ipc::Channel;

use super::Answer;
use crate::activity::Plan;
use crate::desk::Desk;
use crate::wire::activity::{Stage, Task};
use crate::wire::app::Update;

/// Sends the whole state, and then each part of it again whenever that part changes.
#[tauri::command]
#[specta::specta]
pub(crate) async fn observe(desk: State<'_, Arc<Desk>>, on_update: Channel<Update>) -> Answer {
    desk.live.feed(on_update, &desk.activities);
    Ok(())
}

/// Starts the emulator. Resolves when it is ready or has failed.
#[tauri::command]
#[specta::specta]
pub(crate) async fn start(desk: State<'_, Arc<Desk>>) -> Answer {
    start_emulator(&desk).await
}

/// Stops the emulator and keeps the session, or drops it.
#[tauri::command]
#[specta::specta]
pub(crate) async fn stop(desk: State<'_, Arc<Desk>>, discard_session: bool) -> Answer {
    let plan = Plan::of(Task::Stop, Stage::Stop);
    desk.perform(plan, move |emulator, reports| async move {
        if discard_session {
            emulator.discard(&reports).await?;
        } else {
            emulator.stop(&reports).await?;
        }
        Ok(())
    })
    .await
}

/// Stops, keeping the session, and starts.
#[tauri::command]
#[specta::specta]
pub(crate) async fn restart(desk: State<'_, Arc<Desk>>) -> Answer {
    let plan = Plan {
        stages: vec![Stage::Stop, Stage::Start],
        ..Plan::of(Task::Restart, Stage::Stop)
    };
    desk.perform(plan, |emulator, reports| async move {
        emulator.stop(&reports).await?;
        reports.enter(Stage::Start);
        emulator.start(&reports).await?;
        Ok(())
    })
    .await
}

/// Drops the session; the next start is from the clean snapshot.
#[tauri::command]
#[specta::specta]
pub(crate) async fn reset(desk: State<'_, Arc<Desk>>) -> Answer {
    let plan = Plan::of(Task::Reset, Stage::Reset);
    desk.perform(plan, |emulator, reports| async move {
        emulator.reset(&reports).await?;
        Ok(())
    })
    .await
}

/// Boots the image once and takes a new snapshot.
#[tauri::command]
#[specta::specta]
pub(crate) async fn capture(desk: State<'_, Arc<Desk>>) -> Answer {
    let plan = Plan::of(Task::Capture, Stage::Capture);
    desk.perform(plan, |emulator, reports| async move {
        emulator.capture(&reports).await?;
        Ok(())
    })
    .await
}

/// Replaces the four secrets of the running emulator.
#[tauri::command]
#[specta::specta]
pub(crate) async fn rotate_secrets(desk: State<'_, Arc<Desk>>) -> Answer {
    let plan = Plan::of(Task::Rotate, Stage::Rotate);
    desk.perform(plan, |emulator, reports| async move {
        emulator.rotate(&reports).await?;
        Ok(())
    })
    .await
}

/// Cancels an activity of this app. What it leaves is cleaned up before this resolves.
#[tauri::command]
#[specta::specta]
pub(crate) async fn cancel(desk: State<'_, Arc<Desk>>, activity: u32) -> Answer {
    if desk.activities.cancel(activity) {
        desk.activities.ended(activity).await;
    }
    Ok(())
}

/// Forgets an activity that has ended, so that it is no longer shown.
#[tauri::command]
#[specta::specta]
pub(crate) async fn dismiss(desk: State<'_, Arc<Desk>>, activity: u32) -> Answer {
    desk.activities.dismiss(activity);
    Ok(())
}

/// The same start for the page, the tray and the launch.
pub(crate) async fn start_emulator(desk: &Arc<Desk>) -> Answer {
    let plan = Plan::of(Task::Start, Stage::Start);
    desk.perform(plan, |emulator, reports| async move {
        emulator.start(&reports).await?;
        // Whoever has an emulator that runs is not to be asked to go on with setting one up.
        emulator.finish_set_up()?;
        Ok(())
    })
    .await
}

/// The same stop for the tray and the end of the app: the session is kept.
pub(crate) async fn stop_emulator(desk: &Arc<Desk>) -> Answer {
    let plan = Plan::of(Task::Stop, Stage::Stop);
    desk.perform(plan, |emulator, reports| async move {
        emulator.stop(&reports).await?;
        Ok(())
    })
    .await
}
