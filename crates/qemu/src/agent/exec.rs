//! Running a program in the guest.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};
use zeroize::{Zeroize as _, Zeroizing};

use super::{AgentError, Deadline, GuestAgent, Request, SHORT_ANSWER};

/// The agent announces nothing, so its programs are asked after. The first pause is short, as the
/// programs we wait for are; the pauses grow because each question costs the guest some work.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// A program to run.
#[derive(Clone, Copy)]
pub struct Exec<'a> {
    /// Its path in the guest.
    pub path: &'a str,
    /// Its arguments; visible to every process of the guest, so never secrets.
    pub args: &'a [&'a str],
    /// What it reads from its standard input. May be secret: it is wiped from our memory after
    /// use and is in no log and no error.
    pub input: Option<&'a [u8]>,
    /// Whether to bring back what it writes.
    pub capture: bool,
    /// How much of each of its two outputs to bring back, in bytes.
    pub output_limit: usize,
}

impl fmt::Debug for Exec<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exec")
            .field("path", &self.path)
            .field("args", &self.args)
            .field("input_bytes", &self.input.map(<[u8]>::len))
            .field("capture", &self.capture)
            .field("output_limit", &self.output_limit)
            .finish()
    }
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It exited with this code.
    Code(i64),
    /// This signal ended it.
    Signal(i64),
    /// It ended, and the agent does not say how.
    Unknown,
}

/// What came of a program. `Debug` shows the outputs' lengths only.
#[derive(Clone, PartialEq, Eq)]
pub struct ExecResult {
    /// How it ended.
    pub outcome: Outcome,
    /// What it wrote to its standard output, up to the limit.
    pub stdout: Vec<u8>,
    /// What it wrote to its standard error, up to the limit.
    pub stderr: Vec<u8>,
    /// Some of it was left out.
    pub truncated: bool,
}

impl ExecResult {
    /// Whether it exited with code 0.
    pub fn success(&self) -> bool {
        self.outcome == Outcome::Code(0)
    }
}

impl fmt::Debug for ExecResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecResult")
            .field("outcome", &self.outcome)
            .field("stdout_bytes", &self.stdout.len())
            .field("stderr_bytes", &self.stderr.len())
            .field("truncated", &self.truncated)
            .finish()
    }
}

/// The generated type owns its input and does not wipe it.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Arguments<'a> {
    path: &'a str,
    arg: &'a [&'a str],
    #[serde(skip_serializing_if = "Option::is_none")]
    input_data: Option<&'a str>,
    capture_output: bool,
}

/// The generated type decodes the outputs while parsing, and quotes them in its errors.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Status {
    exited: bool,
    exitcode: Option<i64>,
    signal: Option<i64>,
    out_data: Option<String>,
    err_data: Option<String>,
    #[serde(default)]
    out_truncated: bool,
    #[serde(default)]
    err_truncated: bool,
}

pub(super) async fn run(
    agent: &mut GuestAgent,
    exec: Exec<'_>,
    deadline: Deadline,
) -> Result<ExecResult, AgentError> {
    const COMMAND: &str = "guest-exec-status";
    let pid = start(agent, exec, deadline).await?;
    let mut answered = Instant::now();
    // Base64 makes 4 bytes of 3; two outputs; room for the rest. Saturation is no limit at all,
    // and what the agent itself keeps ends at 16 MiB per output.
    let longest_answer = exec
        .output_limit
        .saturating_mul(3)
        .saturating_add(SHORT_ANSWER);
    let still_running = || AgentError::StillRunning {
        path: exec.path.to_owned(),
        pid,
        limit: deadline.limit,
    };
    let mut pause = FIRST_PAUSE;
    loop {
        let next = Instant::now() + pause;
        if next > deadline.at {
            return Err(still_running());
        }
        sleep_until(next).await;
        pause = (pause * 5 / 4).min(LONGEST_PAUSE);

        let line = serde_json::to_vec(&Request {
            execute: COMMAND,
            arguments: qapi_qga::guest_exec_status { pid },
        })
        .map_err(|source| AgentError::Encode {
            command: COMMAND,
            source,
        })?;
        let status: Result<Status, _> = agent
            .transact(COMMAND, Zeroizing::new(line), longest_answer, deadline)
            .await;
        // The limit may well pass between a question and its answer. That the agent has fallen silent
        // can be said of one that owes an answer for longer than it has given any.
        if matches!(status, Err(AgentError::Timeout { .. }))
            && answered + deadline.limit / 2 > deadline.at
        {
            return Err(still_running());
        }
        let status = status?;
        answered = Instant::now();
        if status.exited {
            return result(status, exec.output_limit)
                .ok_or(AgentError::Unreadable { command: COMMAND });
        }
    }
}

async fn start(
    agent: &mut GuestAgent,
    exec: Exec<'_>,
    deadline: Deadline,
) -> Result<i64, AgentError> {
    const COMMAND: &str = "guest-exec";
    let input = exec
        .input
        .map(|bytes| Zeroizing::new(BASE64_STANDARD.encode(bytes)));
    let request = Request {
        execute: COMMAND,
        arguments: Arguments {
            path: exec.path,
            arg: exec.args,
            input_data: input.as_ref().map(|text| text.as_str()),
            capture_output: exec.capture,
        },
    };
    // Large enough from the start: growing would leave copies of the input behind. Escaping makes
    // at most six bytes of one.
    let words = exec.path.len() + exec.args.iter().map(|arg| arg.len() + 3).sum::<usize>();
    let room = words * 6 + input.as_ref().map_or(0, |text| text.len()) + 256;
    let mut line = Zeroizing::new(Vec::with_capacity(room));
    serde_json::to_writer(&mut *line, &request).map_err(|source| AgentError::Encode {
        command: COMMAND,
        source,
    })?;
    debug_assert!(line.len() < room);
    let started: Result<qapi_qga::GuestExec, _> =
        agent.transact(COMMAND, line, SHORT_ANSWER, deadline).await;
    match started {
        Ok(started) => Ok(started.pid),
        Err(AgentError::Refused {
            command,
            mut class,
            mut desc,
        }) if exec
            .input
            .is_some_and(|input| echoes(&desc, input) || echoes(&class, input)) =>
        {
            class.zeroize();
            desc.zeroize();
            desc.push_str("(its message repeats the input and is withheld)");
            Err(AgentError::Refused {
                command,
                class,
                desc,
            })
        }
        Err(error) => Err(error),
    }
}

/// Whether the guest's text holds a piece of the input, plain or encoded.
fn echoes(text: &str, input: &[u8]) -> bool {
    /// Shorter pieces are words that any message may have.
    const PIECE: usize = 8;
    let encoded = Zeroizing::new(BASE64_STANDARD.encode(input));
    let text = text.as_bytes();
    [input, encoded.as_bytes()].iter().any(|secret| {
        secret
            .windows(PIECE)
            .any(|piece| text.windows(PIECE).any(|shown| shown == piece))
    })
}

fn result(status: Status, limit: usize) -> Option<ExecResult> {
    let mut truncated = status.out_truncated || status.err_truncated;
    let mut output = |text: Option<String>| {
        let mut bytes = BASE64_STANDARD.decode(text.unwrap_or_default()).ok()?;
        truncated |= bytes.len() > limit;
        bytes.truncate(limit);
        Some(bytes)
    };
    let stdout = output(status.out_data)?;
    let stderr = output(status.err_data)?;
    let outcome = match (status.signal, status.exitcode) {
        (Some(signal), _) => Outcome::Signal(signal),
        (None, Some(code)) => Outcome::Code(code),
        (None, None) => Outcome::Unknown,
    };
    Some(ExecResult {
        outcome,
        stdout,
        stderr,
        truncated,
    })
}
