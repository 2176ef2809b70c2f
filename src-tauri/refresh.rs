//! Keeps what is published current: a part is read again whenever something says that it may have changed.
//!
//! The kernel says so of files and processes, the app itself at the end of what it has done. A service inside
//! the guest that falls ill changes no file here; while somebody looks at the window, the services are asked
//! now and then, and while nobody does, nothing is done at intervals.

use std::sync::Arc;
use std::time::Duration;

use emulator::Emulator;
use emulator::changes::Changed;

use crate::app_state::AppState;
use crate::published::Published;
use crate::settings;
use crate::wire::activity::Task;
use crate::wire::failure::Failure;
use crate::wire::images::{InstalledImages, image_in_use};
use crate::wire::others::Other;
use crate::wire::projects::Project;
use crate::wire::status::ShownStatus;

/// How often services are asked while the window is shown.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// How long to wait before watching anew, where the system has refused to.
const WATCH_AGAIN: Duration = Duration::from_secs(30);

/// Keeps what is shown current, for as long as the app runs.
pub(crate) async fn keep_current(state: Arc<AppState>) {
    // Why the last refresh of a part failed. There is one place to show it: the status.
    let mut images = None;
    let mut projects = None;
    let mut settings = None;
    loop {
        let stale = state.stale().await;
        if stale.settings {
            state.reload_preferences();
        }
        let emulator = state.emulator();
        if stale.images {
            images = refresh_images(&state, &emulator).err();
        }
        if stale.projects {
            projects = refresh_projects(&state, &emulator).err();
        }
        if stale.instances {
            refresh_others(&state, &emulator);
        }
        if stale.status || stale.images {
            refresh_status(&state, &emulator).await;
        }
        if stale.settings {
            let failure = refresh_settings(&state).await.err();
            if settings.is_some() && failure.is_none() {
                // What could not be read without them can be now.
                state.invalidate(Changed::EVERYTHING);
            }
            settings = failure;
        } else if stale.status {
            refresh_restart_needed(&state, &emulator);
        }
        let failures = [&images, &projects, &settings];
        if let Some(failure) = failures.into_iter().flatten().next() {
            show_failure(&state, failure);
        }
    }
}

fn refresh_images(state: &AppState, emulator: &Emulator) -> Result<(), Failure> {
    let mut images = InstalledImages::read(emulator)?;
    if state.activities.running() == Some(Task::SetUp) {
        // It is under way, whatever part of it is over.
        images.unfinished.retain(|pull| !pull.set_up);
    }
    Published::publish(&state.published.images, images);
    Ok(())
}

fn refresh_projects(state: &AppState, emulator: &Emulator) -> Result<(), Failure> {
    Published::publish(&state.published.projects, Project::list(emulator)?);
    Ok(())
}

/// What cannot be listed is not shown: the tray has no other place for it.
fn refresh_others(state: &AppState, emulator: &Emulator) {
    match Other::list(emulator) {
        Ok(list) => Published::publish(&state.published.others, list),
        Err(failure) => {
            tracing::warn!(message = failure.message, "the instances cannot be listed");
        }
    }
}

fn show_failure(state: &AppState, failure: &Failure) {
    state
        .published
        .status
        .send_if_modified(|shown| match shown {
            Some(status) if status.failure.is_none() => {
                status.failure = Some(failure.clone());
                true
            }
            Some(_) | None => false,
        });
}

/// Watches for what other processes change.
pub(crate) async fn watch_changes(state: Arc<AppState>) {
    loop {
        if let Err(error) = next_changes(&state).await {
            let failure = Failure::from(error);
            tracing::warn!(
                message = failure.message,
                "changes by other programs are not seen"
            );
        }
        tokio::time::sleep(WATCH_AGAIN).await;
        state.invalidate(Changed::EVERYTHING);
    }
}

async fn next_changes(state: &AppState) -> Result<(), emulator::Error> {
    let mut changes = state.emulator().changes()?;
    loop {
        state.invalidate(changes.next().await?);
    }
}

/// Asks the services now and then while the window is shown.
pub(crate) async fn poll_while_shown(state: Arc<AppState>) {
    let mut shown = state.shown.subscribe();
    // The sender belongs to the app's state, which this task keeps.
    while shown.wait_for(|shown| *shown).await.is_ok() {
        tokio::time::sleep(ASK_EVERY).await;
        state.invalidate(Changed::STATUS);
    }
}

async fn refresh_settings(state: &AppState) -> Result<(), Failure> {
    let settings = settings::in_force(state).await.inspect_err(|failure| {
        tracing::warn!(message = failure.message, "the settings could not be read");
    })?;
    Published::publish(&state.published.settings, settings);
    Ok(())
}

/// Whether settings wait for the next start depends on the machine that runs; no more of them does.
fn refresh_restart_needed(state: &AppState, emulator: &Emulator) {
    let Ok(needed) = emulator.runs_by_other_settings() else {
        // Refreshing the status tells of a record that cannot be read.
        return;
    };
    state
        .published
        .settings
        .send_if_modified(|shown| match shown {
            Some(settings) if settings.restart_needed != needed => {
                settings.restart_needed = needed;
                true
            }
            Some(_) | None => false,
        });
}

async fn refresh_status(state: &AppState, emulator: &Emulator) {
    // At once what files tell; the services may take seconds to be asked.
    if let Ok(glance) = emulator.glance() {
        state.published.status.send_if_modified(|shown| {
            let Some(status) = shown else {
                return false;
            };
            status.glanced(glance)
        });
    }
    match emulator.status().await {
        Ok(status) => {
            let image = image_in_use(emulator, status.image.as_deref());
            Published::publish(&state.published.status, ShownStatus::new(status, image));
        }
        Err(error) => {
            let failure = Failure::from(error);
            state.published.status.send_modify(|shown| {
                let mut status = shown
                    .take()
                    .unwrap_or_else(|| ShownStatus::unknown(emulator.name().as_str()));
                status.failure = Some(failure);
                *shown = Some(status);
            });
        }
    }
}
