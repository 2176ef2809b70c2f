//! Processes by `ps`, for systems without pidfd.
//!
//! macOS offers process events by kqueue, but only through calls this crate would have to mark
//! `unsafe`; waiting for a process to end therefore asks again at growing intervals.

use std::io;
use std::process::Command;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use super::{IdentityError, ProcessIdentity};

const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

fn ps(args: &[&str]) -> io::Result<String> {
    // Its start times follow the locale and the time zone.
    let output = Command::new("/bin/ps")
        .args(args)
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A number that stands for the start time; `None` if there is no such process, or only its
/// remains.
pub(super) fn start_of(pid: u32) -> io::Result<Option<u64>> {
    let text = ps(&["-o", "stat=", "-o", "lstart=", "-p", &pid.to_string()])?;
    let Some((state, start)) = text.trim().split_once(' ') else {
        return Ok(None);
    };
    if state.starts_with('Z') {
        return Ok(None);
    }
    // FNV-1a: the text has no order that anyone needs, it only has to be told from another.
    let digest = start
        .trim()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    Ok(Some(digest))
}

/// Processes that have an argument ending with `mark`.
pub(super) fn with_argument_ending(mark: &str) -> io::Result<Vec<u32>> {
    let text = ps(&["-A", "-ww", "-o", "pid=", "-o", "command="])?;
    let found = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let pid = words.next()?.parse().ok()?;
        words.any(|word| word.ends_with(mark)).then_some(pid)
    });
    Ok(found.collect())
}

/// A process that was there when looked at.
pub(super) struct Process {
    identity: ProcessIdentity,
    pid: Pid,
}

impl Process {
    /// `None` if the process has ended.
    pub(super) fn open(identity: &ProcessIdentity) -> Result<Option<Self>, IdentityError> {
        let Some(pid) = i32::try_from(identity.pid).ok().and_then(Pid::from_raw) else {
            return Ok(None);
        };
        Ok(identity.is_alive()?.then(|| Self {
            identity: identity.clone(),
            pid,
        }))
    }

    pub(super) fn kill(&self) -> Result<(), IdentityError> {
        match kill_process(self.pid, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(IdentityError::Signal {
                pid: self.identity.pid,
                source: errno.into(),
            }),
        }
    }

    pub(super) async fn wait(self, limit: Duration) -> Result<(), IdentityError> {
        let deadline = Instant::now() + limit;
        let mut pause = FIRST_PAUSE;
        while self.identity.is_alive()? {
            if Instant::now() >= deadline {
                let pid = self.identity.pid;
                return Err(IdentityError::StillThere { pid, limit });
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Ok(())
    }
}
