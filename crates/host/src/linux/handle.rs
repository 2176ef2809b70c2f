//! A process that cannot be mistaken for another one, by pidfd.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;

use crate::process::{IdentityError, ProcessIdentity};

/// An open handle: the kernel will not let it mean another process.
pub(crate) struct Handle {
    pid: u32,
    handle: OwnedFd,
}

impl Handle {
    /// `None` if nothing of the process is left.
    pub(crate) fn open(identity: &ProcessIdentity) -> Result<Option<Self>, IdentityError> {
        let pid = identity.pid;
        let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
            return Ok(None);
        };
        let handle = match pidfd_open(raw, PidfdFlags::NONBLOCK) {
            Ok(handle) => handle,
            Err(Errno::SRCH) => return Ok(None),
            Err(errno) => {
                return Err(IdentityError::Look {
                    pid,
                    source: errno.into(),
                });
            }
        };
        // Compared after opening: from here on the id cannot pass to another process unnoticed. Also
        // one that has ended is opened: its first thread has, and others may be at it.
        let stage = identity.stage()?;
        Ok(stage.map(|_| Self { pid, handle }))
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
        match pidfd_send_signal(&self.handle, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(IdentityError::Signal {
                pid: self.pid,
                source: errno.into(),
            }),
        }
    }

    pub(crate) async fn wait(self, limit: Duration) -> Result<(), IdentityError> {
        let pid = self.pid;
        let look = |source| IdentityError::Look { pid, source };
        // A pidfd becomes readable when the last thread has ended, even before the parent reaps it.
        #[expect(
            deprecated,
            reason = "deprecated for types whose descriptor may change, which OwnedFd's cannot; \
                      the replacement is an unsafe function"
        )]
        let handle = AsyncFd::with_interest(self.handle, Interest::READABLE).map_err(look)?;
        match timeout(limit, handle.readable()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(look(error)),
            Err(_) => Err(IdentityError::StillThere { pid, limit }),
        }
    }
}
