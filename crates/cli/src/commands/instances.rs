//! `instances`: all instances of the home, side by side.

use super::Context;
use crate::exit::Exit;
use crate::failure::Failure;

pub(super) async fn list(context: &Context<'_>) -> Result<Exit, Failure> {
    let list = context.emulator.instances().await?;
    context.output.report(&list)?;
    Ok(Exit::Success)
}
