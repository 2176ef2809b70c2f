//! Start, stop, reset, capture, verify, archive, restore, status: one engine call each, and its report.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::Path;

use emulator::State;
use tokio::sync::oneshot;

use super::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::tell;
use crate::remedy::words;
use crate::render::style::{CAUTION, STRONG};
use crate::render::text::paint;

pub(super) async fn start(context: &Context<'_>) -> Result<Exit, Failure> {
    let report = context
        .guarded(Box::pin(context.emulator.start(&context.progress)))
        .await?;
    let report = report.with_remedy(|remedy| words(&remedy));
    context.output.report(&report)?;
    Ok(Exit::Success)
}

pub(super) async fn stop(context: &Context<'_>) -> Result<Exit, Failure> {
    let report = context
        .guarded(Box::pin(context.emulator.stop(&context.progress)))
        .await?;
    context.output.report(&report)?;
    Ok(Exit::Success)
}

pub(super) async fn discard(context: &Context<'_>) -> Result<Exit, Failure> {
    let report = context
        .guarded(Box::pin(
            context
                .emulator
                .discard("stop --discard", &context.progress),
        ))
        .await?;
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
    let report = context
        .guarded(Box::pin(
            context.emulator.discard("reset", &context.progress),
        ))
        .await?;
    context.output.report(&report)?;
    Ok(Exit::Success)
}

/// Asks, unless there is nothing to lose.
async fn confirm_reset(context: &Context<'_>) -> Result<(), Failure> {
    // Before anything else, so that a script without --yes fails the first
    // time and not the first time that there is a session.
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::NobodyToAsk);
    }
    let status = context.emulator.status().await?;
    if status.state == State::Stopped && !status.session_kept {
        return Ok(());
    }
    let stops = if status.state == State::Stopped {
        ""
    } else {
        "stops the emulator and "
    };
    tell(&format!(
        "{} this {stops}deletes all users, projects and data created since the snapshot.\n\
         Credentials already in .env files stop working; write them again after the next start.\n{} ",
        paint(CAUTION, "Reset:"),
        paint(STRONG, "Continue? [y/N]")
    ));
    // A thread of its own, not one of the runtime's: it stays blocked if the
    // user presses Ctrl-C in place of an answer.
    let (send, answer) = oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line);
        drop(send.send(read.map(|_| line)));
    });
    let answer = async {
        answer
            .await
            .map_err(|_| Failure::Declined)?
            .map_err(Failure::Ask)
    };
    let answer = context.abandonable(answer).await?;
    if is_yes(&answer) {
        Ok(())
    } else {
        Err(Failure::Declined)
    }
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::is_yes;

    #[test]
    fn only_a_yes_is_a_yes() {
        assert!(is_yes("y\n") && is_yes("YES\n") && is_yes(" yes \r\n"));
        for no in ["", "\n", "n\n", "yeah\n", "ja\n", "yy\n"] {
            assert!(!is_yes(no), "{no:?}");
        }
    }
}
