//! The guest agent's client against a scripted guest, honest or not.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use qemu::agent::Outcome;
use qemu::{AgentError, Exec, GuestAgent};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

const LIMIT: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_millis(50);
const SECRET: &[u8] = b"NAME=0123456789abcdef0123456789abcdef\n";

/// The guest's end of the port.
struct Guest {
    socket: UnixStream,
    received: Vec<u8>,
}

impl Guest {
    fn new() -> (GuestAgent, Self) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let guest = Self {
            socket: theirs,
            received: Vec::new(),
        };
        (GuestAgent::over(ours), guest)
    }

    async fn say(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.unwrap();
    }

    async fn json(&mut self, value: &Value) {
        self.say(format!("{value}\n").as_bytes()).await;
    }

    /// The next request, parsed as the real agent does: 0xFF starts afresh.
    async fn request(&mut self) -> Value {
        loop {
            if let Some(end) = self.received.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                let start = line
                    .iter()
                    .rposition(|&byte| byte == 0xff)
                    .map_or(0, |at| at + 1);
                return serde_json::from_slice(&line[start..]).unwrap();
            }
            let count = self.socket.read_buf(&mut self.received).await.unwrap();
            assert!(count > 0, "the client hung up");
        }
    }

    /// Answers a sync request, and returns its id.
    async fn sync(&mut self) -> Value {
        let request = self.request().await;
        assert_eq!(request["execute"], "guest-sync-delimited");
        let id = request["arguments"]["id"].clone();
        self.say(b"\xff").await;
        self.json(&json!({ "return": id })).await;
        id
    }

    async fn expect(&mut self, command: &str, answer: &Value) -> Value {
        let request = self.request().await;
        assert_eq!(request["execute"], command);
        self.json(answer).await;
        request["arguments"].clone()
    }
}

fn ok() -> Value {
    json!({ "return": {} })
}

fn exec(capture: bool) -> Exec<'static> {
    Exec {
        path: "/usr/local/bin/trigger-fast-rotate",
        args: &["--now"],
        input: Some(SECRET),
        capture,
        output_limit: 1000,
    }
}

#[tokio::test]
async fn whatever_was_left_behind_is_passed_over() {
    let (mut agent, mut guest) = Guest::new();
    // An answer to somebody else, half a line, a line of 100 kB, and an old sync answer.
    guest.json(&json!({"return": {"pid": 7}})).await;
    guest
        .say(b"{\"return\": [1, 2, \xff{\"return\": 1}\n")
        .await;
    guest.say(&vec![b'x'; 100_000]).await;
    let script = async {
        guest.sync().await;
        guest.expect("guest-ping", &ok()).await;
    };
    let ((), pinged) = tokio::join!(script, agent.ping(LIMIT));
    pinged.unwrap();
}

#[tokio::test]
async fn a_call_that_was_given_up_does_not_disturb_the_next() {
    let (mut agent, mut guest) = Guest::new();
    let ((), synced) = tokio::join!(async { drop(guest.sync().await) }, agent.sync(LIMIT));
    synced.unwrap();
    let error = agent.ping(SOON).await.unwrap_err();
    assert!(
        matches!(
            error,
            AgentError::Timeout {
                command: "guest-ping",
                ..
            }
        ),
        "{error}"
    );
    assert!(
        tokio::time::timeout(SOON, agent.get_time(LIMIT))
            .await
            .is_err()
    );

    let script = async {
        // Late answers to both, of the wrong type for the next call.
        guest.expect("guest-ping", &json!({"return": "late"})).await;
        let mut syncs = 0;
        loop {
            let request = guest.request().await;
            let id = request["arguments"]["id"].clone();
            match request["execute"].as_str().unwrap() {
                "guest-sync-delimited" => {
                    syncs += 1;
                    guest.say(b"\xff").await;
                    guest.json(&json!({ "return": id })).await;
                }
                "guest-get-time" => break,
                other => panic!("{other}"),
            }
        }
        assert!(syncs >= 1);
        guest
            .json(&json!({"return": 1_700_000_000_000_000_005_i64}))
            .await;
    };
    let ((), time) = tokio::join!(script, agent.get_time(LIMIT));
    let expected = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_700_000_000_000_000_005);
    assert_eq!(time.unwrap(), expected);
}

#[tokio::test]
async fn a_lost_sync_request_is_sent_again() {
    let (mut agent, mut guest) = Guest::new();
    let script = async {
        guest.request().await; // and no answer
        guest.sync().await
    };
    let (id, synced) = tokio::join!(script, agent.sync(LIMIT));
    synced.unwrap();
    assert!(id.is_i64());
}

#[tokio::test]
async fn silence_ends_in_time() {
    let (mut agent, _guest) = Guest::new();
    let error = agent.sync(SOON).await.unwrap_err();
    assert!(
        matches!(error, AgentError::Timeout { command: "guest-sync-delimited", limit } if limit == SOON),
        "{error}"
    );
    let (mut agent, guest) = Guest::new();
    drop(guest);
    let error = agent.ping(LIMIT).await.unwrap_err();
    assert!(
        matches!(error, AgentError::Closed { .. } | AgentError::Io { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn the_clock_is_moved_by_how_far_it_is_off() {
    let (mut agent, mut guest) = Guest::new();
    let (time, nanos) = (
        SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000),
        2_000_000_000_000_000_i64,
    );
    let (_, synced) = tokio::join!(guest.sync(), agent.sync(LIMIT));
    synced.unwrap();
    let pid = json!({"return": {"pid": 1}});
    let exited = |code: i64| json!({"return": {"exited": true, "exitcode": code}});
    for (shown, lowest, highest) in [
        // A day and a half behind, and an hour ahead: more or less the way to the guest and back.
        (nanos - 129_600_000_000_000, 129_600.0, 129_620.0),
        (nanos + 3_600_000_000_000, -3_600.0, -3_580.0),
    ] {
        let script = async {
            guest
                .expect("guest-get-time", &json!({"return": shown}))
                .await;
            let date = guest.expect("guest-exec", &pid).await;
            guest.expect("guest-exec-status", &exited(0)).await;
            date
        };
        let (date, set) = tokio::join!(script, agent.set_time(time, LIMIT));
        set.unwrap();
        assert_eq!(date["path"], "date");
        assert_eq!(date["arg"][0], "-s");
        let move_by = date["arg"][1].as_str().unwrap();
        let seconds = move_by
            .strip_prefix("now ")
            .unwrap()
            .strip_suffix(" seconds")
            .unwrap();
        let seconds: f64 = seconds.parse().unwrap();
        assert!((lowest..highest).contains(&seconds), "{move_by}");
    }

    // A guest without a `date`, or with a poor one, has its agent do it.
    let refused = json!({"error": {"class": "GenericError", "desc": "No such file"}});
    for answers in [vec![refused], vec![pid, exited(1)]] {
        let script = async {
            guest.expect("guest-get-time", &json!({"return": 5})).await;
            for answer in &answers {
                let request = guest.request().await;
                assert!(
                    request["execute"]
                        .as_str()
                        .unwrap()
                        .starts_with("guest-exec")
                );
                guest.json(answer).await;
            }
            guest.expect("guest-set-time", &ok()).await
        };
        let (arguments, set) = tokio::join!(script, agent.set_time(time, LIMIT));
        set.unwrap();
        // The time that was lost on the way is made up for.
        let late = arguments["time"].as_i64().unwrap() - nanos;
        assert!((1..20_000_000_000).contains(&late), "{late}");
    }

    let long_ago = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    let error = agent.set_time(long_ago, LIMIT).await.unwrap_err();
    assert!(matches!(error, AgentError::TimeOutOfRange), "{error}");
}

#[tokio::test]
async fn a_program_gets_its_input_and_gives_its_output() {
    let (mut agent, mut guest) = Guest::new();
    let script = async {
        guest.sync().await;
        let arguments = guest
            .expect("guest-exec", &json!({"return": {"pid": 42}}))
            .await;
        assert_eq!(arguments["path"], "/usr/local/bin/trigger-fast-rotate");
        assert_eq!(arguments["arg"], json!(["--now"]));
        assert_eq!(arguments["capture-output"], true);
        let input = BASE64_STANDARD
            .decode(arguments["input-data"].as_str().unwrap())
            .unwrap();
        assert_eq!(input, SECRET);
        for _ in 0..3 {
            let asked = guest
                .expect("guest-exec-status", &json!({"return": {"exited": false}}))
                .await;
            assert_eq!(asked, json!({"pid": 42}));
        }
        let status = json!({"return": {
            "exited": true, "exitcode": 3,
            "out-data": BASE64_STANDARD.encode("o".repeat(1001)),
            "err-data": BASE64_STANDARD.encode("oh"),
        }});
        guest.expect("guest-exec-status", &status).await;
    };
    let ((), result) = tokio::join!(script, agent.exec(exec(true), LIMIT));
    let result = result.unwrap();
    assert_eq!(result.outcome, Outcome::Code(3));
    assert!(!result.success());
    assert_eq!((result.stdout.len(), &*result.stderr), (1000, &b"oh"[..]));
    assert!(result.truncated);
    assert!(!format!("{result:?} {:?}", exec(true)).contains("oh"));
}

#[tokio::test]
async fn signals_and_silence_of_programs_are_told() {
    let (mut agent, mut guest) = Guest::new();
    let script = async {
        guest.sync().await;
        guest
            .expect("guest-exec", &json!({"return": {"pid": 1}}))
            .await;
        let status = json!({"return": {"exited": true, "signal": 9}});
        guest.expect("guest-exec-status", &status).await;
    };
    let ((), result) = tokio::join!(script, agent.exec(exec(false), LIMIT));
    assert_eq!(result.unwrap().outcome, Outcome::Signal(9));

    let script = async {
        guest
            .expect("guest-exec", &json!({"return": {"pid": 2}}))
            .await;
        loop {
            guest
                .expect("guest-exec-status", &json!({"return": {"exited": false}}))
                .await;
        }
    };
    let error = tokio::select! {
        () = script => unreachable!(),
        result = agent.exec(exec(false), Duration::from_millis(300)) => result.unwrap_err(),
    };
    assert!(
        matches!(error, AgentError::StillRunning { pid: 2, .. }),
        "{error}"
    );
}

/// Whether the program goes on or the agent is dead makes a difference to the reader of the error.
#[tokio::test]
async fn a_limit_that_passes_between_question_and_answer_is_the_program_s() {
    for (talking_for, is_still_running) in [(Duration::from_secs(2), true), (Duration::ZERO, false)]
    {
        let (mut agent, mut guest) = Guest::new();
        let begun = tokio::time::Instant::now();
        let script = async {
            guest.sync().await;
            guest
                .expect("guest-exec", &json!({"return": {"pid": 3}}))
                .await;
            while begun.elapsed() < talking_for {
                guest
                    .expect("guest-exec-status", &json!({"return": {"exited": false}}))
                    .await;
            }
            guest.request().await;
            std::future::pending::<()>().await;
        };
        let error = tokio::select! {
            () = script => unreachable!(),
            result = agent.exec(exec(false), Duration::from_secs(3)) => result.unwrap_err(),
        };
        let said = match error {
            AgentError::StillRunning { pid: 3, .. } => true,
            AgentError::Timeout {
                command: "guest-exec-status",
                ..
            } => false,
            other => panic!("{other}"),
        };
        assert_eq!(said, is_still_running);
    }
}

#[tokio::test]
async fn a_gigabyte_is_an_error_and_not_a_memory() {
    let (mut agent, mut guest) = Guest::new();
    let script = async {
        guest.sync().await;
        guest
            .expect("guest-exec", &json!({"return": {"pid": 1}}))
            .await;
        guest.request().await;
        guest
            .say(b"{\"return\": {\"exited\": true, \"out-data\": \"")
            .await;
        let chunk = vec![b'A'; 1 << 20];
        for _ in 0..1 << 10 {
            // The client reads no further than it must.
            if tokio::time::timeout(SOON, guest.socket.write_all(&chunk))
                .await
                .is_err()
            {
                break;
            }
        }
        guest
    };
    let (mut guest, result) = tokio::join!(script, agent.exec(exec(true), LIMIT));
    let error = result.unwrap_err();
    assert!(
        matches!(error, AgentError::AnswerTooLong { command: "guest-exec-status", limit } if limit < 100_000),
        "{error}"
    );
    // And the client finds its way back, past the rest.
    let script = async {
        guest.say(b"AAAA\n").await;
        guest.sync().await;
        guest.expect("guest-ping", &ok()).await;
    };
    let ((), pinged) = tokio::join!(script, agent.ping(LIMIT));
    pinged.unwrap();
}

#[tokio::test]
async fn garbage_is_an_error_and_the_next_call_works() {
    let (mut agent, mut guest) = Guest::new();
    let (_, synced) = tokio::join!(guest.sync(), agent.sync(LIMIT));
    synced.unwrap();
    let bad: [&[u8]; 6] = [
        b"\x00\x01\x02\n",
        b"[]\n",
        b"{}\n",
        b"{\"return\": {\"pid\": \"one\"}}\n",
        b"\xff{\"return\": {\"pid\": 1}}\n",
        b"{\"error\": 7}\n",
    ];
    for (number, garbage) in bad.iter().enumerate() {
        let script = async {
            // The first call is in step already.
            if number > 0 {
                guest.sync().await;
            }
            let request = guest.request().await;
            assert_eq!(request["execute"], "guest-exec");
            guest.say(garbage).await;
        };
        let ((), result) = tokio::join!(script, agent.exec(exec(true), LIMIT));
        let error = result.unwrap_err();
        let expected = matches!(
            error,
            AgentError::Unreadable {
                command: "guest-exec"
            }
        );
        assert!(expected, "{garbage:?}: {error:?}");
    }
}

#[tokio::test]
async fn no_error_holds_the_input() {
    let encoded = BASE64_STANDARD.encode(SECRET);
    let secret = std::str::from_utf8(SECRET).unwrap().trim();
    let answers = [
        json!({"error": {"class": "GenericError", "desc": format!("bad input {encoded}")}}),
        json!({"error": {"class": "GenericError", "desc": format!("bad line {secret}")}}),
        json!({"error": {"class": "GenericError", "desc": "Failed to execute child process"}}),
        json!({"error": {"class": secret, "desc": "x"}}),
        json!({"return": secret}),
        json!({"return": {"pid": encoded}}),
    ];
    for answer in answers {
        let (mut agent, mut guest) = Guest::new();
        let script = async {
            guest.sync().await;
            guest.expect("guest-exec", &answer).await;
        };
        let ((), result) = tokio::join!(script, agent.exec(exec(true), LIMIT));
        let error = result.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("0123456789abcdef"), "{shown}");
        assert!(!shown.contains(&encoded[..16]), "{shown}");
    }
}
