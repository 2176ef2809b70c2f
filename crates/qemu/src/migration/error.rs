//! What can go wrong in saving or loading a machine's state.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::qmp::QmpError;

/// What is going on, for errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Writing state to a file.
    Save,
    /// Reading state from a file.
    Load,
    /// Writing state to a socket.
    Send,
    /// Reading state from a socket.
    Receive,
}

impl Operation {
    /// Whether it is the end that state comes to.
    pub(super) const fn is_incoming(self) -> bool {
        matches!(self, Self::Load | Self::Receive)
    }
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Save => "saving the machine's state to",
            Self::Load => "loading the machine's state from",
            Self::Send => "sending the machine's state to",
            Self::Receive => "receiving the machine's state from",
        })
    }
}

/// State could not be saved or loaded.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The file cannot be made, or is not there.
    #[error("{operation} {file} failed before it began")]
    File {
        /// What was going on.
        operation: Operation,
        /// The file.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file's path cannot be given to QEMU.
    #[error("the path {file} is not valid UTF-8: move the emulator's folder to a plain name")]
    PathNotUtf8 {
        /// The file.
        file: PathBuf,
    },
    /// QEMU says that it failed. `reason` is QEMU's own text, for people.
    #[error("{operation} {file} failed: {reason}")]
    Failed {
        /// What was going on.
        operation: Operation,
        /// The file.
        file: PathBuf,
        /// QEMU's description.
        reason: String,
    },
    /// It was cancelled, by [`cancel`](super::cancel) or by another program.
    #[error("{operation} {file} was cancelled")]
    Cancelled {
        /// What was going on.
        operation: Operation,
        /// The file.
        file: PathBuf,
    },
    /// It took too long and was cancelled.
    #[error("{operation} {file} took longer than {limit:?} and was cancelled")]
    Timeout {
        /// What was going on.
        operation: Operation,
        /// The file.
        file: PathBuf,
        /// How long was waited.
        limit: Duration,
    },
    /// QEMU reported the end but did not put away what it had used.
    #[error("QEMU did not clean up within {limit:?} after {operation} {file}: restart it")]
    NotCleanedUp {
        /// What was going on.
        operation: Operation,
        /// The file.
        file: PathBuf,
        /// How long was waited.
        limit: Duration,
    },
    /// QEMU ended. Versions before 9.1 do so when a load fails; their log says why.
    #[error("QEMU ended while {operation} {file}; its log says why")]
    QemuGone {
        /// What was going on.
        operation: Operation,
        /// The file.
        file: PathBuf,
        /// The QMP error.
        #[source]
        source: QmpError,
    },
    /// A QMP command failed.
    #[error("{operation} {file} failed")]
    Qmp {
        /// What was going on.
        operation: Operation,
        /// The file.
        file: PathBuf,
        /// The QMP error.
        #[source]
        source: QmpError,
    },
}
