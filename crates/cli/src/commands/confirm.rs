//! A question before something is deleted.

use std::io::{self, BufRead as _, IsTerminal as _};

use tokio::sync::oneshot;

use super::Context;
use crate::failure::{Destruction, Failure};
use crate::output::tell;
use crate::render::style::{CAUTION, STRONG};
use crate::render::text::paint;

/// Refuses where nobody can answer.
pub(super) fn somebody_to_ask(what: Destruction) -> Result<(), Failure> {
    if io::stdin().is_terminal() && io::stderr().is_terminal() {
        Ok(())
    } else {
        Err(Failure::NobodyToAsk(what))
    }
}

/// Says what will be lost, and takes only a yes for a yes.
pub(super) async fn ask(
    context: &Context<'_>,
    what: Destruction,
    warning: &str,
) -> Result<(), Failure> {
    tell(&format!(
        "{} {warning}\n{} ",
        paint(CAUTION, what.heading()),
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
            .map_err(|_| Failure::Declined(what))?
            .map_err(Failure::Ask)
    };
    let answer = context.abandonable(answer).await?;
    if is_yes(&answer) {
        Ok(())
    } else {
        Err(Failure::Declined(what))
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
