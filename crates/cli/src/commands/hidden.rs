//! A secret from standard input: typed at a terminal without being shown, or piped.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::oneshot;

use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::output::tell;

/// Longest line taken, in bytes.
const LONGEST: u64 = 4096;

/// The first line of standard input, without its end; `None` if it is empty. A terminal is asked for `what`.
pub(super) async fn line(what: &str) -> Result<Option<Zeroizing<String>>, Failure> {
    let unseen = if io::stdin().is_terminal() {
        tell(&format!("{what} (hidden): "));
        Some(Unseen::begin().map_err(Failure::Ask)?)
    } else {
        None
    };
    // A thread of its own, not one of the runtime's: it stays blocked if the user presses Ctrl-C.
    let (send, line) = oneshot::channel();
    std::thread::spawn(move || {
        let mut line = Zeroizing::new(String::new());
        let read = io::stdin().lock().take(LONGEST).read_line(&mut line);
        drop(send.send(read.map(|_| line)));
    });
    let line = line.await;
    if unseen.is_some() {
        tell("\n");
    }
    drop(unseen);
    // The thread ended without a word: as if nothing had been there.
    let Ok(line) = line else { return Ok(None) };
    let mut line = line.map_err(Failure::Ask)?;
    let length = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(length);
    Ok((length > 0).then_some(line))
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
