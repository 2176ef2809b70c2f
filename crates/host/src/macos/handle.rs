//! A process that was there when looked at.
//!
//! Its end is an event of a kernel queue. The kernel counts a process as ended a moment before nothing of
//! it is left, and tells other users nothing, so the process is also looked at, at growing intervals.

use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::sys::event::{EvFlags, EventFilter, FilterFlag, KEvent, Kqueue};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep_until};

use crate::process::{IdentityError, ProcessIdentity, Stage};

const FIRST_PAUSE: Duration = Duration::from_millis(2);
/// Where the kernel tells of the end, and where it does not.
const LONGEST_PAUSE_TOLD: Duration = Duration::from_secs(5);
const LONGEST_PAUSE_UNTOLD: Duration = Duration::from_millis(50);

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
        // Before the first look, so that no end is missed.
        let mut end = EndOf::watch(self.pid);
        let mut pause = FIRST_PAUSE;
        while has_more_to_end(&self.identity)? {
            if Instant::now() >= deadline {
                let pid = self.identity.pid;
                return Err(IdentityError::StillThere { pid, limit });
            }
            let next_look = sleep_until(deadline.min(Instant::now() + pause));
            let longest = match &end {
                Some(told) => {
                    tokio::select! {
                        () = told.happened() => {
                            // What is left of it goes in a moment.
                            end = None;
                            pause = FIRST_PAUSE;
                            continue;
                        }
                        () = next_look => {}
                    }
                    LONGEST_PAUSE_TOLD
                }
                None => {
                    next_look.await;
                    LONGEST_PAUSE_UNTOLD
                }
            };
            pause = (pause * 2).min(longest);
        }
        Ok(())
    }
}

/// A kernel queue that becomes readable when a process ends.
struct EndOf(AsyncFd<OwnedFd>);

impl EndOf {
    /// `None` if the kernel does not tell, or the process is gone.
    fn watch(pid: Pid) -> Option<Self> {
        let queue = Kqueue::new().ok()?;
        let event = KEvent::new(
            usize::try_from(pid.as_raw_pid()).ok()?,
            EventFilter::EVFILT_PROC,
            EvFlags::EV_ADD | EvFlags::EV_ONESHOT,
            FilterFlag::NOTE_EXIT,
            0,
            0,
        );
        queue.kevent(&[event], &mut [], None).ok()?;
        #[expect(
            deprecated,
            reason = "deprecated for types whose descriptor may change, which OwnedFd's cannot; \
                      the replacement is an unsafe function"
        )]
        let queue = AsyncFd::with_interest(OwnedFd::from(queue), Interest::READABLE).ok()?;
        Some(Self(queue))
    }

    /// Waits for it; for ever, if the queue fails.
    async fn happened(&self) {
        if self.0.readable().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

fn has_more_to_end(identity: &ProcessIdentity) -> Result<bool, IdentityError> {
    Ok(match identity.stage()? {
        Some(Stage::Running | Stage::Stopped | Stage::Exiting) => true,
        Some(Stage::Ended) | None => false,
    })
}
