//! The notice that there is a newer release: for people at a terminal, after commands that take some time anyway.
//!
//! The question is asked beside the command. The one command a day that asks has printed its report by the time that it waits for
//! the answer, and not for long; what it does not get, a later one asks for.

use std::io::IsTerminal as _;
use std::time::Duration;

use emulator::Emulator;
use emulator::updates::{Lookout, ProgramRelease};
use tokio::task::JoinHandle;

use crate::arguments::Operation;
use crate::output::{Format, Output, tell};
use crate::render::style::FAINT;
use crate::render::text::{paint, printable};

/// The version of this program.
const OWN: &str = env!("CARGO_PKG_VERSION");

/// How long an answer is waited for once the command is done: less than what one notices.
const PATIENCE: Duration = Duration::from_millis(300);

/// What asks and tells.
#[derive(Debug)]
pub(super) struct News(Lookout);

impl News {
    /// What asks and tells beside `operation`, if somebody is there who wants to know.
    pub(super) fn wanted(
        emulator: &Emulator,
        operation: &Operation,
        output: Output,
    ) -> Option<Self> {
        let at_terminal = output.format == Format::Human && std::io::stderr().is_terminal();
        if !at_terminal || !takes_some_time(operation) {
            return None;
        }
        emulator.lookout().map(Self)
    }

    /// Begins to ask, if nobody has today.
    pub(super) fn ask(&self) -> JoinHandle<()> {
        tokio::spawn(self.0.clone().ask())
    }

    /// Gives the answer a moment more, where there was a question.
    pub(super) async fn wait(question: JoinHandle<()>) {
        // Too late, or failed: either way there is nothing to tell.
        drop(tokio::time::timeout(PATIENCE, question).await);
    }

    /// Tells of what is known by now.
    pub(super) fn tell(&self) {
        if let Some(release) = self.0.to_tell(OWN) {
            tell(&text(&release));
        }
    }
}

fn text(ProgramRelease { version, url }: &ProgramRelease) -> String {
    let (version, url) = (printable(version), printable(url));
    let how = "`stack-emulator settings set updates off` turns this notice off.";
    format!(
        "\nStack Emulator {version} is available; this is {OWN}. See {url}\n{}\n",
        paint(FAINT, how)
    )
}

/// Whether an answer may come while it is at work. `run` is not among them: the terminal is its program's.
const fn takes_some_time(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::Start { .. }
            | Operation::Capture
            | Operation::Pull(_)
            | Operation::Releases { .. }
            | Operation::Doctor { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::text::plain;

    #[test]
    fn the_notice_says_what_to_do() {
        let release = ProgramRelease {
            version: "9.0.0".into(),
            url: "https://host.example/v9.0.0".into(),
        };
        let text = plain(&text(&release));
        assert!(text.contains("Stack Emulator 9.0.0 is available"), "{text}");
        assert!(text.contains(&release.url) && text.contains("settings set updates off"));
    }
}
