//! Preparing the next start: begun by the commands that put the emulator away, and done by a process of its own.

use std::ffi::OsString;

use emulator::Worker;

use super::Context;
use crate::exit::Exit;
use crate::failure::Failure;

/// Prepares the next start. Standard output and error are a log then.
pub(super) async fn work(context: &Context<'_>) -> Result<Exit, Failure> {
    // Not guarded: a command that needs the instance kills this process and cleans up after it.
    let report = Box::pin(context.emulator.work_ahead(&context.progress)).await?;
    context.output.report(&report)?;
    Ok(Exit::Success)
}

/// Has the next start prepared, in the background. That it cannot is no failure of what was asked for: the next start
/// then does that work itself.
pub(super) fn begin(context: &Context<'_>) {
    let begun = std::env::current_exe().map(|program| {
        let mut arguments: Vec<OsString> =
            vec!["--instance".into(), context.emulator.name().as_str().into()];
        if let Some(image) = context.emulator.chosen_image() {
            arguments.extend(["--image".into(), image.into()]);
        }
        arguments.extend(["--verbose".into(), "work-ahead".into()]);
        context
            .emulator
            .begin_work_ahead(&Worker { program, arguments })
    });
    match begun {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::debug!(error = %emulator::chain(&error), "the next start is not prepared");
        }
        Err(error) => {
            tracing::debug!(%error, "the next start is not prepared");
        }
    }
}
