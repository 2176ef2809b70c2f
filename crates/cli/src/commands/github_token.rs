//! `settings github-token`: where the token for GitHub comes from, and the one
//! in the keychain.
//!
//! A token is read from standard input, and from a terminal without showing it.
//! It is never an argument, which other users could see.

use std::io::{self, BufRead as _, IsTerminal as _};

use emulator::Error;
use emulator::secrets::SecretText;
use emulator::token::TokenSource;
use emulator::vault;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use serde::Serialize;
use tokio::sync::oneshot;

use super::Context;
use crate::arguments::TokenArguments;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Detail, Render, tell};

/// What `settings github-token` reports: never the token.
#[derive(Debug, Serialize)]
struct TokenReport {
    source: TokenSource,
}

pub(super) async fn run(context: &Context<'_>, request: TokenArguments) -> Result<Exit, Failure> {
    let work = Box::pin(async {
        match request {
            TokenArguments::Show => {}
            TokenArguments::Set => {
                let token = read().await?;
                vault::save_github_token(token).await.map_err(Error::from)?;
            }
            TokenArguments::Forget => vault::forget_github_token().await.map_err(Error::from)?,
        }
        Ok(context.emulator.github_token_source().await?)
    });
    let source = context.abandonable(work).await?;
    context.output.report(&TokenReport { source })?;
    Ok(Exit::Success)
}

/// The first line of standard input.
async fn read() -> Result<SecretText, Failure> {
    let unseen = if io::stdin().is_terminal() {
        tell("GitHub token (hidden): ");
        Some(Unseen::begin().map_err(Failure::Ask)?)
    } else {
        None
    };
    // A thread of its own, not one of the runtime's: it stays blocked if the
    // user presses Ctrl-C.
    let (send, line) = oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line);
        drop(send.send(read.map(|_| line)));
    });
    let line = line.await;
    if unseen.is_some() {
        tell("\n");
    }
    drop(unseen);
    let mut line = line.map_err(|_| Failure::NoToken)?.map_err(Failure::Ask)?;
    line.truncate(line.trim_end().len());
    SecretText::from_text(line).ok_or(Failure::NoToken)
}

/// What is typed at the terminal is not shown until this is dropped.
struct Unseen(Termios);

impl Unseen {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        // A terminal that is gone needs no mending.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

impl Render for TokenReport {
    fn render(&self, _: Detail) -> String {
        match self.source {
            TokenSource::Environment => "The GitHub token comes from the variable GITHUB_TOKEN.\n",
            TokenSource::Keychain => "The GitHub token comes from your keychain.\n",
            TokenSource::Gh => "The GitHub token comes from `gh`.\n",
            TokenSource::None => {
                "There is no GitHub token. Releases need none; builds of pull requests and workflow runs do.\n\
                 Save one with `stack-emulator settings github-token set`.\n"
            }
        }
        .to_owned()
    }
}
