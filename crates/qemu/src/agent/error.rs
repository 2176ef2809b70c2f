//! What can go wrong in talking to the guest agent.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// A call to the guest agent failed.
///
/// After any of these but [`AgentError::Closed`] and [`AgentError::Io`] the client can be used
/// again: it finds back into step by itself.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Nobody listens at the socket: the machine is not running.
    #[error("cannot connect to the guest agent's socket {path}")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No answer in time.
    #[error(
        "the guest agent did not answer {command} within {limit:?}: the guest may still be \
         booting or be overloaded, or another program is talking to its agent"
    )]
    Timeout {
        /// The agent's command.
        command: &'static str,
        /// How long was waited.
        limit: Duration,
    },
    /// QEMU closed the socket: the machine has ended.
    #[error("the connection to the guest agent ended during {command}: the machine has stopped")]
    Closed {
        /// The agent's command.
        command: &'static str,
    },
    /// Reading or writing failed.
    #[error("the guest agent's socket failed during {command}")]
    Io {
        /// The agent's command.
        command: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The arguments could not be written as JSON.
    #[error("cannot encode the arguments of {command}")]
    Encode {
        /// The agent's command.
        command: &'static str,
        /// The encoder's error.
        #[source]
        source: serde_json::Error,
    },
    /// The guest sent more than an answer to this can be.
    #[error("the guest's answer to {command} is longer than {limit} bytes")]
    AnswerTooLong {
        /// The agent's command.
        command: &'static str,
        /// The limit in bytes.
        limit: usize,
    },
    /// The guest sent something that is no answer. What it was is not kept: it may be a secret.
    #[error("the guest's answer to {command} cannot be understood")]
    Unreadable {
        /// The agent's command.
        command: &'static str,
    },
    /// The agent refused. `desc` is the guest's own text, cut to a few lines.
    #[error("the guest agent refused {command}: {desc}")]
    Refused {
        /// The agent's command.
        command: &'static str,
        /// The agent's error class.
        class: String,
        /// The agent's description.
        desc: String,
    },
    /// The program was started but has not ended in time. It goes on running in the guest.
    #[error("{path} is still running in the guest after {limit:?} (process {pid} there)")]
    StillRunning {
        /// The program.
        path: String,
        /// Its process id in the guest.
        pid: i64,
        /// How long was waited.
        limit: Duration,
    },
    /// A time before 1970 or after 2262.
    #[error("the time is outside of what the guest agent can express")]
    TimeOutOfRange,
}
