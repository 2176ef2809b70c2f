//! A question before something is deleted or installed.

use std::io::{self, BufRead as _, IsTerminal as _};

use tokio::sync::oneshot;

use super::Context;
use crate::failure::{Destruction, Failure};
use crate::output::tell;
use crate::render::style::{CAUTION, STRONG};
use crate::render::text::paint;

/// Whether there is somebody who sees a question and can answer it.
pub(super) fn is_terminal() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Refuses where nobody can answer.
pub(super) fn somebody_to_ask(what: Destruction) -> Result<(), Failure> {
    if is_terminal() {
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
    let question = format!(
        "{} {warning}\n{} ",
        paint(CAUTION, what.heading()),
        paint(STRONG, "Continue? [y/N]")
    );
    if is_agreed(context, &question).await? {
        Ok(())
    } else {
        Err(Failure::Declined(what))
    }
}

/// Shows `question` and waits for a line; an end of the input is no yes.
pub(super) async fn is_agreed(context: &Context<'_>, question: &str) -> Result<bool, Failure> {
    tell(question);
    // A thread of its own, not one of the runtime's: it stays blocked if the
    // user presses Ctrl-C in place of an answer.
    let (send, answer) = oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line);
        drop(send.send(read.map(|_| line)));
    });
    let answer = async {
        let no_answer = |_| io::ErrorKind::UnexpectedEof.into();
        let line = answer.await.map_err(no_answer).and_then(|line| line);
        line.map_err(Failure::Ask)
    };
    Ok(is_yes(&context.abandonable(answer).await?))
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
