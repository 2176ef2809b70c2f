//! The three kinds of message QEMU sends: greeting, event, answer.

use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::version::Version;

/// What QEMU says first on a monitor connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// QEMU's version.
    pub version: Version,
    /// The packager's suffix, such as `Debian 1:10.0.2+ds-2`; may be empty.
    pub package: String,
}

/// An event, known to us or not.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// QEMU's name for it, such as `MIGRATION`.
    pub name: String,
    /// Its data; `Null` where the event carries none.
    pub data: Value,
    /// When it happened by the host's clock, if QEMU could tell.
    pub timestamp: Option<SystemTime>,
}

/// A command's answer, still undecoded: its type is known only to the one that asked.
#[derive(Debug)]
pub(crate) enum Answer {
    Return(Box<RawValue>),
    Error { class: String, desc: String },
}

/// A classified line.
#[derive(Debug)]
pub(crate) enum Message {
    Greeting(Greeting),
    Event(Event),
    Answer { id: Option<u64>, answer: Answer },
}

#[derive(Deserialize)]
struct WireVersion {
    qemu: Version,
    #[serde(default)]
    package: String,
}

#[derive(Deserialize)]
struct WireGreeting {
    version: WireVersion,
}

#[derive(Deserialize)]
struct WireError {
    #[serde(default)]
    class: String,
    #[serde(default)]
    desc: String,
}

#[derive(Deserialize)]
struct WireTimestamp {
    // QEMU sends -1 in both when it cannot read the clock.
    seconds: i64,
    microseconds: i64,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(rename = "QMP")]
    greeting: Option<WireGreeting>,
    event: Option<String>,
    #[serde(default)]
    data: Value,
    timestamp: Option<WireTimestamp>,
    #[serde(rename = "return", borrow)]
    result: Option<&'a RawValue>,
    error: Option<WireError>,
    #[serde(default)]
    id: Value,
}

impl Message {
    /// Classifies one line; the error says what is wrong with it.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, String> {
        let wire: Wire<'_> = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        if let Some(greeting) = wire.greeting {
            return Ok(Self::Greeting(Greeting {
                version: greeting.version.qemu,
                package: greeting.version.package.trim().to_owned(),
            }));
        }
        if let Some(name) = wire.event {
            return Ok(Self::Event(Event {
                name,
                data: wire.data,
                timestamp: wire.timestamp.and_then(|stamp| stamp.to_system_time()),
            }));
        }
        let id = wire.id.as_u64();
        if let Some(WireError { class, desc }) = wire.error {
            let answer = Answer::Error { class, desc };
            return Ok(Self::Answer { id, answer });
        }
        if let Some(result) = wire.result {
            let answer = Answer::Return(result.to_owned());
            return Ok(Self::Answer { id, answer });
        }
        Err("neither greeting, event, return nor error".to_owned())
    }
}

impl WireTimestamp {
    fn to_system_time(&self) -> Option<SystemTime> {
        let seconds = Duration::from_secs(u64::try_from(self.seconds).ok()?);
        let micros = Duration::from_micros(u64::try_from(self.microseconds).ok()?);
        SystemTime::UNIX_EPOCH
            .checked_add(seconds)?
            .checked_add(micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greeting_of_a_packaged_qemu() {
        let line = br#"{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}, "package": " (Debian 1:10.0.2)"}, "capabilities": ["oob"]}}"#;
        let Ok(Message::Greeting(greeting)) = Message::parse(line) else {
            panic!("not a greeting");
        };
        assert_eq!(greeting.version, Version::new(10, 0, 2));
        assert_eq!(greeting.package, "(Debian 1:10.0.2)");
    }

    #[test]
    fn events_without_data_or_clock() {
        let line = br#"{"event": "NEW_IN_12", "timestamp": {"seconds": -1, "microseconds": -1}}"#;
        let Ok(Message::Event(event)) = Message::parse(line) else {
            panic!("not an event");
        };
        assert_eq!(event.name, "NEW_IN_12");
        assert_eq!(event.data, Value::Null);
        assert_eq!(event.timestamp, None);
    }

    #[test]
    fn a_return_of_null_is_still_an_answer() {
        let Ok(Message::Answer {
            id: Some(7),
            answer: Answer::Return(raw),
        }) = Message::parse(br#"{"return": {}, "id": 7}"#)
        else {
            panic!("not an answer");
        };
        assert_eq!(raw.get(), "{}");
    }

    #[test]
    fn anything_else_is_refused() {
        for line in [
            &b"[]"[..],
            b"{}",
            b"{\"id\": 1}",
            b"\xff",
            b"{\"event\": 3}",
            b"null",
        ] {
            assert!(Message::parse(line).is_err(), "{line:?}");
        }
    }
}
