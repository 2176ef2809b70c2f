//! A process that was there when looked at.
//!
//! macOS offers process events by kqueue, but only through calls this crate would have to mark
//! `unsafe`; waiting for a process to end therefore asks again at growing intervals.

use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use crate::process::{IdentityError, ProcessIdentity, Stage};

const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// A process that was there when looked at.
pub(crate) struct Handle {
    identity: ProcessIdentity,
    pid: Pid,
}

impl Handle {
    /// `None` if nothing of the process is left.
    pub(crate) fn open(identity: &ProcessIdentity) -> Result<Option<Self>, IdentityError> {
        let Some(pid) = i32::try_from(identity.pid).ok().and_then(Pid::from_raw) else {
            return Ok(None);
        };
        Ok(has_more_to_end(identity)?.then(|| Self {
            identity: identity.clone(),
            pid,
        }))
    }

    pub(crate) fn kill(&self) -> Result<(), IdentityError> {
        self.send(Signal::KILL)
    }

    pub(crate) fn terminate(&self) -> Result<(), IdentityError> {
        self.send(Signal::TERM)
    }

    pub(crate) fn resume(&self) -> Result<(), IdentityError> {
        self.send(Signal::CONT)
    }

    fn send(&self, signal: Signal) -> Result<(), IdentityError> {
        match kill_process(self.pid, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(IdentityError::Signal {
                pid: self.identity.pid,
                source: errno.into(),
            }),
        }
    }

    pub(crate) async fn wait(self, limit: Duration) -> Result<(), IdentityError> {
        let deadline = Instant::now() + limit;
        let mut pause = FIRST_PAUSE;
        while has_more_to_end(&self.identity)? {
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

fn has_more_to_end(identity: &ProcessIdentity) -> Result<bool, IdentityError> {
    Ok(match identity.stage()? {
        Some(Stage::Running | Stage::Stopped | Stage::Exiting) => true,
        Some(Stage::Ended) | None => false,
    })
}
