//! What the host does inside the guest, by way of the guest agent: set the
//! clock, rotate the secrets, sync the disk.

use std::path::Path;
use std::time::{Duration, SystemTime};

use qemu::agent::Outcome;
use qemu::{AgentError, Exec, GuestAgent};

use crate::secret::{SecretName, SecretSet};

/// How far the guest's clock may be off, in either direction.
const CLOCK_TOLERANCE: Duration = Duration::from_millis(100);
/// A clock further off than this fails a start: signatures and sessions that
/// the guest hands out would be of another time.
const CLOCK_LIMIT: Duration = Duration::from_secs(5);
/// One agent command that should take milliseconds, on a very busy machine.
const COMMAND_LIMIT: Duration = Duration::from_secs(20);
/// What is kept of the rotation's output, in bytes.
const OUTPUT_LIMIT: usize = 16 << 10;
/// The contract's entry point for rotation.
const ROTATE: &str = "/usr/local/bin/trigger-fast-rotate";

/// Something that could not be done inside the guest.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// The guest agent did not answer.
    #[error("the guest agent did not answer within {} s", limit.as_secs())]
    NoAgent {
        /// How long it was given.
        limit: Duration,
        /// What came instead.
        #[source]
        source: AgentError,
    },
    /// A command to the guest agent failed.
    #[error("the guest agent could not {action}")]
    Agent {
        /// What was asked of it.
        action: &'static str,
        /// What it said.
        #[source]
        source: AgentError,
    },
    /// The clock stays wrong.
    #[error("the guest's clock is {off_ms} ms off after it was set")]
    Clock {
        /// Guest minus host, in milliseconds.
        off_ms: i128,
    },
    /// The rotation ran and failed; the old values are in force.
    #[error("the guest refused to rotate the secrets ({status}){}", said(output))]
    Rotation {
        /// How it ended.
        status: String,
        /// What it said, without any value.
        output: String,
    },
    /// `sync` failed.
    #[error("the guest could not sync its disk ({status})")]
    Sync {
        /// How it ended.
        status: String,
    },
}

fn said(output: &str) -> String {
    if output.is_empty() {
        String::new()
    } else {
        format!(": {output}")
    }
}

/// Connects to the agent and waits until it answers.
///
/// The wait needs no polling: the channel holds the question until the guest
/// opens its end.
pub(crate) async fn connect(socket: &Path, limit: Duration) -> Result<GuestAgent, GuestError> {
    let no_agent = |source| GuestError::NoAgent { limit, source };
    let mut agent = GuestAgent::connect(socket, limit).await.map_err(no_agent)?;
    agent.sync(limit).await.map_err(no_agent)?;
    Ok(agent)
}

/// Sets the guest's clock to the host's, and checks it.
///
/// Returns how far it is off in milliseconds where it stays off by more than
/// is good: on a host so busy that a question to the guest takes that long.
pub(crate) async fn set_clock(agent: &mut GuestAgent) -> Result<Option<i128>, GuestError> {
    let failed = |action| move |source| GuestError::Agent { action, source };
    let mut off_ms = 0;
    for _ in 0..4 {
        agent
            .set_time(SystemTime::now(), COMMAND_LIMIT)
            .await
            .map_err(failed("set the clock"))?;
        let asked = SystemTime::now();
        let guest = agent
            .get_time(COMMAND_LIMIT)
            .await
            .map_err(failed("read the clock"))?;
        let answered = SystemTime::now();
        // The guest read its clock somewhere between question and answer.
        let middle = difference_ns(answered, asked) / 2;
        let off_ns = difference_ns(guest, asked) - middle;
        off_ms = off_ns / 1_000_000;
        if off_ns.unsigned_abs() < CLOCK_TOLERANCE.as_nanos() / 2 {
            return Ok(None);
        }
    }
    match off_ms.unsigned_abs() {
        off if off < CLOCK_TOLERANCE.as_millis() => Ok(None),
        off if off < CLOCK_LIMIT.as_millis() => Ok(Some(off_ms)),
        _ => Err(GuestError::Clock { off_ms }),
    }
}

fn difference_ns(left: SystemTime, right: SystemTime) -> i128 {
    let nanoseconds = |duration: Duration| i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX);
    match left.duration_since(right) {
        Ok(ahead) => nanoseconds(ahead),
        Err(behind) => -nanoseconds(behind.duration()),
    }
}

/// Has the guest replace its secrets by `set`.
///
/// Success is the guest's word alone; see [`crate::readiness`] for the proof.
pub(crate) async fn rotate(
    agent: &mut GuestAgent,
    set: &SecretSet,
    limit: Duration,
) -> Result<(), GuestError> {
    let input = set.to_rotation_input();
    let exec = Exec {
        path: ROTATE,
        args: &[],
        input: Some(&input),
        capture: true,
        output_limit: OUTPUT_LIMIT,
    };
    let result = agent
        .exec(exec, limit)
        .await
        .map_err(|source| GuestError::Agent {
            action: "rotate the secrets",
            source,
        })?;
    if result.success() {
        return Ok(());
    }
    let said = if result.stderr.is_empty() {
        &result.stdout
    } else {
        &result.stderr
    };
    Err(GuestError::Rotation {
        status: describe(result.outcome),
        output: presentable(said, set),
    })
}

/// Makes the guest write its caches to its disk.
pub(crate) async fn sync_disk(agent: &mut GuestAgent, limit: Duration) -> Result<(), GuestError> {
    let exec = Exec {
        path: "/bin/sync",
        args: &[],
        input: None,
        capture: false,
        output_limit: 0,
    };
    let result = agent
        .exec(exec, limit)
        .await
        .map_err(|source| GuestError::Agent {
            action: "sync its disk",
            source,
        })?;
    if result.success() {
        Ok(())
    } else {
        Err(GuestError::Sync {
            status: describe(result.outcome),
        })
    }
}

/// How a program in the guest ended, in words.
fn describe(outcome: Outcome) -> String {
    match outcome {
        Outcome::Code(code) => format!("exit code {code}"),
        Outcome::Signal(signal) => format!("signal {signal}"),
        Outcome::Unknown => "the agent does not say how it ended".to_owned(),
    }
}

/// The guest's words, fit for a terminal and a log: one line, no control
/// characters, and none of the values, whatever the guest echoes.
fn presentable(bytes: &[u8], set: &SecretSet) -> String {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    for name in SecretName::ALL {
        text = text.replace(set.get(name).expose(), "[redacted]");
    }
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(500)
        .collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_echoes_is_redacted() {
        let set = SecretSet::generate().unwrap();
        let ssk = set.get(SecretName::Ssk).expose();
        let shown = presentable(format!("bad\n\x1b[31m value {ssk}!").as_bytes(), &set);
        assert_eq!(shown, "bad [31m value [redacted]!");
    }

    #[test]
    fn times_differ_both_ways() {
        let now = SystemTime::now();
        let later = now + Duration::from_millis(5);
        assert_eq!(difference_ns(later, now), 5_000_000);
        assert_eq!(difference_ns(now, later), -5_000_000);
    }
}
