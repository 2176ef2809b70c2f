//! Start, stop, reset, capture, verify, archive, restore, status: one engine call each, and its report.

use std::path::Path;

use emulator::State;

use super::{Context, ahead, confirm};
use crate::arguments::PortsArgument;
use crate::exit::Exit;
use crate::failure::{Destruction, Failure};
use crate::remedy::words;
use crate::render::env_files::stale;

pub(super) async fn start(
    context: &Context<'_>,
    ports: Option<PortsArgument>,
) -> Result<Exit, Failure> {
    let emulator = context.emulator.clone();
    let emulator = match ports {
        None => emulator,
        Some(PortsArgument::Auto) => emulator.taking_free_ports(),
    };
    let work = emulator.start(&context.progress);
    let report = context.guarded(Box::pin(work)).await?;
    ahead::begin_idle_watch(&emulator);
    let report = report.with_remedy(|remedy| words(&remedy));
    context.output.report(&report)?;
    Ok(Exit::Success)
}

pub(super) async fn stop(context: &Context<'_>) -> Result<Exit, Failure> {
    let worker = ahead::worker(context.emulator);
    let work = context.emulator.stop(worker.as_ref(), &context.progress);
    let report = context.guarded(Box::pin(work)).await?;
    context.output.report(&report)?;
    Ok(Exit::Success)
}

pub(super) async fn discard(context: &Context<'_>) -> Result<Exit, Failure> {
    drop_session(context, "stop --discard").await
}

async fn drop_session(context: &Context<'_>, command: &str) -> Result<Exit, Failure> {
    let worker = ahead::worker(context.emulator);
    let work = context
        .emulator
        .discard(command, worker.as_ref(), &context.progress);
    let report = context.guarded(Box::pin(work)).await?;
    context.output.report(&report)?;
    Ok(Exit::Success)
}

pub(super) async fn capture(context: &Context<'_>) -> Result<Exit, Failure> {
    let report = context
        .guarded(Box::pin(context.emulator.capture(&context.progress)))
        .await?;
    context.output.report(&report)?;
    Ok(Exit::Success)
}

pub(super) async fn verify(context: &Context<'_>) -> Result<Exit, Failure> {
    let report = context
        .guarded(Box::pin(context.emulator.verify(&context.progress)))
        .await?;
    context.output.report(&report)?;
    Ok(Exit::Success)
}

pub(super) async fn archive(context: &Context<'_>, to: &Path) -> Result<Exit, Failure> {
    let work = Box::pin(context.emulator.archive(to, &context.progress));
    let report = context.guarded(work).await?;
    context.output.report(&report)?;
    Ok(Exit::Success)
}

pub(super) async fn restore(context: &Context<'_>, from: &Path) -> Result<Exit, Failure> {
    let work = Box::pin(context.emulator.restore(from, &context.progress));
    let report = context.guarded(work).await?;
    context.output.report(&report)?;
    Ok(Exit::Success)
}

pub(super) async fn status(context: &Context<'_>) -> Result<Exit, Failure> {
    let status = context.emulator.status().await?;
    context.output.report(&status)?;
    Ok(match status.state {
        State::Running => Exit::Success,
        State::Stopped
        | State::Starting
        | State::Paused
        | State::Stopping
        | State::Capturing
        | State::Interrupted
        | State::Died => Exit::NotRunning,
    })
}

pub(super) async fn reset(context: &Context<'_>, yes: bool) -> Result<Exit, Failure> {
    if !yes {
        confirm_reset(context).await?;
    }
    drop_session(context, "reset").await
}

/// Asks, unless there is nothing to lose.
async fn confirm_reset(context: &Context<'_>) -> Result<(), Failure> {
    // Before anything else, so that a script without --yes fails the first
    // time and not the first time that there is a session.
    confirm::somebody_to_ask(Destruction::Reset)?;
    let status = context.emulator.status().await?;
    if status.state == State::Stopped && !status.session_kept {
        return Ok(());
    }
    let stops = if status.state == State::Stopped {
        ""
    } else {
        "stops the emulator and "
    };
    let files = context
        .emulator
        .stale_env_files()
        .map_err(emulator::Error::from)?;
    let warning = format!(
        "this {stops}deletes all users, projects and data created since the snapshot.\n{}",
        stale(&files)
    );
    confirm::ask(context, Destruction::Reset, &warning).await
}
