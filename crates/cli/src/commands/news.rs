//! The notice that there is a newer release: for people at a terminal, after commands that take some time anyway.
//!
//! The question is asked beside the command and never waited for. An answer that comes too late is kept for the next one.

use std::io::IsTerminal as _;

use emulator::Emulator;
use emulator::updates::{Lookout, ProgramRelease};

use crate::arguments::Operation;
use crate::output::{Format, Output, tell};
use crate::render::style::FAINT;
use crate::render::text::{paint, printable};

/// The version of this program.
const OWN: &str = env!("CARGO_PKG_VERSION");
/// The repository that this program was released in; `cargo xtask release` says it.
const RELEASED_IN: Option<&str> = option_env!("STACK_EMULATOR_REPOSITORY");

/// What asks and tells.
#[derive(Clone, Debug)]
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
        emulator.lookout(RELEASED_IN).map(Self)
    }

    /// Asks, if nobody has today.
    pub(super) async fn ask(self) {
        self.0.ask().await;
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
        Operation::Start
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
