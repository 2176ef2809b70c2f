//! Looking at what there is, whenever something says that it may have changed.
//!
//! The kernel says so of files and processes, the app itself at the end of what it has done. A service inside
//! the guest that falls ill changes no file here; while somebody looks at the window, the services are asked
//! now and then, and while nobody does, nothing is done at intervals.

use std::sync::Arc;
use std::time::Duration;

use emulator::Emulator;
use emulator::changes::Changed;

use crate::commands::settings;
use crate::desk::Desk;
use crate::live::Live;
use crate::wire::activity::Task;
use crate::wire::failure::Failure;
use crate::wire::images::{InstalledImages, status_image};
use crate::wire::projects::Project;
use crate::wire::status::Status;

/// How often services are asked while the window is shown.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// How long to wait before watching anew, where the system has refused to.
const WATCH_AGAIN: Duration = Duration::from_secs(30);

/// Keeps what is shown true, for as long as the app runs.
pub(crate) async fn keep_looking(desk: Arc<Desk>) {
    // Why the last look at a part failed. There is one place to show it: the status.
    let mut images = None;
    let mut projects = None;
    let mut settings = None;
    loop {
        let stale = desk.stale().await;
        if stale.settings {
            desk.heed_preferences();
        }
        let emulator = desk.emulator();
        if stale.images {
            images = look_at_images(&desk, &emulator).err();
        }
        if stale.projects {
            projects = look_at_projects(&desk, &emulator).err();
        }
        if stale.status || stale.images {
            look_at_status(&desk, &emulator).await;
        }
        if stale.settings {
            let failure = look_at_settings(&desk).await.err();
            if settings.is_some() && failure.is_none() {
                // What could not be looked at for want of them can be now.
                desk.invalidate(Changed::EVERYTHING);
            }
            settings = failure;
        } else if stale.status {
            look_for_restart(&desk, &emulator);
        }
        let failures = [&images, &projects, &settings];
        if let Some(failure) = failures.into_iter().flatten().next() {
            show_failure(&desk, failure);
        }
    }
}

fn look_at_images(desk: &Desk, emulator: &Emulator) -> Result<(), Failure> {
    let mut images = InstalledImages::look(emulator)?;
    if desk.activities.running() == Some(Task::SetUp) {
        // It is under way, whatever part of it is over.
        images.unfinished.retain(|pull| !pull.set_up);
    }
    Live::publish(&desk.live.images, images);
    Ok(())
}

fn look_at_projects(desk: &Desk, emulator: &Emulator) -> Result<(), Failure> {
    Live::publish(&desk.live.projects, Project::look(emulator)?);
    Ok(())
}

fn show_failure(desk: &Desk, failure: &Failure) {
    desk.live.status.send_if_modified(|shown| match shown {
        Some(status) if status.failure.is_none() => {
            status.failure = Some(failure.clone());
            true
        }
        Some(_) | None => false,
    });
}

/// Hears of what other processes change.
pub(crate) async fn heed_changes(desk: Arc<Desk>) {
    loop {
        if let Err(error) = hear(&desk).await {
            let failure = Failure::from(error);
            tracing::warn!(
                message = failure.message,
                "changes by other programs are not seen"
            );
        }
        tokio::time::sleep(WATCH_AGAIN).await;
        desk.invalidate(Changed::EVERYTHING);
    }
}

async fn hear(desk: &Desk) -> Result<(), emulator::Error> {
    let mut changes = desk.emulator().changes()?;
    loop {
        desk.invalidate(changes.next().await?);
    }
}

/// Asks the services now and then while the window is shown.
pub(crate) async fn ask_while_shown(desk: Arc<Desk>) {
    let mut shown = desk.shown.subscribe();
    // The sender is the desk's own, which this task keeps.
    while shown.wait_for(|shown| *shown).await.is_ok() {
        tokio::time::sleep(ASK_EVERY).await;
        desk.invalidate(Changed::STATUS);
    }
}

async fn look_at_settings(desk: &Desk) -> Result<(), Failure> {
    let settings = settings::look(desk).await.inspect_err(|failure| {
        tracing::warn!(
            message = failure.message,
            "the settings could not be looked at"
        );
    })?;
    Live::publish(&desk.live.settings, settings);
    Ok(())
}

/// Whether settings wait for the next start depends on the machine that runs; no more of them does.
fn look_for_restart(desk: &Desk, emulator: &Emulator) {
    let Ok(needed) = emulator.runs_by_other_settings() else {
        // The look at the status tells of a record that cannot be read.
        return;
    };
    desk.live.settings.send_if_modified(|shown| match shown {
        Some(settings) if settings.restart_needed != needed => {
            settings.restart_needed = needed;
            true
        }
        Some(_) | None => false,
    });
}

async fn look_at_status(desk: &Desk, emulator: &Emulator) {
    // At once what files tell; the services may take seconds to be asked.
    if let Ok(glance) = emulator.glance() {
        desk.live.status.send_if_modified(|shown| {
            let Some(status) = shown else {
                return false;
            };
            let before = (status.state, status.busy.clone(), status.start.clone());
            status.glanced(glance);
            before != (status.state, status.busy.clone(), status.start.clone())
        });
    }
    match emulator.status().await {
        Ok(status) => {
            let image = status_image(emulator, status.image.as_deref());
            Live::publish(&desk.live.status, Status::new(status, image));
        }
        Err(error) => {
            let failure = Failure::from(error);
            desk.live.status.send_modify(|shown| {
                let mut status = shown
                    .take()
                    .unwrap_or_else(|| Status::unknown(emulator.name().as_str()));
                status.failure = Some(failure);
                *shown = Some(status);
            });
        }
    }
}
