//! The program, as another one starts and steers it.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};

/// Status and body of one request, by hand: a client library has opinions.
fn ask(base: &str, method: &str, path: &str, body: &str) -> (u16, String) {
    let host = base.strip_prefix("http://").unwrap().trim_end_matches('/');
    let mut stream = TcpStream::connect(host).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

#[test]
fn it_says_where_it_is_can_be_steered_and_ends_with_its_input() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("disk");
    std::fs::write(&file, "0123456789").unwrap();
    let scenario = dir.path().join("scenario.json");
    let json = serde_json::json!({
        "repository": "o/r",
        "releases": [{ "tag": "v1", "assets": [{ "id": 1, "name": "disk", "file": file }] }],
    });
    std::fs::write(&scenario, json.to_string()).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_release-server"))
        .arg(&scenario)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let addresses: serde_json::Value = serde_json::from_str(&line).unwrap();
    let (api, storage) = (
        addresses["api"].as_str().unwrap(),
        addresses["storage"].as_str().unwrap(),
    );

    let (status, release) = ask(api, "GET", "/repos/o/r/releases/tags/v1", "");
    assert_eq!(status, 200);
    let release: serde_json::Value = serde_json::from_str(&release).unwrap();
    assert_eq!(release["assets"][0]["size"], 10);
    assert_eq!(
        ask(storage, "GET", "/storage/asset/1", ""),
        (200, "0123456789".into())
    );

    let fault = r#"[{"path": "/asset/", "times": 1, "kind": {"kind": "cut", "after": 4}}]"#;
    assert_eq!(ask(api, "POST", "/_control/faults", fault).0, 200);
    assert_eq!(
        ask(storage, "GET", "/storage/asset/1", ""),
        (200, "0123".into())
    );
    assert_eq!(
        ask(storage, "GET", "/storage/asset/1", ""),
        (200, "0123456789".into())
    );
    assert_eq!(ask(api, "POST", "/_control/faults", "nonsense").0, 500);

    let (_, requests) = ask(api, "GET", "/_control/requests", "");
    let requests: serde_json::Value = serde_json::from_str(&requests).unwrap();
    assert_eq!(requests.as_array().unwrap().len(), 4);
    assert_eq!(requests[1]["site"], "storage");

    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}
