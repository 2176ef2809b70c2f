//! `logs`: the last lines of a log, and what is added to it.

use emulator::logs::{LogError, LogReader, LogSource};

use super::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Audience, print};

pub(super) async fn show(
    context: &Context<'_>,
    source: LogSource,
    follow: bool,
    lines: usize,
) -> Result<Exit, Failure> {
    let path = context.emulator.log_path(source);
    if !follow {
        let mut log = LogReader::at_tail(&path, lines).map_err(emulator::Error::from)?;
        while let Some(block) = log.read().map_err(emulator::Error::from)? {
            if print(&block.text)? == Audience::Gone {
                break;
            }
        }
        return Ok(Exit::Success);
    }
    // An instance that was never started has no log to wait for.
    if !path.parent().is_some_and(std::path::Path::is_dir) {
        return Err(emulator::Error::from(LogError::Missing { path }).into());
    }
    let mut log = context
        .emulator
        .follow_log(source, lines)
        .map_err(emulator::Error::from)?;
    loop {
        let block = log.next().await.map_err(emulator::Error::from)?;
        if print(&block.text)? == Audience::Gone {
            return Ok(Exit::Success);
        }
    }
}
