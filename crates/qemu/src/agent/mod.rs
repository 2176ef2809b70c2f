//! The QEMU guest agent: running a program in the guest, and setting its clock.
//!
//! The agent answers one request after another over a virtio-serial port, without greeting or ids,
//! and its peer is the guest: it may send anything, at any length, or nothing. So every call has a
//! time limit, every answer a length limit, and whenever a conversation was broken off (a time-out,
//! a dropped future, a client before us that was killed) the next one begins by
//! `guest-sync-delimited`: a marker byte that resets the guest's parser, a number to be sent back,
//! and an answer that starts with a byte JSON cannot contain.
//!
//! While no client is connected, the agent looks for one only ten times a second. Connect before a
//! resumed machine gets its `cont` and it answers at once.

mod clock;
mod error;
mod exec;

pub use error::AgentError;
pub use exec::{Exec, ExecResult, Outcome};

use std::path::Path;
use std::time::{Duration, SystemTime};

use qapi_spec::Command;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use crate::qmp::framer::{Frame, LineFramer, SENTINEL};

/// Longest answer to anything but a program's output, in bytes.
const SHORT_ANSWER: usize = 64 * 1024;
/// A sync request is sent again after this long: one that arrived while the agent was not yet
/// reading may be lost.
const SYNC_AGAIN: Duration = Duration::from_secs(2);
/// Bytes read from the socket at once.
const CHUNK: usize = 16 * 1024;
/// How much of the guest's own error text is kept, in characters.
const KEPT_DESCRIPTION: usize = 300;

/// A client of the guest agent. One at a time: others wait until this is dropped.
#[derive(Debug)]
pub struct GuestAgent {
    socket: UnixStream,
    framer: LineFramer,
    chunk: Vec<u8>,
    filled: std::ops::Range<usize>,
    /// Nothing is on the wire and the guest's parser is at the start of a request.
    in_step: bool,
    last_sync: i64,
}

#[derive(Deserialize)]
struct WireError {
    #[serde(default)]
    class: String,
    #[serde(default)]
    desc: String,
}

#[derive(Deserialize)]
struct WireAnswer<'a> {
    #[serde(rename = "return", borrow)]
    result: Option<&'a RawValue>,
    error: Option<WireError>,
}

#[derive(Serialize)]
struct Request<A> {
    execute: &'static str,
    arguments: A,
}

impl GuestAgent {
    /// Connects to the agent's socket. Says nothing yet about whether an agent answers there.
    ///
    /// # Errors
    ///
    /// [`AgentError::Connect`].
    pub async fn connect(path: &Path, limit: Duration) -> Result<Self, AgentError> {
        let failed = |source| AgentError::Connect {
            path: path.to_owned(),
            source,
        };
        let socket = tokio::time::timeout(limit, UnixStream::connect(path))
            .await
            .map_err(|_| failed(std::io::ErrorKind::TimedOut.into()))?
            .map_err(failed)?;
        Ok(Self::over(socket))
    }

    /// The same over a socket that is already connected.
    pub fn over(socket: UnixStream) -> Self {
        // Numbers differ between clients, so that an answer meant for the one before us is known
        // for what it is.
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let seed = i64::from(now.subsec_nanos()) * 1_000_003 + i64::from(std::process::id());
        Self {
            socket,
            framer: LineFramer::with_sentinel(SHORT_ANSWER),
            chunk: vec![0; CHUNK],
            filled: 0..0,
            in_step: false,
            last_sync: seed,
        }
    }

    /// Waits until the agent answers, dropping whatever an earlier conversation left behind.
    ///
    /// # Errors
    ///
    /// [`AgentError::Timeout`] if it does not within `limit`: the guest is still booting, has no
    /// agent, or another program is talking to it.
    pub async fn sync(&mut self, limit: Duration) -> Result<(), AgentError> {
        self.resync(Deadline::after(limit)).await
    }

    /// Asks for a sign of life.
    ///
    /// # Errors
    ///
    /// See [`AgentError`].
    pub async fn ping(&mut self, limit: Duration) -> Result<(), AgentError> {
        self.call(qapi_qga::guest_ping {}, Deadline::after(limit))
            .await
            .map(drop)
    }

    /// Runs a program in the guest and waits until it has ended.
    ///
    /// # Errors
    ///
    /// See [`AgentError`]. That the program failed is not one: see [`ExecResult::outcome`]. No
    /// error holds what was given to the program as input.
    pub async fn exec(
        &mut self,
        exec: Exec<'_>,
        limit: Duration,
    ) -> Result<ExecResult, AgentError> {
        exec::run(self, exec, Deadline::after(limit)).await
    }

    async fn call<C: Command>(
        &mut self,
        command: C,
        deadline: Deadline,
    ) -> Result<C::Ok, AgentError> {
        let request = Request {
            execute: C::NAME,
            arguments: command,
        };
        let line = serde_json::to_vec(&request).map_err(|source| AgentError::Encode {
            command: C::NAME,
            source,
        })?;
        self.transact(C::NAME, Zeroizing::new(line), SHORT_ANSWER, deadline)
            .await
    }

    /// Sends one request and decodes the line that answers it.
    async fn transact<T: DeserializeOwned>(
        &mut self,
        command: &'static str,
        mut request: Zeroizing<Vec<u8>>,
        longest_answer: usize,
        deadline: Deadline,
    ) -> Result<T, AgentError> {
        if !self.in_step {
            self.resync(deadline).await?;
        }
        request.push(b'\n');
        // Until the answer is complete, whatever ends this future leaves us out of step.
        self.in_step = false;
        self.framer.set_limit(longest_answer);
        let exchange = async {
            self.send(command, &request).await?;
            match self.receive(command).await? {
                Frame::Line(line) => decode(command, &Zeroizing::new(line)),
                Frame::TooLong => Err(AgentError::AnswerTooLong {
                    command,
                    limit: longest_answer,
                }),
                Frame::Sentinel => Err(AgentError::Unreadable { command }),
            }
        };
        let answer = timeout_at(deadline.at, exchange)
            .await
            .map_err(|_| deadline.passed(command))?;
        // A refusal is an answer too.
        self.in_step = matches!(answer, Ok(_) | Err(AgentError::Refused { .. }));
        answer
    }

    async fn resync(&mut self, deadline: Deadline) -> Result<(), AgentError> {
        const COMMAND: &str = "guest-sync-delimited";
        self.in_step = false;
        self.framer.set_limit(SHORT_ANSWER);
        loop {
            self.last_sync = self.last_sync.wrapping_add(1) & i64::from(i32::MAX);
            let arguments = qapi_qga::guest_sync_delimited { id: self.last_sync };
            let request = Request {
                execute: COMMAND,
                arguments,
            };
            let mut line = vec![SENTINEL];
            serde_json::to_writer(&mut line, &request).map_err(|source| AgentError::Encode {
                command: COMMAND,
                source,
            })?;
            line.push(b'\n');

            let again = Instant::now() + SYNC_AGAIN;
            let exchange = async {
                self.send(COMMAND, &line).await?;
                self.find_sync_answer(COMMAND).await
            };
            match timeout_at(deadline.at.min(again), exchange).await {
                Ok(answered) => {
                    answered?;
                    self.in_step = true;
                    return Ok(());
                }
                Err(_) if Instant::now() >= deadline.at => return Err(deadline.passed(COMMAND)),
                Err(_) => {}
            }
        }
    }

    /// Reads until the answer to the latest sync request, past anything else: answers come in
    /// order, so nothing older can follow it.
    async fn find_sync_answer(&mut self, command: &'static str) -> Result<(), AgentError> {
        let mut after_sentinel = false;
        loop {
            match self.receive(command).await? {
                Frame::Sentinel => after_sentinel = true,
                Frame::Line(line) if std::mem::take(&mut after_sentinel) => {
                    if matches!(decode::<i64>(command, &line), Ok(id) if id == self.last_sync) {
                        return Ok(());
                    }
                }
                Frame::Line(_) | Frame::TooLong => {}
            }
        }
    }

    async fn send(&mut self, command: &'static str, line: &[u8]) -> Result<(), AgentError> {
        self.socket
            .write_all(line)
            .await
            .map_err(|source| AgentError::Io { command, source })
    }

    async fn receive(&mut self, command: &'static str) -> Result<Frame, AgentError> {
        loop {
            let mut input = &self.chunk[self.filled.clone()];
            let frame = self.framer.next_frame(&mut input);
            self.filled.start = self.filled.end - input.len();
            if let Some(frame) = frame {
                return Ok(frame);
            }
            let count = self
                .socket
                .read(&mut self.chunk)
                .await
                .map_err(|source| AgentError::Io { command, source })?;
            if count == 0 {
                return Err(AgentError::Closed { command });
            }
            self.filled = 0..count;
        }
    }
}

fn decode<T: DeserializeOwned>(command: &'static str, line: &[u8]) -> Result<T, AgentError> {
    // The decoder's own messages quote what they stumble over, and that is the guest's to keep.
    let unreadable = |_| AgentError::Unreadable { command };
    let answer: WireAnswer<'_> = serde_json::from_slice(line).map_err(unreadable)?;
    match (answer.result, answer.error) {
        (_, Some(WireError { class, desc })) => Err(AgentError::Refused {
            command,
            class: class.chars().take(KEPT_DESCRIPTION).collect(),
            desc: desc.chars().take(KEPT_DESCRIPTION).collect(),
        }),
        (Some(result), None) => serde_json::from_str(result.get()).map_err(unreadable),
        (None, None) => Err(AgentError::Unreadable { command }),
    }
}

/// When a call has to be over, and how long that was from its start.
#[derive(Debug, Clone, Copy)]
struct Deadline {
    at: Instant,
    limit: Duration,
}

impl Deadline {
    fn after(limit: Duration) -> Self {
        Self {
            at: Instant::now() + limit,
            limit,
        }
    }

    fn passed(self, command: &'static str) -> AgentError {
        AgentError::Timeout {
            command,
            limit: self.limit,
        }
    }
}
