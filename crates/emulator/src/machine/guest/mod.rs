//! What the host does inside the guest: renew its random numbers, set the clock,
//! rotate the secrets, sync the disk.
//!
//! There are two ways in. Every guest has the guest agent, which
//! starts programs. An image may have a process that waits for us ([`resident`]),
//! which is several times faster. [`Guest`] is either.

mod reseed;
mod resident;

use std::path::Path;
use std::time::{Duration, SystemTime};

use qemu::agent::Outcome;
use qemu::{AgentError, Exec, GuestAgent, Sockets};
use secrets::{SecretName, SecretSet};

pub(crate) use self::reseed::Resumed;
pub(crate) use self::resident::Resident;
pub(crate) use self::resident::ResidentError;
use progress::{Event, Reporter};

/// How far the guest's clock may be off, in either direction.
const CLOCK_TOLERANCE: Duration = Duration::from_millis(100);
/// A clock further off than this fails a start: signatures and sessions that
/// the guest hands out would be of another time.
const CLOCK_LIMIT: Duration = Duration::from_secs(5);
/// One agent command that should take milliseconds, on a very busy machine.
const COMMAND_LIMIT: Duration = Duration::from_secs(20);
/// How long the process on the rotation port may take for its first answer,
/// before the guest agent is asked instead. An answer takes 0.1 s.
const RESIDENT_LIMIT: Duration = Duration::from_secs(5);
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
    /// The same, with what QEMU did meanwhile: a guest that stands still and a
    /// host that has no time for it look alike from the guest's ports.
    #[error("the guest is silent; {}", meanwhile(state.as_deref(), *used, *waited))]
    Silent {
        /// What QEMU calls the machine's state, if it says so.
        state: Option<String>,
        /// Processor time that QEMU used, if the system tells.
        used: Option<Duration>,
        /// In which time.
        waited: Duration,
        /// What was waited for.
        #[source]
        source: Box<GuestError>,
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
    /// The process that waits for us in the guest failed us.
    #[error(transparent)]
    Resident(ResidentError),
    /// The random generator still has the key that is in the saved state.
    #[error(
        "the guest could not renew its random numbers ({status}){}",
        said(output)
    )]
    Reseed {
        /// How it ended.
        status: String,
        /// What it said, without the seed.
        output: String,
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

/// What QEMU did while its guest was waited for.
fn meanwhile(state: Option<&str>, used: Option<Duration>, waited: Duration) -> String {
    let time = used.map_or_else(String::new, |used| {
        let (used, waited) = (used.as_secs(), waited.as_secs());
        format!(" and had {used} s of processor time in {waited} s")
    });
    let state = state.unwrap_or("in an unknown state");
    format!("the machine is {state}{time}")
}

/// Reaches a guest that is running, by the process on its `rotation_port` if its image has one.
pub(crate) async fn reach(
    sockets: &Sockets,
    rotation_port: bool,
    limit: Duration,
    reporter: &dyn Reporter,
) -> Result<Guest, GuestError> {
    let greeted = greet(sockets, rotation_port, limit, None).await;
    answered(greeted, sockets, limit, reporter).await
}

/// A conversation that was begun, and not answered yet.
pub(super) struct Greeted {
    way: Way,
    /// What a guest that goes on from saved state has to be given.
    resumed: Option<Resumed>,
}

enum Way {
    Resident(Result<Resident, ResidentError>),
    Agent(Result<GuestAgent, AgentError>),
}

/// Begins to talk to a guest, which need not run yet: it then finds that somebody is there. One that is
/// `resumed` gets new random numbers first of all.
pub(super) async fn greet(
    sockets: &Sockets,
    rotation_port: bool,
    limit: Duration,
    resumed: Option<Resumed>,
) -> Greeted {
    let way = if rotation_port {
        Way::Resident(Resident::greet(&sockets.rotate(), resumed.as_ref()).await)
    } else {
        Way::Agent(GuestAgent::connect(&sockets.agent(), limit).await)
    };
    Greeted { way, resumed }
}

/// Waits until a guest answers: the process that was greeted, if there is one,
/// else or if that fails the guest agent, which is slower and does the same.
/// The user is told why it then takes longer.
pub(super) async fn answered(
    greeted: Greeted,
    sockets: &Sockets,
    limit: Duration,
    reporter: &dyn Reporter,
) -> Result<Guest, GuestError> {
    let Greeted { way, resumed } = greeted;
    let mut agent = match way {
        Way::Agent(agent) => in_sync(agent, limit).await?,
        Way::Resident(greeted) => {
            let answered = async {
                let mut resident = greeted?;
                let limit = RESIDENT_LIMIT.min(limit);
                resident.answered(limit).await?;
                if let Some(resumed) = &resumed {
                    resident.reseeded(resumed, limit).await?;
                }
                Ok::<_, ResidentError>(resident)
            };
            match answered.await {
                Ok(resident) => return Ok(Guest::Resident(resident)),
                Err(error) => {
                    reporter.report(Event::Warning(&format!(
                        "Using the guest agent instead, which is slower: {}.",
                        failure::chain(&error)
                    )));
                    connect(&sockets.agent(), limit).await?
                }
            }
        }
    };
    if let Some(resumed) = resumed.filter(|resumed| !resumed.renews_by_itself()) {
        reseed::by_agent(&mut agent, &resumed).await?;
    }
    Ok(Guest::Agent(agent))
}

/// Connects to the agent and waits until it answers.
///
/// The wait needs no polling: the channel holds the question until the guest
/// opens its end.
pub(crate) async fn connect(socket: &Path, limit: Duration) -> Result<GuestAgent, GuestError> {
    in_sync(GuestAgent::connect(socket, limit).await, limit).await
}

/// Waits for the first answer of an agent that was connected to.
async fn in_sync(
    agent: Result<GuestAgent, AgentError>,
    limit: Duration,
) -> Result<GuestAgent, GuestError> {
    let no_agent = |source| GuestError::NoAgent { limit, source };
    let mut agent = agent.map_err(no_agent)?;
    agent.sync(limit).await.map_err(no_agent)?;
    Ok(agent)
}

/// How far a guest's clock is from the host's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Off {
    /// Guest minus host.
    pub nanoseconds: i128,
}

impl Off {
    /// `None` if it is good enough; else milliseconds, to warn with.
    ///
    /// A clock stays off on a host so busy that a question to the guest takes
    /// that long.
    fn judge(self) -> Result<Option<i64>, GuestError> {
        let off_ms = self.nanoseconds / 1_000_000;
        let off = off_ms.unsigned_abs();
        match i64::try_from(off_ms) {
            _ if off < CLOCK_TOLERANCE.as_millis() => Ok(None),
            Ok(off_ms) if off < CLOCK_LIMIT.as_millis() => Ok(Some(off_ms)),
            Ok(_) | Err(_) => Err(GuestError::Clock { off_ms }),
        }
    }
}

/// A guest that answers.
pub(crate) enum Guest {
    /// By a process that was waiting for us.
    Resident(Resident),
    /// By the guest agent.
    Agent(GuestAgent),
}

impl Guest {
    /// Sets the guest's clock to the host's, and checks it; see [`Off::judge`].
    pub(crate) async fn set_clock(&mut self) -> Result<Option<i64>, GuestError> {
        let off = match self {
            Self::Resident(resident) => resident.set_clock().await?,
            Self::Agent(agent) => set_clock(agent).await?,
        };
        off.judge()
    }

    /// Has the guest replace its secrets by `set`.
    ///
    /// Success is the guest's word alone; see [`crate::machine::readiness`] for the proof.
    pub(crate) async fn rotate(
        &mut self,
        set: &SecretSet,
        limit: Duration,
    ) -> Result<(), GuestError> {
        match self {
            Self::Resident(resident) => Ok(resident.rotate(set, limit).await?),
            Self::Agent(agent) => rotate(agent, set, limit).await,
        }
    }

    /// Tells the guest by which port of the host users reach `service`; whether that has any effect.
    pub(crate) async fn move_port(&mut self, service: &str, port: u16) -> Result<bool, GuestError> {
        match self {
            Self::Resident(resident) => Ok(resident.move_port(service, port).await?),
            // The contract has no program for that.
            Self::Agent(_) => Ok(false),
        }
    }

    /// Makes the guest write its caches to its disk.
    pub(crate) async fn sync_disk(&mut self, limit: Duration) -> Result<(), GuestError> {
        match self {
            Self::Resident(resident) => Ok(resident.sync_disk(limit).await?),
            Self::Agent(agent) => sync_disk(agent, limit).await,
        }
    }
}

impl From<ResidentError> for GuestError {
    fn from(error: ResidentError) -> Self {
        match error {
            ResidentError::Refused {
                question: "rotate",
                code,
                reason,
            } => Self::Rotation {
                status: describe(Outcome::Code(code.into())),
                output: reason,
            },
            error => Self::Resident(error),
        }
    }
}

async fn set_clock(agent: &mut GuestAgent) -> Result<Off, GuestError> {
    let failed = |action| move |source| GuestError::Agent { action, source };
    let mut off = Off { nanoseconds: 0 };
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
        off.nanoseconds = difference_ns(guest, asked) - middle;
        if off.nanoseconds.unsigned_abs() < CLOCK_TOLERANCE.as_nanos() / 2 {
            break;
        }
    }
    Ok(off)
}

fn difference_ns(left: SystemTime, right: SystemTime) -> i128 {
    let nanoseconds = |duration: Duration| i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX);
    match left.duration_since(right) {
        Ok(ahead) => nanoseconds(ahead),
        Err(behind) => -nanoseconds(behind.duration()),
    }
}

/// The contract's way: the guest agent runs the contract's program.
async fn rotate(
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
        output: presentable(said, Some(set)),
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

/// The guest's words, fit for a terminal and a log: one line, nothing that steers
/// a terminal, and none of the values, whatever the guest echoes.
pub(crate) fn presentable(bytes: &[u8], set: Option<&SecretSet>) -> String {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    if let Some(set) = set {
        for name in SecretName::ALL {
            text = text.replace(set.get(name).expose(), "[redacted]");
        }
    }
    let text: String = text
        .chars()
        .map(|c| if printable::is_harmless(c) { c } else { ' ' })
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
        let shown = presentable(format!("bad\n\x1b[31m value {ssk}!").as_bytes(), Some(&set));
        assert_eq!(shown, "bad [31m value [redacted]!");
    }

    #[test]
    fn a_clock_is_good_or_off_or_fails_the_start() {
        let judge = |ms: i128| {
            let nanoseconds = ms * 1_000_000;
            Off { nanoseconds }.judge()
        };
        assert!(matches!((judge(99), judge(-99)), (Ok(None), Ok(None))));
        assert!(matches!(judge(100), Ok(Some(100))));
        assert!(matches!(judge(-4999), Ok(Some(-4999))));
        assert!(judge(5000).is_err() && judge(i128::from(i64::MAX)).is_err());
    }

    #[test]
    fn times_differ_both_ways() {
        let now = SystemTime::now();
        let later = now + Duration::from_millis(5);
        assert_eq!(difference_ns(later, now), 5_000_000);
        assert_eq!(difference_ns(now, later), -5_000_000);
    }
}
