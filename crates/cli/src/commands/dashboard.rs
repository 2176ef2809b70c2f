//! `dashboard`: opens the dashboard in the browser, signed in.

use std::io;
use std::process::Stdio;

use emulator::dashboard::DashboardLink;
use serde::Serialize;

use super::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Detail, Render};
use crate::render::text::printable;

/// What it reports.
#[derive(Serialize)]
struct Opened {
    /// The address: a link that signs in once, if it was to be printed.
    url: String,
    /// Whether a browser shows it.
    opened: bool,
}

impl Render for Opened {
    fn render(&self, _: Detail) -> String {
        let url = printable(&self.url);
        if self.opened {
            format!("The dashboard is open in your browser: {url}\n")
        } else {
            format!("{url}\n")
        }
    }
}

pub(super) async fn open(context: &Context<'_>, print: bool) -> Result<Exit, Failure> {
    let link = context.emulator.dashboard_link(&context.progress);
    let link = context.guarded(Box::pin(link)).await?;
    let report = if print {
        // Standard output, at the user's explicit request, and nowhere else.
        Opened {
            url: link.expose().to_string(),
            opened: false,
        }
    } else {
        let url = link.base().to_owned();
        context.abandonable(Box::pin(show(link))).await?;
        Opened { url, opened: true }
    };
    context.output.report(&report)?;
    Ok(Exit::Success)
}

/// Has a browser show the dashboard, and waits until it got there.
async fn show(link: DashboardLink) -> Result<(), Failure> {
    if !link.signs_in() {
        return open::that_detached(link.base()).map_err(Failure::NoBrowser);
    }
    let doorway = link.doorway().await.map_err(Failure::Browser)?;
    let opened = any_opens(openers(&doorway.address()));
    let led = doorway.lead();
    tokio::pin!(led);
    tokio::select! {
        led = &mut led => led.map_err(Failure::Browser),
        // The rest is the browser's, which the program has left it to.
        opened = opened => match opened {
            Ok(()) => led.await.map_err(Failure::Browser),
            Err(error) => Err(Failure::NoBrowser(error)),
        },
    }
}

/// The programs that may open an address on this system, one instead of the other.
fn openers(address: &str) -> Vec<tokio::process::Command> {
    let silent = |command: std::process::Command| {
        let mut command = tokio::process::Command::from(command);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    };
    open::commands(address).into_iter().map(silent).collect()
}

/// Tries one after the other, until one has opened the address.
async fn any_opens(openers: Vec<tokio::process::Command>) -> io::Result<()> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for mut opener in openers {
        match opener.status().await {
            Ok(status) if status.success() => return Ok(()),
            Ok(status) => last = io::Error::other(format!("it ended with {status}")),
            // One that is there and refuses tells more than one that is not there.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(name: &str, argument: &str) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(name);
        command.arg(argument);
        command
    }

    #[tokio::test]
    async fn it_is_told_when_no_program_opens_an_address() {
        let missing = || program("/nonexistent/opener", "");
        let error = any_opens(vec![missing()]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let refuses = program("sh", "/nonexistent/script");
        let error = any_opens(vec![missing(), refuses, missing()])
            .await
            .unwrap_err();
        assert!(error.to_string().contains("exit status"), "{error}");
    }

    #[tokio::test]
    async fn the_first_that_opens_it_is_enough() {
        let openers = vec![
            program("/nonexistent/opener", ""),
            program("false", ""),
            program("true", ""),
            program("false", ""),
        ];
        any_opens(openers).await.unwrap();
    }

    #[test]
    fn a_link_is_a_line_by_itself_and_an_open_one_is_said() {
        let url = "http://127.0.0.1:26700".to_owned();
        let shown = |opened| {
            let url = url.clone();
            Opened { url, opened }.render(Detail::Brief)
        };
        assert_eq!(shown(false), format!("{url}\n"));
        assert!(shown(true).ends_with(&format!(": {url}\n")));
    }
}
