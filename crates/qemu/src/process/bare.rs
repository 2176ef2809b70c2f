//! A short-lived QEMU of our own for questions: no machine of the user, one monitor, gone when
//! dropped, and on Linux also when this process is killed. Elsewhere a QEMU from 10.2 on can see to that
//! itself, which is asked of the accelerator probe's.
//!
//! Its monitor is one end of a socket pair, so there is nothing to wait for and no file to clean
//! up.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping, FdMappingCollision};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::process::Child;
use tokio::time::timeout;

/// The monitor's file descriptor inside QEMU.
const MONITOR_FD: i32 = 3;
/// How much of the error output is kept, in bytes.
const STDERR_KEPT: u64 = 4096;

/// A bare QEMU could not be started.
#[derive(Debug, thiserror::Error)]
pub enum BareError {
    /// The socket pair for its monitor.
    #[error("cannot make a socket pair")]
    SocketPair(#[source] io::Error),
    /// Handing the socket over.
    #[error("cannot hand a socket to the new process")]
    Hand(#[source] FdMappingCollision),
    /// Starting it.
    #[error("the system refused to start the program")]
    Start(#[source] io::Error),
}

/// A running QEMU that is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Bare {
    child: Child,
}

/// Starts `program` with no devices but those in `args`; the stream is its monitor.
pub(crate) fn spawn<S: AsRef<OsStr>>(
    program: &Path,
    args: &[S],
) -> Result<(Bare, UnixStream), BareError> {
    let (ours, theirs) = StdUnixStream::pair().map_err(BareError::SocketPair)?;
    ours.set_nonblocking(true).map_err(BareError::SocketPair)?;
    let monitor = UnixStream::from_std(ours).map_err(BareError::SocketPair)?;
    let mut command = std::process::Command::new(program);
    command
        .args(["-nodefaults", "-no-user-config", "-display", "none"])
        .args(["-chardev", &format!("socket,id=qmp,fd={MONITOR_FD}")])
        .args(["-mon", "chardev=qmp,mode=control"])
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    super::inherit_little(&mut command);
    #[cfg(target_os = "linux")]
    end_with_this_process(&mut command);
    command
        .fd_mappings(vec![FdMapping {
            parent_fd: OwnedFd::from(theirs),
            child_fd: MONITOR_FD,
        }])
        .map_err(BareError::Hand)?;
    // Converting consumes the command, and with it our copy of QEMU's end: its death is our
    // end-of-file.
    let child = tokio::process::Command::from(command)
        .kill_on_drop(true)
        .spawn()
        .map_err(BareError::Start)?;
    Ok((Bare { child }, monitor))
}

/// Has the kernel kill the new process when this one ends, however it does: nothing would ever end it
/// otherwise. The kernel goes by the thread that starts it, so that must not be one that ends early.
#[cfg(target_os = "linux")]
fn end_with_this_process(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt as _;
    let us = rustix::process::getpid();
    let end_with_us = move || {
        let signal = rustix::process::Signal::KILL;
        rustix::process::set_parent_process_death_signal(Some(signal))?;
        // This one may have ended before that.
        if rustix::process::getppid() == Some(us) {
            Ok(())
        } else {
            Err(io::ErrorKind::NotConnected.into())
        }
    };
    #[expect(
        unsafe_code,
        reason = "between fork and exec: it makes two system calls, and neither allocates nor locks"
    )]
    // SAFETY: the closure is safe to run in a child that was forked from a process with threads.
    unsafe {
        command.pre_exec(end_with_us);
    }
}

impl Bare {
    /// How it ended, and the end of its error output; `None` if it is still running after `limit`.
    pub(crate) async fn ending(&mut self, limit: Duration) -> Option<(ExitStatus, String)> {
        let status = timeout(limit, self.child.wait()).await.ok()?.ok()?;
        let mut text = Vec::new();
        if let Some(stderr) = self.child.stderr.take() {
            // The process is gone, so this ends; what cannot be read is not there to be shown.
            let _ = stderr.take(STDERR_KEPT).read_to_end(&mut text).await;
        }
        Some((status, String::from_utf8_lossy(&text).trim().to_owned()))
    }

    /// Kills it, and waits at most `limit` until it is gone. A process stuck in the kernel may
    /// outlive this; the runtime reaps it when it comes loose.
    pub(crate) async fn kill(mut self, limit: Duration) {
        if let Err(error) = self.child.start_kill() {
            tracing::debug!(%error, "already gone");
        }
        if timeout(limit, self.child.wait()).await.is_err() {
            tracing::warn!("a killed QEMU is still there after {limit:?}");
        }
    }
}
