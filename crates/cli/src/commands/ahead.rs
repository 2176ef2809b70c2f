//! What processes of their own do: the work ahead of the next start, begun by the commands that put the emulator away, and
//! the watch over an idle one, begun by those that start it.

use std::ffi::OsString;

use emulator::{Emulator, Worker};

use super::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::tell;
use crate::render::style::CAUTION;
use crate::render::text::{paint, printable};

/// Does the work. Standard output and error are a log then.
pub(super) async fn work(context: &Context<'_>) -> Result<Exit, Failure> {
    // Not guarded: a command that needs the instance kills this process and cleans up after it.
    let report = Box::pin(context.emulator.work_ahead(&context.progress)).await?;
    context.output.report(&report)?;
    Ok(Exit::Success)
}

/// Watches the machine, and stops it when nothing has used it for long enough.
pub(super) async fn watch_idle(context: &Context<'_>) -> Result<Exit, Failure> {
    let emulator = context.emulator;
    let worker = worker(emulator);
    let report = Box::pin(emulator.watch_idle(worker.as_ref(), &context.progress)).await?;
    context.output.report(&report)?;
    Ok(Exit::Success)
}

/// Has a process watch the machine of `emulator` that may have been started, if the setting says so.
pub(super) fn begin_idle_watch(emulator: &Emulator) {
    let watcher = this_program(emulator, "watch-idle");
    let begun = watcher.map_or(Ok(()), |watcher| emulator.begin_idle_watch(&watcher));
    if let Err(error) = begun {
        let why = printable(&emulator::chain(&error));
        let label = paint(CAUTION, "warning:");
        tell(&format!(
            "{label} the emulator is not stopped when idle: {why}\n"
        ));
    }
}

/// The process that works ahead for `emulator`.
pub(super) fn worker(emulator: &Emulator) -> Option<Worker> {
    this_program(emulator, "work-ahead")
}

/// This program with `command` for `emulator`.
fn this_program(emulator: &Emulator, command: &str) -> Option<Worker> {
    let mut arguments: Vec<OsString> = vec!["--instance".into(), emulator.name().as_str().into()];
    if let Some(image) = emulator.chosen_image() {
        arguments.extend(["--image".into(), image.into()]);
    }
    arguments.extend(["--verbose".into(), command.into()]);
    Worker::this_program(arguments)
}
