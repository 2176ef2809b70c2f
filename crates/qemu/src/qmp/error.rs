//! What can go wrong on a QMP connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Why a connection ended. Every command that was waiting gets a copy.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Disconnect {
    /// The peer closed the socket between two lines; for QEMU that means it has exited, or that
    /// another client took the monitor over.
    #[error("QEMU closed the connection")]
    Closed,
    /// The peer closed the socket in the middle of a line.
    #[error("QEMU closed the connection in the middle of a message")]
    MidLine,
    /// Reading or writing failed.
    #[error("the monitor socket failed")]
    Io(#[source] Arc<io::Error>),
    /// A line grew past [`MAX_LINE`](super::MAX_LINE).
    #[error("QEMU sent a line of more than {limit} bytes")]
    LineTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// A line was no JSON object that QMP knows.
    #[error("QEMU sent something that is not QMP: {detail}")]
    NotQmp {
        /// What was wrong with it.
        detail: String,
    },
    /// This side closed the connection.
    #[error("the connection was closed by this program")]
    Local,
}

/// A QMP command, or the connection under it, failed.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// Nobody answers at the socket.
    #[error("cannot connect to the monitor socket {path}")]
    Connect {
        /// The socket.
        path: std::path::PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The peer accepted the connection but sent no greeting in time.
    #[error(
        "QEMU sent no greeting within {limit:?}; another program may be holding this monitor: \
         wait for it to finish, or end it"
    )]
    NoGreeting {
        /// How long was waited.
        limit: Duration,
    },
    /// The first line was no QMP greeting.
    #[error("the peer of the monitor socket does not speak QMP: {detail}")]
    BadGreeting {
        /// What was wrong with it.
        detail: String,
    },
    /// QEMU refused a command. `desc` is QEMU's own text, for people; nothing decides by it.
    #[error("QEMU refused {command}: {desc}")]
    Refused {
        /// The QMP command.
        command: &'static str,
        /// QEMU's error class.
        class: String,
        /// QEMU's description.
        desc: String,
    },
    /// No answer in time. The connection stays usable: a late answer is recognised and dropped.
    #[error("QEMU did not answer {command} within {limit:?}")]
    Timeout {
        /// The QMP command.
        command: &'static str,
        /// How long was waited.
        limit: Duration,
    },
    /// The command's arguments could not be written as JSON.
    #[error("cannot encode the arguments of {command}")]
    Encode {
        /// The QMP command.
        command: &'static str,
        /// The encoder's error.
        #[source]
        source: serde_json::Error,
    },
    /// The answer does not have the shape this version of the command has.
    #[error("QEMU's answer to {command} has an unexpected shape")]
    Decode {
        /// The QMP command.
        command: &'static str,
        /// The decoder's error.
        #[source]
        source: serde_json::Error,
    },
    /// The connection ended before the answer came.
    #[error("the connection ended during {command}")]
    Disconnected {
        /// The QMP command, or `"an event"`.
        command: &'static str,
        /// Why it ended.
        #[source]
        reason: Disconnect,
    },
    /// The awaited event did not come in time.
    #[error("the event {event} did not come within {limit:?}")]
    NoEvent {
        /// What was awaited.
        event: &'static str,
        /// How long was waited.
        limit: Duration,
    },
    /// This subscriber was so slow that events were dropped. Ask QEMU for the state instead.
    #[error("{missed} events were dropped because nobody read them")]
    EventsLost {
        /// How many.
        missed: u64,
    },
}

impl QmpError {
    /// True if the connection is gone, which for a QEMU of ours mostly means that it has exited.
    pub fn is_disconnect(&self) -> bool {
        matches!(self, Self::Disconnected { .. } | Self::Connect { .. })
    }
}
