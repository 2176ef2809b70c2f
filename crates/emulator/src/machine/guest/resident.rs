//! The host's end of the rotation port: a conversation with a process that
//! already runs in the guest, one line a question, one line an answer.
//!
//! The guest agent has to start a program for whatever it is asked, and under
//! software emulation a program start is 50 to 150 ms of translating code. An
//! image whose manifest says `rotation_port` has a process of its own there,
//! which was waiting when the snapshot was taken. `guest/PAYLOAD.md` describes
//! the protocol. Everything received is the guest's word: bounded in length and
//! time, and never shown unredacted.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use qemu::qmp::framer::{Frame, LineFramer};
use secrets::SecretSet;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{Off, Resumed, difference_ns, presentable};

/// The longest answer, in bytes: an explanation of 500 characters.
const LONGEST_ANSWER: usize = 4096;
/// How far the clock may be off before it is moved once more.
const CLOSE_ENOUGH_NS: u128 = 5_000_000;
/// How a request is refused that the guest does not know, as a program refuses its arguments.
const NOT_UNDERSTOOD: u8 = 2;
/// One question that should take milliseconds, on a very busy machine.
const QUESTION_LIMIT: Duration = Duration::from_secs(20);

/// What went wrong on the rotation port.
#[derive(Debug, thiserror::Error)]
pub enum ResidentError {
    /// The socket could not be connected to.
    #[error("cannot connect to the rotation port {}", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The connection broke.
    #[error("the rotation port broke off")]
    Broken(#[source] std::io::Error),
    /// QEMU closed its end.
    #[error("the rotation port was closed")]
    Closed,
    /// No answer came.
    #[error("nothing answered on the rotation port within {} s", limit.as_secs())]
    Silent {
        /// How long it was given.
        limit: Duration,
    },
    /// An answer came that cannot be understood.
    #[error("the answer to `{question}` on the rotation port makes no sense")]
    Garbled {
        /// What was asked.
        question: &'static str,
    },
    /// The question was understood and refused.
    #[error("the guest could not do `{question}` (exit code {code}): {reason}")]
    Refused {
        /// What was asked.
        question: &'static str,
        /// As a program would have exited.
        code: u8,
        /// Why, without any value.
        reason: String,
    },
}

/// What the guest's clock showed, and when that was asked and answered.
struct Reading {
    asked: SystemTime,
    guest_ns: i128,
    answered: SystemTime,
}

impl Reading {
    /// Guest minus host. The guest read its clock somewhere between question
    /// and answer, so this is wrong by up to half of what that took.
    fn off_ns(&self) -> i128 {
        let host_ns = difference_ns(self.asked, SystemTime::UNIX_EPOCH);
        let middle = difference_ns(self.answered, self.asked) / 2;
        self.guest_ns - host_ns - middle
    }
}

/// The process in the guest.
pub(crate) struct Resident {
    socket: UnixStream,
    framer: LineFramer,
    received: Vec<u8>,
    word: String,
    reading: Reading,
}

impl Resident {
    /// Connects and says hello, and gives a guest that is `resumed` its seed.
    /// The answers come when the guest runs: [`Self::answered`] and then
    /// [`Self::reseeded`] wait for them.
    ///
    /// Connect before the guest is let run: it then finds a port that is open
    /// and has something to read.
    pub(crate) async fn greet(
        path: &Path,
        resumed: Option<&Resumed>,
    ) -> Result<Self, ResidentError> {
        let socket = UnixStream::connect(path)
            .await
            .map_err(|source| ResidentError::Connect {
                path: path.to_owned(),
                source,
            })?;
        let asked = SystemTime::now();
        let since = asked
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        // Tells this conversation from one that was broken off.
        let word = format!("{:x}p{:x}", since.as_nanos(), std::process::id());
        let mut resident = Self {
            socket,
            framer: LineFramer::new(LONGEST_ANSWER),
            received: Vec::new(),
            reading: Reading {
                asked,
                guest_ns: 0,
                answered: asked,
            },
            word,
        };
        // The empty line ends one that an earlier host left unfinished.
        let hello = format!("\nhello {}\n", resident.word);
        let mut request = zeroize::Zeroizing::new(Vec::with_capacity(hello.len() + 80));
        request.extend_from_slice(hello.as_bytes());
        if let Some(resumed) = resumed {
            // In one piece with the greeting: the guest need not be asked twice.
            for part in ["reseed ", resumed.seed(), "\n"] {
                request.extend_from_slice(part.as_bytes());
            }
        }
        resident.send(&request).await?;
        Ok(resident)
    }

    /// Waits for the answer to the greeting; what else comes before it was
    /// meant for an earlier host.
    pub(crate) async fn answered(&mut self, limit: Duration) -> Result<(), ResidentError> {
        let begins = format!("hello {} ", self.word);
        let answer = async {
            loop {
                let line = self.receive("hello").await?;
                if let Some(time) = line.strip_prefix(&begins) {
                    return Ok(time.to_owned());
                }
            }
        };
        let time = timeout(limit, answer)
            .await
            .map_err(|_| ResidentError::Silent { limit })??;
        self.reading.guest_ns = number("hello", &time)?;
        self.reading.answered = SystemTime::now();
        Ok(())
    }

    /// Waits until a guest that was greeted as `resumed` has renewed its random
    /// generator. An image of before this request refuses it, which is no
    /// failure where its kernel is told in another way.
    pub(crate) async fn reseeded(
        &mut self,
        resumed: &Resumed,
        limit: Duration,
    ) -> Result<(), ResidentError> {
        let question = "reseed";
        let answer = timeout(limit, self.receive(question))
            .await
            .map_err(|_| ResidentError::Silent { limit })??;
        match understood(question, answer, None) {
            Ok(answer) if answer == "ok" => Ok(()),
            Ok(_) => Err(ResidentError::Garbled { question }),
            Err(ResidentError::Refused { code, .. })
                if code == NOT_UNDERSTOOD && resumed.renews_by_itself() =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Moves the guest's clock to the host's, and says how far off it then is.
    ///
    /// By how much, not to what time: how long the way into the guest takes
    /// makes no difference then, only how much longer than the way back.
    pub(crate) async fn set_clock(&mut self) -> Result<Off, ResidentError> {
        for _ in 0..4 {
            let off_ns = self.reading.off_ns();
            if off_ns.unsigned_abs() < CLOSE_ENOUGH_NS {
                break;
            }
            let by =
                i64::try_from(-off_ns).map_err(|_| ResidentError::Garbled { question: "hello" })?;
            self.reading.asked = SystemTime::now();
            let answer = self
                .ask(
                    "shift",
                    format!("shift {by}\n").as_bytes(),
                    QUESTION_LIMIT,
                    None,
                )
                .await?;
            self.reading.answered = SystemTime::now();
            let time = answer
                .strip_prefix("time ")
                .ok_or(ResidentError::Garbled { question: "shift" })?;
            self.reading.guest_ns = number("shift", time)?;
        }
        Ok(Off {
            nanoseconds: self.reading.off_ns(),
        })
    }

    /// Has the secrets replaced by `set`.
    pub(crate) async fn rotate(
        &mut self,
        set: &SecretSet,
        limit: Duration,
    ) -> Result<(), ResidentError> {
        let input = set.to_rotation_input();
        let mut request = zeroize::Zeroizing::new(Vec::with_capacity(input.len() + 16));
        request.extend_from_slice(b"rotate\n");
        request.extend_from_slice(&input);
        request.extend_from_slice(b"end\n");
        self.ask_for_ok("rotate", &request, limit, Some(set)).await
    }

    /// Tells the guest by which port of the host users reach `service`; whether it has heard of it.
    /// Images of before this request refuse it, and so may those that can do nothing about it.
    pub(crate) async fn move_port(
        &mut self,
        service: &str,
        port: u16,
    ) -> Result<bool, ResidentError> {
        let request = format!("port {service} {port}\n");
        match self
            .ask_for_ok("port", request.as_bytes(), QUESTION_LIMIT, None)
            .await
        {
            Ok(()) => Ok(true),
            Err(ResidentError::Refused { reason, .. }) => {
                tracing::debug!(
                    service,
                    reason,
                    "the guest keeps to the port that it was told"
                );
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Has the guest write its caches to its disk.
    pub(crate) async fn sync_disk(&mut self, limit: Duration) -> Result<(), ResidentError> {
        self.ask_for_ok("sync", b"sync\n", limit, None).await
    }

    async fn ask_for_ok(
        &mut self,
        question: &'static str,
        request: &[u8],
        limit: Duration,
        secrets: Option<&SecretSet>,
    ) -> Result<(), ResidentError> {
        match self.ask(question, request, limit, secrets).await?.as_str() {
            "ok" => Ok(()),
            _ => Err(ResidentError::Garbled { question }),
        }
    }

    /// Asks and takes one line; a refusal is an error, with nothing of
    /// `secrets` in it.
    async fn ask(
        &mut self,
        question: &'static str,
        request: &[u8],
        limit: Duration,
        secrets: Option<&SecretSet>,
    ) -> Result<String, ResidentError> {
        let exchange = async {
            self.send(request).await?;
            self.receive(question).await
        };
        let answer = timeout(limit, exchange)
            .await
            .map_err(|_| ResidentError::Silent { limit })??;
        understood(question, answer, secrets)
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), ResidentError> {
        self.socket
            .write_all(bytes)
            .await
            .map_err(ResidentError::Broken)
    }

    async fn receive(&mut self, question: &'static str) -> Result<String, ResidentError> {
        loop {
            let mut rest = self.received.as_slice();
            let frame = self.framer.next_frame(&mut rest);
            let taken = self.received.len() - rest.len();
            self.received.drain(..taken);
            match frame {
                Some(Frame::Line(line)) => {
                    return String::from_utf8(line)
                        .map_err(|_| ResidentError::Garbled { question });
                }
                Some(Frame::TooLong | Frame::Sentinel) => {
                    return Err(ResidentError::Garbled { question });
                }
                None => {}
            }
            self.received.reserve(LONGEST_ANSWER);
            let length = self
                .socket
                .read_buf(&mut self.received)
                .await
                .map_err(ResidentError::Broken)?;
            if length == 0 {
                return Err(ResidentError::Closed);
            }
        }
    }
}

/// The answer to `question`; a refusal is an error, with nothing of `secrets` in it.
fn understood(
    question: &'static str,
    answer: String,
    secrets: Option<&SecretSet>,
) -> Result<String, ResidentError> {
    let Some(failure) = answer.strip_prefix("failed ") else {
        return Ok(answer);
    };
    let (code, reason) = failure.split_once(' ').unwrap_or((failure, ""));
    Err(ResidentError::Refused {
        question,
        code: code
            .parse()
            .map_err(|_| ResidentError::Garbled { question })?,
        reason: presentable(reason.as_bytes(), secrets),
    })
}

fn number(question: &'static str, text: &str) -> Result<i128, ResidentError> {
    text.parse()
        .map_err(|_| ResidentError::Garbled { question })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt as _, BufReader};
    use tokio::net::UnixListener;

    use super::*;
    use progress::{Silent, Stopwatch};

    /// A guest that answers each line with what `answer` makes of it.
    async fn guest(
        answer: impl Fn(&str) -> Option<String> + Send + 'static,
    ) -> Result<Resident, ResidentError> {
        greeted(None, answer).await
    }

    /// The same, and it was resumed.
    async fn greeted(
        resumed: Option<&Resumed>,
        answer: impl Fn(&str) -> Option<String> + Send + 'static,
    ) -> Result<Resident, ResidentError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("port");
        let listener = UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            let _dir = dir;
            let (socket, _) = listener.accept().await.unwrap();
            let (read, mut write) = socket.into_split();
            let mut lines = BufReader::new(read).lines();
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some(text) = answer(&line).filter(|_| !line.is_empty()) {
                    write.write_all(text.as_bytes()).await.unwrap();
                }
            }
        });
        let limit = Duration::from_secs(10);
        let mut resident = Resident::greet(&path, resumed).await?;
        resident.answered(limit).await?;
        if let Some(resumed) = resumed {
            resident.reseeded(resumed, limit).await?;
        }
        Ok(resident)
    }

    fn hello(line: &str, time: i128) -> Option<String> {
        line.strip_prefix("hello ")
            .map(|word| format!("hello {word} {time}\n"))
    }

    fn unix_ns() -> i128 {
        difference_ns(SystemTime::now(), SystemTime::UNIX_EPOCH)
    }

    #[tokio::test]
    async fn a_clock_of_long_ago_is_moved_to_now() {
        use std::sync::atomic::{AtomicI64, Ordering};
        const HOUR_NS: i64 = 3_600_000_000_000;
        let behind = AtomicI64::new(HOUR_NS);
        let mut resident = guest(move |line| {
            let by = line.strip_prefix("shift ");
            behind.fetch_sub(by.map_or(0, |by| by.parse().unwrap()), Ordering::SeqCst);
            let shown = unix_ns() - i128::from(behind.load(Ordering::SeqCst));
            hello(line, shown).or_else(|| by.map(|_| format!("time {shown}\n")))
        })
        .await
        .unwrap();
        assert!(resident.reading.off_ns() < i128::from(-HOUR_NS / 2));
        let off = resident.set_clock().await.unwrap();
        assert!(off.nanoseconds.abs() < i128::from(HOUR_NS / 60), "{off:?}");
    }

    #[tokio::test]
    async fn a_clock_that_could_not_be_set_at_first_is_set_later() {
        use std::sync::atomic::{AtomicI64, Ordering};
        const SECOND_NS: i64 = 1_000_000_000;
        let asked = AtomicI64::new(0);
        let resident = guest(move |line| {
            let by = line.strip_prefix("shift ");
            let before = asked.fetch_add(i64::from(!line.is_empty()), Ordering::SeqCst);
            // As often as one setting tries: too busy to do it.
            let late = if before <= 4 { SECOND_NS } else { 0 };
            let shown = unix_ns() - i128::from(late);
            hello(line, shown).or_else(|| by.map(|_| format!("time {shown}\n")))
        });
        let mut guest = crate::machine::guest::Guest::Resident(resident.await.unwrap());
        let first = guest.set_clock().await.unwrap();
        assert!(first.is_some_and(|off_ms| off_ms < -500), "{first:?}");
        let mut watch = Stopwatch::new(&Silent);
        let settle = crate::machine::bring_up::settle_clock(&mut guest, first, &mut watch);
        assert_eq!(settle.await.unwrap(), None);
        // A clock that was good is not asked for again.
        let settle = crate::machine::bring_up::settle_clock(&mut guest, None, &mut watch);
        assert_eq!(settle.await.unwrap(), None);
        assert_eq!(watch.times().len(), 1);
    }

    #[tokio::test]
    async fn what_an_earlier_host_was_answered_is_skipped() {
        let mut resident = guest(|line| {
            hello(line, unix_ns())
                .map(|answer| format!("ok\nhello other 1\n{answer}"))
                .or_else(|| (line == "sync").then(|| "ok\n".into()))
        })
        .await
        .unwrap();
        resident.sync_disk(Duration::from_secs(10)).await.unwrap();
    }

    #[tokio::test]
    async fn a_resumed_guest_gets_the_seed_with_the_greeting() {
        let resumed = Resumed::new(false).unwrap();
        let expected = format!("reseed {}", resumed.seed());
        let took = move |line: &str| (line == expected).then(|| "ok\n".to_owned());
        let resident = greeted(Some(&resumed), move |line| {
            hello(line, unix_ns()).or_else(|| took(line))
        });
        let mut resident = resident.await.unwrap();
        // The next answer is that of the next question.
        let limit = Duration::from_millis(200);
        let error = resident.sync_disk(limit).await.unwrap_err();
        assert!(matches!(error, ResidentError::Silent { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_guest_that_cannot_reseed_fails_unless_its_kernel_is_told_otherwise() {
        const UNKNOWN: &str = "failed 2 the request is none of hello, shift, rotate and sync\n";
        const NOT_PERMITTED: &str = "failed 3 the generator: Operation not permitted\n";
        for (has_generation_id, answer, works) in [
            (true, UNKNOWN, true),
            (false, UNKNOWN, false),
            (true, NOT_PERMITTED, false),
            (false, NOT_PERMITTED, false),
            (true, "maybe\n", false),
        ] {
            let resumed = Resumed::new(has_generation_id).unwrap();
            let resident = greeted(Some(&resumed), move |line| {
                hello(line, unix_ns()).or_else(|| Some(answer.to_owned()))
            });
            let error = resident.await.err().map(|error| error.to_string());
            assert_eq!(
                error.is_none(),
                works,
                "{has_generation_id}, {answer}: {error:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_refusal_is_told_without_the_values() {
        let set = SecretSet::generate().unwrap();
        let ssk = set.get(secrets::SecretName::Ssk).expose().to_owned();
        let mut resident = guest(move |line| {
            hello(line, unix_ns())
                .or_else(|| (line == "end").then(|| format!("failed 3 no {ssk}\n")))
        })
        .await
        .unwrap();
        let error = resident
            .rotate(&set, Duration::from_secs(10))
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "the guest could not do `rotate` (exit code 3): no [redacted]"
        );
    }

    #[tokio::test]
    async fn a_guest_that_cannot_move_a_port_is_no_failure() {
        let mut resident = guest(|line| {
            let moved = line.strip_prefix("port ").map(|moved| match moved {
                "backend 26721" => "ok\n".to_owned(),
                _ => "failed 2 the request is none of hello, shift, rotate and sync\n".to_owned(),
            });
            hello(line, unix_ns()).or(moved)
        })
        .await
        .unwrap();
        assert!(resident.move_port("backend", 26721).await.unwrap());
        assert!(!resident.move_port("dashboard", 26720).await.unwrap());
    }

    #[tokio::test]
    async fn silence_garbage_and_a_gigabyte_are_errors() {
        let limit = Duration::from_millis(200);
        let mut silent = guest(|line| hello(line, unix_ns())).await.unwrap();
        let error = silent.sync_disk(limit).await.unwrap_err();
        assert!(matches!(error, ResidentError::Silent { .. }), "{error}");

        for text in ["maybe\n", "\u{0}\u{1}\n", "failed x\n", "time\n"] {
            let mut garbled = guest(move |line| hello(line, unix_ns()).or(Some(text.into())))
                .await
                .unwrap();
            let error = garbled
                .sync_disk(Duration::from_secs(10))
                .await
                .unwrap_err();
            assert!(matches!(error, ResidentError::Garbled { .. }), "{error}");
        }

        let mut endless = guest(|line| hello(line, unix_ns()).or(Some("x".repeat(1 << 24))))
            .await
            .unwrap();
        let error = endless
            .sync_disk(Duration::from_secs(10))
            .await
            .unwrap_err();
        assert!(matches!(error, ResidentError::Garbled { .. }), "{error}");
    }

    #[test]
    fn half_of_the_way_is_taken_off() {
        let asked = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let reading = Reading {
            asked,
            answered: asked + Duration::from_millis(80),
            guest_ns: 1_000_000_000_000,
        };
        assert_eq!(reading.off_ns(), -40_000_000);
    }
}
