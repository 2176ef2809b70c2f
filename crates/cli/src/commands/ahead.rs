//! Work done ahead of the next start: begun by the commands that put the emulator away, and done by a process of its own.

use std::ffi::OsString;

use emulator::{Emulator, Worker};

use super::Context;
use crate::exit::Exit;
use crate::failure::Failure;

/// Does the work. Standard output and error are a log then.
pub(super) async fn work(context: &Context<'_>) -> Result<Exit, Failure> {
    // Not guarded: a command that needs the instance kills this process and cleans up after it.
    let report = Box::pin(context.emulator.work_ahead(&context.progress)).await?;
    context.output.report(&report)?;
    Ok(Exit::Success)
}

/// The process that works ahead for `emulator`.
pub(super) fn worker(emulator: &Emulator) -> Option<Worker> {
    let mut arguments: Vec<OsString> = vec!["--instance".into(), emulator.name().as_str().into()];
    if let Some(image) = emulator.chosen_image() {
        arguments.extend(["--image".into(), image.into()]);
    }
    arguments.extend(["--verbose".into(), "work-ahead".into()]);
    Worker::this_program(arguments)
}
