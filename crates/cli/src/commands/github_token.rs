//! `settings github-token`: where the token for GitHub comes from, and the one
//! in the keychain.
//!
//! A token is read from standard input, and from a terminal without showing it.
//! It is never an argument, which other users could see.

use emulator::Error;
use emulator::secrets::SecretText;
use emulator::token::TokenSource;
use emulator::vault;
use serde::Serialize;

use super::{Context, hidden};
use crate::arguments::TokenArguments;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Detail, Render};

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

async fn read() -> Result<SecretText, Failure> {
    let line = hidden::line("GitHub token").await?;
    let line = line.ok_or(Failure::NoToken)?;
    SecretText::from_text(line.trim_end().to_owned()).ok_or(Failure::NoToken)
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
