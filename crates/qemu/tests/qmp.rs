//! QMP against a scripted peer that behaves as QEMU does, and as nothing should.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use qemu::qapi_qmp::{cont, query_name, query_status, stop};
use qemu::qmp::{Disconnect, MAX_LINE};
use qemu::{Monitor, Qmp, QmpError, Sockets, Version};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};

const LIMIT: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_millis(50);

/// QEMU's end of a monitor.
struct Peer {
    requests: tokio::io::Lines<BufReader<OwnedReadHalf>>,
    answers: OwnedWriteHalf,
}

impl Peer {
    fn new() -> (UnixStream, Self) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (ours, Self::on(theirs))
    }

    fn on(stream: UnixStream) -> Self {
        let (read, answers) = stream.into_split();
        let requests = BufReader::new(read).lines();
        Self { requests, answers }
    }

    async fn say(&mut self, bytes: &[u8]) {
        self.answers.write_all(bytes).await.unwrap();
    }

    async fn json(&mut self, value: &Value) {
        self.say(format!("{value}\r\n").as_bytes()).await;
    }

    /// The next request's command and id.
    async fn request(&mut self) -> (String, Value) {
        let line = self
            .requests
            .next_line()
            .await
            .unwrap()
            .expect("the client hung up");
        let request: Value = serde_json::from_str(&line).unwrap();
        (
            request["execute"].as_str().unwrap().to_owned(),
            request["id"].clone(),
        )
    }

    async fn greet(&mut self) {
        self.json(&json!({"QMP": {
            "version": {"qemu": {"micro": 2, "minor": 0, "major": 10}, "package": " (of a test)"},
            "capabilities": ["oob", {"unknown": 1}],
        }}))
        .await;
        let (command, id) = self.request().await;
        assert_eq!(command, "qmp_capabilities");
        self.json(&json!({"return": {}, "id": id})).await;
    }
}

/// A connected client, and the peer it is connected to.
async fn connected() -> (Qmp, Peer) {
    let (stream, mut peer) = Peer::new();
    let ((), client) = tokio::join!(peer.greet(), Qmp::connect(stream, LIMIT));
    let (qmp, greeting) = client.unwrap();
    assert_eq!(greeting.version, Version::new(10, 0, 2));
    assert_eq!(greeting.package, "(of a test)");
    (qmp, peer)
}

fn running(id: &Value) -> Value {
    json!({"return": {"status": "running", "running": true}, "id": id})
}

/// The reason a command gives for a connection that ended.
async fn ended(qmp: &Qmp) -> Disconnect {
    match qmp.execute(query_status {}, LIMIT).await {
        Err(QmpError::Disconnected { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn answers_are_told_apart_by_id_and_may_come_in_any_order() {
    let (qmp, mut peer) = connected().await;
    let script = async {
        let (first, first_id) = peer.request().await;
        let (second, second_id) = peer.request().await;
        assert_eq!(
            (first.as_str(), second.as_str()),
            ("query-status", "query-name")
        );
        peer.json(&json!({"return": {"name": "x"}, "id": second_id, "and": "more"}))
            .await;
        // The same again, one that was never asked for, and one that says not whose it is.
        peer.json(&json!({"return": {"name": "y"}, "id": second_id}))
            .await;
        peer.json(&json!({"return": {}, "id": 4711})).await;
        peer.json(&json!({"error": {"class": "GenericError", "desc": "whose?"}}))
            .await;
        peer.json(&running(&first_id)).await;
    };
    let ((), status, name) = tokio::join!(
        script,
        qmp.execute(query_status {}, LIMIT),
        qmp.execute(query_name {}, LIMIT),
    );
    assert!(status.unwrap().running);
    assert_eq!(name.unwrap().name.as_deref(), Some("x"));
}

#[tokio::test]
async fn a_refusal_carries_what_qemu_says() {
    let (qmp, mut peer) = connected().await;
    let script = async {
        let (_, id) = peer.request().await;
        let error = json!({"class": "OfTheFuture", "desc": "not today"});
        peer.json(&json!({"error": error, "id": id})).await;
    };
    let ((), answer) = tokio::join!(script, qmp.execute(cont {}, LIMIT));
    let error = answer.unwrap_err();
    assert_eq!(error.to_string(), "QEMU refused cont: not today");
    assert!(matches!(error, QmpError::Refused { class, .. } if class == "OfTheFuture"));
}

#[tokio::test]
async fn a_command_that_timed_out_or_was_dropped_does_not_break_the_next() {
    let (qmp, mut peer) = connected().await;
    let error = qmp.execute(stop {}, SOON).await.unwrap_err();
    assert!(
        matches!(
            error,
            QmpError::Timeout {
                command: "stop",
                ..
            }
        ),
        "{error}"
    );
    {
        let dropped = qmp.execute(cont {}, LIMIT);
        assert!(tokio::time::timeout(SOON, dropped).await.is_err());
    }
    let script = async {
        let (one, one_id) = peer.request().await;
        let (two, two_id) = peer.request().await;
        let (three, three_id) = peer.request().await;
        assert_eq!([&*one, &*two, &*three], ["stop", "cont", "query-status"]);
        peer.json(&json!({"return": {}, "id": one_id})).await;
        peer.json(&json!({"error": {"class": "GenericError", "desc": "late"}, "id": two_id}))
            .await;
        peer.json(&running(&three_id)).await;
    };
    let ((), status) = tokio::join!(script, qmp.execute(query_status {}, LIMIT));
    assert!(status.unwrap().running);
}

#[tokio::test]
async fn events_of_all_kinds_reach_those_who_subscribed() {
    let (qmp, mut peer) = connected().await;
    let (mut one, mut two) = (qmp.subscribe(), qmp.subscribe());
    let stamp = json!({"seconds": 5, "microseconds": 250_000});
    peer.json(&json!({"event": "STOP", "timestamp": stamp}))
        .await;
    peer.json(&json!({"event": "NEW_IN_12", "data": {"a": [1]}, "timestamp": stamp, "x": 0}))
        .await;
    let first = one.next().await.unwrap();
    let since = first
        .timestamp
        .unwrap()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    assert_eq!(
        (first.name.as_str(), since),
        ("STOP", Duration::from_millis(5250))
    );
    assert_eq!(one.next().await.unwrap().data, json!({"a": [1]}));
    let found = two
        .wait_for("NEW_IN_12", LIMIT, |event| event.name == "NEW_IN_12")
        .await
        .unwrap();
    assert_eq!(found.data, json!({"a": [1]}));
    let error = two.wait_for("RESUME", SOON, |_| true).await.unwrap_err();
    assert!(
        matches!(
            error,
            QmpError::NoEvent {
                event: "RESUME",
                ..
            }
        ),
        "{error}"
    );

    // A reader that falls behind is told so, and then continues with what is left.
    for number in 0..1000 {
        peer.json(&json!({"event": "FLOOD", "data": number})).await;
    }
    // Its answer comes after all the events.
    let script = async {
        let (_, id) = peer.request().await;
        peer.json(&json!({"return": {}, "id": id})).await;
    };
    let ((), answer) = tokio::join!(script, qmp.execute(cont {}, LIMIT));
    answer.unwrap();
    let Err(QmpError::EventsLost { missed }) = one.next().await else {
        panic!("nothing was lost");
    };
    assert_eq!(one.next().await.unwrap().data, json!(missed));
    drop(peer);
    let error = loop {
        if let Err(error) = one.next().await {
            break error;
        }
    };
    assert!(error.is_disconnect(), "{error}");
}

#[tokio::test]
async fn the_end_of_a_connection_reaches_everyone_with_its_reason() {
    let (qmp, mut peer) = connected().await;
    let script = async {
        peer.request().await;
        drop(peer);
    };
    let ((), answer, reason) = tokio::join!(script, qmp.execute(stop {}, LIMIT), qmp.ended());
    assert!(
        matches!(
            answer,
            Err(QmpError::Disconnected {
                command: "stop",
                ..
            })
        ),
        "{answer:?}"
    );
    assert!(matches!(reason, Disconnect::Closed), "{reason:?}");
    // Also one that comes later.
    assert!(matches!(ended(&qmp).await, Disconnect::Closed));
    assert!(qmp.subscribe().next().await.unwrap_err().is_disconnect());

    let (qmp, mut peer) = connected().await;
    peer.say(b"{\"event\": \"STO").await;
    drop(peer);
    assert!(matches!(qmp.ended().await, Disconnect::MidLine));
}

#[tokio::test]
async fn what_is_not_qmp_ends_the_connection_at_once() {
    for garbage in [
        &b"\xff\xfe\x00\n"[..],
        b"[]\n",
        b"{\"id\": 1}\n",
        b"{\"QMP\": {}}\n",
        b"nul\n",
    ] {
        let (qmp, mut peer) = connected().await;
        peer.say(garbage).await;
        let reason = qmp.ended().await;
        assert!(
            matches!(reason, Disconnect::NotQmp { .. }),
            "{garbage:?}: {reason:?}"
        );
    }
}

#[tokio::test]
async fn a_line_without_end_is_cut_off() {
    let (qmp, mut peer) = connected().await;
    let flood = tokio::spawn(async move {
        let chunk = vec![b'x'; 1 << 20];
        let mut sent = 0usize;
        // A gigabyte, if the client lets us.
        while sent < 1 << 30 && peer.answers.write_all(&chunk).await.is_ok() {
            sent += chunk.len();
        }
        sent
    });
    let reason = qmp.ended().await;
    assert!(
        matches!(reason, Disconnect::LineTooLong { limit: MAX_LINE }),
        "{reason:?}"
    );
    qmp.close().await;
    assert!(flood.await.unwrap() < 3 * MAX_LINE);
}

#[tokio::test]
async fn greetings_are_checked() {
    // Silence: another client is being served.
    let (stream, _peer) = Peer::new();
    let error = Qmp::connect(stream, SOON).await.unwrap_err();
    assert!(matches!(error, QmpError::NoGreeting { .. }), "{error}");

    for (said, expected) in [
        (&b"{\"event\": \"STOP\"}\n"[..], "does not speak QMP"),
        (b"{\"return\": {}}\n", "does not speak QMP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "the greeting"),
    ] {
        let (stream, mut peer) = Peer::new();
        peer.say(said).await;
        let error = Qmp::connect(stream, LIMIT).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn an_accelerator_that_gives_up_is_told_from_other_stops() {
    let folder = tempfile::tempdir().unwrap();
    let sockets = Sockets::in_dir(&folder.path().join("run")).unwrap();
    std::fs::create_dir(folder.path().join("run")).unwrap();
    let control = UnixListener::bind(sockets.control()).unwrap();
    let events = UnixListener::bind(sockets.events()).unwrap();
    let accept = async {
        let mut control = Peer::on(control.accept().await.unwrap().0);
        control.greet().await;
        let mut events = Peer::on(events.accept().await.unwrap().0);
        events.greet().await;
        (control, events)
    };
    let (connected, (mut control, mut events)) =
        tokio::join!(Monitor::connect(&sockets, LIMIT), accept);
    let (monitor, _) = connected.unwrap();
    let failed = tokio::spawn(async move { monitor.accelerator_failed(LIMIT).await });
    let mut states = ["inmigrate", "paused", "io-error", "internal-error"].into_iter();
    let mut answer = async |control: &mut Peer| {
        let (command, id) = control.request().await;
        assert_eq!(command, "query-status");
        let status = json!({"running": false, "status": states.next().unwrap()});
        control.json(&json!({"return": status, "id": id})).await;
    };
    answer(&mut control).await;
    for _ in 0..3 {
        assert!(!failed.is_finished());
        let time = json!({"seconds": 1, "microseconds": 2});
        events
            .json(&json!({"event": "STOP", "timestamp": time}))
            .await;
        answer(&mut control).await;
    }
    failed.await.unwrap().unwrap();
}

#[tokio::test]
async fn closing_lets_the_peer_know() {
    let (qmp, mut peer) = connected().await;
    qmp.close().await;
    assert_eq!(peer.requests.next_line().await.unwrap(), None);
    let (qmp, mut peer) = connected().await;
    drop(qmp);
    assert_eq!(peer.requests.next_line().await.unwrap(), None);
}
