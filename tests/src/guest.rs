//! A guest agent client that is not the one under test.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::sockets;

fn send(stream: &mut BufReader<UnixStream>, request: &Value) {
    stream
        .get_mut()
        .write_all(format!("{request}\n").as_bytes())
        .expect("the agent listens");
}

fn receive(stream: &mut BufReader<UnixStream>) -> Value {
    let mut line = Vec::new();
    stream
        .read_until(b'\n', &mut line)
        .expect("the agent answers");
    let start = line
        .iter()
        .rposition(|byte| *byte == 0xff)
        .map_or(0, |at| at + 1);
    serde_json::from_slice(&line[start..])
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&line)))
}

fn call(stream: &mut BufReader<UnixStream>, request: &Value) -> Value {
    send(stream, request);
    let answer = receive(stream);
    assert!(answer.get("error").is_none(), "{request}: {answer}");
    answer["return"].clone()
}

/// Gets rid of what an earlier client left in either direction.
fn synchronize(stream: &mut BufReader<UnixStream>) {
    const ID: u64 = 77;
    // The byte makes the agent drop half a request, and complain of it.
    stream
        .get_mut()
        .write_all(b"\xff")
        .expect("the agent listens");
    send(
        stream,
        &json!({"execute": "guest-sync-delimited", "arguments": {"id": ID}}),
    );
    while receive(stream)["return"] != ID {}
}

fn connect(socket: &Path, patience: Duration) -> BufReader<UnixStream> {
    let stream = sockets::connect(socket).expect("the agent's socket is there");
    stream
        .set_read_timeout(Some(patience))
        .expect("a time limit");
    BufReader::new(stream)
}

/// How far the guest's clock is from the host's, and how well that is known.
#[derive(Clone, Copy, Debug)]
pub struct ClockOff {
    /// Guest minus host, in nanoseconds.
    pub nanoseconds: i128,
    /// What that may be wrong by.
    pub uncertainty: i128,
}

impl ClockOff {
    /// Whether it can be no more than `limit_ms` off.
    pub fn is_within(self, limit_ms: i128) -> bool {
        self.nanoseconds.abs() <= limit_ms * 1_000_000 + self.uncertainty
    }
}

/// Compares the clocks, by the shortest of several questions: the guest has read its clock somewhere
/// between question and answer.
pub fn clock_off(socket: &Path) -> ClockOff {
    let host = || {
        let since = SystemTime::UNIX_EPOCH.elapsed().expect("it is after 1970");
        i128::try_from(since.as_nanos()).expect("not that late")
    };
    let mut stream = connect(socket, Duration::from_secs(60));
    synchronize(&mut stream);
    let readings = (0..20).map(|_| {
        let asked = host();
        let shown = call(&mut stream, &json!({"execute": "guest-get-time"}));
        let answered = host();
        let shown = i128::from(shown.as_i64().expect("nanoseconds"));
        ClockOff {
            nanoseconds: shown - i128::midpoint(asked, answered),
            uncertainty: (answered - asked) / 2,
        }
    });
    readings
        .min_by_key(|reading| reading.uncertainty)
        .expect("it was asked")
}

/// Whether the agent answers at all within `patience`.
pub fn answers(socket: &Path, patience: Duration) -> bool {
    let mut stream = connect(socket, patience);
    let request = json!({"execute": "guest-sync-delimited", "arguments": {"id": 78}});
    send(&mut stream, &request);
    matches!(stream.read_until(b'\n', &mut Vec::new()), Ok(1..))
}

/// Runs a program and returns its exit code and standard output.
pub fn exec(socket: &Path, program: &str, arguments: &[&str]) -> (i64, String) {
    exec_within(socket, program, arguments, Duration::from_secs(60))
}

/// The same in a guest that is booting.
pub fn exec_when_up(socket: &Path, program: &str, arguments: &[&str]) -> (i64, String) {
    exec_within(socket, program, arguments, Duration::from_secs(300))
}

fn exec_within(
    socket: &Path,
    program: &str,
    arguments: &[&str],
    patience: Duration,
) -> (i64, String) {
    let mut stream = connect(socket, patience);
    synchronize(&mut stream);
    let arguments = json!({"path": program, "arg": arguments, "capture-output": true});
    let started = call(
        &mut stream,
        &json!({"execute": "guest-exec", "arguments": arguments}),
    );
    let pid = &started["pid"];
    loop {
        let status = call(
            &mut stream,
            &json!({"execute": "guest-exec-status", "arguments": {"pid": pid}}),
        );
        if status["exited"] == true {
            let out = status["out-data"].as_str().map(decode).unwrap_or_default();
            return (status["exitcode"].as_i64().unwrap_or(-1), out);
        }
        // The agent sends no event for the end of a program.
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Base 64 to text.
fn decode(text: &str) -> String {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let (mut bits, mut count, mut out) = (0u32, 0, Vec::new());
    for sextet in text.bytes().filter_map(value) {
        bits = bits << 6 | u32::from(sextet);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count & 0xff) as u8);
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
