//! A command that is under way, with a watchdog: none may hang.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::{Run, processes};

/// Between two looks at a process that sends nobody an event of its end but us.
const LOOK_AGAIN: Duration = Duration::from_millis(3);
/// How long after a command's end somebody else may hold its output open.
const LET_GO: Duration = Duration::from_secs(5);

/// Why a command did not end.
#[derive(Debug)]
pub(super) struct Hang(pub(super) String);

/// A command under way.
pub(super) struct Going {
    child: Child,
    lines: Receiver<String>,
    said: String,
    out: JoinHandle<String>,
    begun: Instant,
}

impl Going {
    /// Starts it.
    pub(super) fn begin(command: &mut Command) -> Self {
        let begun = Instant::now();
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A signal for the campaign's group is not for it, nor the other way round.
            .process_group(0)
            .spawn()
            .expect("the program runs");
        let (send, lines) = channel();
        let stderr = child.stderr.take().expect("it is piped");
        std::thread::spawn(move || {
            let mut said = BufReader::new(stderr);
            let mut line = Vec::new();
            while said.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                if send
                    .send(String::from_utf8_lossy(&line).into_owned())
                    .is_err()
                {
                    return;
                }
                line.clear();
            }
        });
        let mut stdout = child.stdout.take().expect("it is piped");
        let out = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            // What there was until then counts.
            stdout.read_to_end(&mut bytes).ok();
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Self {
            child,
            lines,
            said: String::new(),
            out,
            begun,
        }
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it says `moment`, has ended, or `limit` is over; whether it said so.
    pub(super) fn reaches(&mut self, moment: &str, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.said.push_str(&line);
                    if line.contains(moment) {
                        return true;
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    /// Waits until `after` has passed since it began, or it has ended; whether it still works.
    pub(super) fn lasts(&mut self, after: Duration) -> bool {
        loop {
            if self.has_ended() {
                return false;
            }
            let left = after.saturating_sub(self.begun.elapsed());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(LOOK_AGAIN));
        }
    }

    fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Kills it.
    pub(super) fn kill(&mut self) {
        self.child.kill().ok();
    }

    /// Waits for its end, for at most `limit`.
    pub(super) fn end(mut self, limit: Duration) -> Result<Run, Hang> {
        let until = Instant::now() + limit;
        while !self.has_ended() {
            if Instant::now() >= until {
                let seen = processes::dossier(self.child.id());
                self.child.kill().ok();
                self.child.wait().ok();
                self.said.extend(self.lines.try_iter());
                return Err(Hang(format!(
                    "it did not end within {} s\n{seen}\nits standard error so far:\n{}",
                    limit.as_secs(),
                    self.said
                )));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        let took = self.begun.elapsed();
        let status = self.child.wait().expect("it has ended");
        let until = Instant::now() + LET_GO;
        while !self.out.is_finished() && Instant::now() < until {
            std::thread::sleep(LOOK_AGAIN);
        }
        if !self.out.is_finished() {
            return Err(Hang("another process keeps its standard output".to_owned()));
        }
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.said.push_str(&line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    return Err(Hang("another process keeps its standard error".to_owned()));
                }
            }
        }
        Ok(Run {
            code: status.code(),
            stdout: self.out.join().expect("it only reads"),
            stderr: self.said,
            took,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Going {
        Going::begin(Command::new("sh").args(["-c", script]))
    }

    const SOON: Duration = Duration::from_secs(30);

    #[test]
    fn a_command_is_met_at_its_moments_and_at_its_end() {
        let mut going = sh("echo out; echo one >&2; echo two >&2");
        assert!(going.reaches("one", SOON));
        let run = going.end(SOON).expect("it ends");
        assert_eq!((&*run.stdout, &*run.stderr), ("out\n", "one\ntwo\n"));
        assert!(!sh("echo no >&2").reaches("yes", SOON));
        assert!(sh("echo yes >&2; sleep 60").reaches("yes", SOON));
    }

    #[test]
    fn one_that_hangs_is_ended_with_what_it_was_at() {
        let hang = sh("echo here >&2; exec sleep 600").end(Duration::from_millis(300));
        let Hang(said) = hang.expect_err("it does not end");
        assert!(said.contains("sleep") && said.contains("here"), "{said}");
    }

    #[test]
    fn the_dead_do_not_last() {
        let mut going = sh("exit 3");
        assert!(!going.lasts(SOON));
        assert_eq!(going.end(SOON).expect("it ended").code, Some(3));
    }
}
