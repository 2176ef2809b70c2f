//! `checkpoint create`, `list`, `restore`, `delete`.

use std::io::{self, IsTerminal as _};

use emulator::State;
use emulator::paths::CheckpointName;

use super::{Context, ahead, confirm};
use crate::arguments::CheckpointArguments;
use crate::exit::Exit;
use crate::failure::{Destruction, Failure};
use crate::remedy::words;

pub(super) async fn run(
    context: &Context<'_>,
    command: CheckpointArguments,
) -> Result<Exit, Failure> {
    match command {
        CheckpointArguments::Create { name } => create(context, &name).await,
        CheckpointArguments::List => list(context).await,
        CheckpointArguments::Restore { name, yes } => restore(context, &name, yes).await,
        CheckpointArguments::Delete { name, yes } => delete(context, &name, yes).await,
    }
}

async fn create(context: &Context<'_>, name: &CheckpointName) -> Result<Exit, Failure> {
    let work = context.emulator.create_checkpoint(name, &context.progress);
    let report = context.guarded(Box::pin(work)).await?;
    context.output.report(&report)?;
    Ok(Exit::Success)
}

async fn list(context: &Context<'_>) -> Result<Exit, Failure> {
    let list = context.emulator.checkpoints().await?;
    context.output.report(&list)?;
    Ok(Exit::Success)
}

async fn restore(context: &Context<'_>, name: &CheckpointName, yes: bool) -> Result<Exit, Failure> {
    context.emulator.check_checkpoint(name)?;
    // A test suite restores all the time, and nobody is there to ask.
    if !yes && io::stdin().is_terminal() && io::stderr().is_terminal() {
        confirm_restore(context, name).await?;
    }
    let work = context.emulator.restore_checkpoint(name, &context.progress);
    let report = context.guarded(Box::pin(work)).await?;
    ahead::begin_idle_watch(context.emulator);
    let report = report.with_remedy(|remedy| words(&remedy));
    context.output.report(&report)?;
    Ok(Exit::Success)
}

/// Asks, unless there is nothing to lose.
async fn confirm_restore(context: &Context<'_>, name: &CheckpointName) -> Result<(), Failure> {
    let status = context.emulator.status().await?;
    let lost = if status.state != State::Stopped {
        "this ends the running emulator without saving its session"
    } else if status.session_kept {
        "this replaces the saved session"
    } else {
        return Ok(());
    };
    let warning = format!(
        "{lost}: all users, projects and data that are not in the checkpoint {name} are deleted."
    );
    confirm::ask(context, Destruction::Restore, &warning).await
}

async fn delete(context: &Context<'_>, name: &CheckpointName, yes: bool) -> Result<Exit, Failure> {
    if !yes {
        // First, as before a reset.
        confirm::somebody_to_ask(Destruction::DeleteCheckpoint)?;
        context.emulator.check_checkpoint(name)?;
        let warning = format!("this deletes the checkpoint {name} with all data that only it has.");
        confirm::ask(context, Destruction::DeleteCheckpoint, &warning).await?;
    }
    let work = context.emulator.delete_checkpoint(name, &context.progress);
    let report = context.guarded(Box::pin(work)).await?;
    context.output.report(&report)?;
    Ok(Exit::Success)
}
