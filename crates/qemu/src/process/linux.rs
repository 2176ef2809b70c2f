//! Processes by `/proc` and pidfd.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;

use super::{IdentityError, ProcessIdentity};

/// Start time in clock ticks since boot; `None` if there is no such process, or only its remains.
pub(super) fn start_of(pid: u32) -> io::Result<Option<u64>> {
    let stat = match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat,
        Err(error) if is_gone(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let stat = parse_stat(&stat)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unknown format"))?;
    Ok((!stat.ended).then_some(stat.start))
}

/// A process that ends while its files are read gives `ESRCH`.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
}

/// What we read from `/proc/<pid>/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    ended: bool,
    start: u64,
}

fn parse_stat(stat: &str) -> Option<Stat> {
    // The second field is the program's name in parentheses, and may hold anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.next()?;
    // The start is field 22; fields 1 and 2 are cut off and 3 is taken.
    let start = fields.nth(22 - 4)?.parse().ok()?;
    let ended = matches!(state, "Z" | "X" | "x");
    Some(Stat { ended, start })
}

/// Processes that have an argument ending with `mark`.
pub(super) fn with_argument_ending(mark: &str) -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // Gone meanwhile, or hidden from us and then not ours.
        let Ok(arguments) = std::fs::read(format!("/proc/{pid}/cmdline")) else {
            continue;
        };
        if arguments
            .split(|&byte| byte == 0)
            .any(|argument| argument.ends_with(mark.as_bytes()))
        {
            found.push(pid);
        }
    }
    Ok(found)
}

/// An open handle: the kernel will not let it mean another process.
pub(super) struct Process {
    pid: u32,
    handle: OwnedFd,
}

impl Process {
    /// `None` if the process has ended.
    pub(super) fn open(identity: &ProcessIdentity) -> Result<Option<Self>, IdentityError> {
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
        // Compared after opening: from here on the id cannot pass to another process unnoticed.
        Ok(identity.is_alive()?.then_some(Self { pid, handle }))
    }

    pub(super) fn kill(&self) -> Result<(), IdentityError> {
        match pidfd_send_signal(&self.handle, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(IdentityError::Signal {
                pid: self.pid,
                source: errno.into(),
            }),
        }
    }

    pub(super) async fn wait(self, limit: Duration) -> Result<(), IdentityError> {
        let pid = self.pid;
        let look = |source| IdentityError::Look { pid, source };
        // A pidfd becomes readable when the process ends, even before its parent reaps it.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_name_may_look_like_fields() {
        let tail = "0 ".repeat(18) + "4242 0 0";
        let stat = |ended| Stat { ended, start: 4242 };
        let live = format!("7 (a) Z 1) S {tail}");
        assert_eq!(parse_stat(&live), Some(stat(false)));
        let ended = format!("7 (a) Z {tail}");
        assert_eq!(parse_stat(&ended), Some(stat(true)));
        assert_eq!(parse_stat("7 (a) S 1 2"), None);
        assert_eq!(parse_stat("nonsense"), None);
    }
}
