//! The boundaries from other users of this host to us, and from web pages to the services: written as
//! somebody who has an account of their own here, and as a page that the user's browser has opened.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use e2e::{World, dashboard_page, port, try_client_key};

/// The call that gives an app's keys.
const KEYS: &str = "/api/v1/internal/local-emulator/project";

/// Sends a request word for word, and returns the whole answer.
fn send(service: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port(service))).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let headers: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let headers = headers.concat();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\n{headers}content-type: application/json\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> u16 {
    let word = answer.split(' ').nth(1).expect("an HTTP answer");
    word.parse().unwrap()
}

/// What no answer to an attacker holds: a key beyond the publishable one, or leave to read it.
#[track_caller]
fn gives_nothing(answer: &str) {
    for key in ["ssk_", "sak_"] {
        assert!(!answer.contains(key), "{answer}");
    }
}

#[test]
fn pages_get_nothing_that_they_were_not_given_keys_for() {
    let world = World::captured();
    world.start();
    let (pck, ssk) = (world.secret("pck"), world.secret("ssk"));
    let body = r#"{"absolute_file_path": "/shop/stack.config.ts"}"#;
    let keys = |level: &str, name: &str, key: &str, more: &[(&str, &str)]| {
        let mut headers = vec![
            ("x-stack-project-id", "internal"),
            ("x-stack-access-type", level),
            (name, key),
        ];
        headers.extend(more);
        send("backend", "POST", KEYS, &headers, body)
    };
    let server = |more: &[(&str, &str)]| keys("server", "x-stack-secret-server-key", &ssk, more);
    // A page of another site, by the emulator's own address; it may even know the server key.
    for more in [
        ("origin", "https://evil.test"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
    ] {
        let answer = server(&[("host", "127.0.0.1"), more]);
        assert_eq!(status(&answer), 403, "{answer}");
        gives_nothing(&answer);
        assert!(!answer.contains("access-control-allow-origin"), "{answer}");
    }
    // The key that the dashboard gives everybody.
    let publishable = keys(
        "client",
        "x-stack-publishable-client-key",
        &pck,
        &[("host", "127.0.0.1")],
    );
    assert_eq!(status(&publishable), 401, "{publishable}");
    gives_nothing(&publishable);
    // The test can fail.
    let program = server(&[("host", "127.0.0.1")]);
    assert!(![401, 403].contains(&status(&program)), "{program}");

    // DNS rebinding: a name of the page's own that leads to 127.0.0.1.
    let rebound = "rebound.evil.test";
    assert_eq!(status(&server(&[("host", rebound)])), 403);
    for (service, path) in [
        ("dashboard", "/"),
        ("dashboard", "/handler/sign-in"),
        ("dashboard", "/api/v1/projects/current"),
        ("inbucket", "/"),
        ("inbucket", "/api/v1/mailbox/ada"),
        ("inbucket", "/page/mails"),
        ("mock-oauth", "/"),
    ] {
        let host = format!("{rebound}:{}", port(service));
        let answer = send(service, "GET", path, &[("host", &host)], "");
        assert_eq!(status(&answer), 421, "{service}{path}: {answer}");
        assert!(!answer.contains(&pck), "{answer}");
    }
    // Mails are for no other page, by whatever name it comes.
    for origin in ["https://evil.test", "http://localhost:3000"] {
        let headers = [("host", "localhost"), ("origin", origin)];
        let answer = send("inbucket", "GET", "/api/v1/mailbox/ada", &headers, "");
        assert_eq!(status(&answer), 403, "{answer}");
    }
    world.discard();
}

/// A process whose last argument ends as the argument of our QEMU does that marks it.
fn impostor(command: &mut Command, token: &str) -> Child {
    command
        .args([
            "sh",
            "-c",
            "echo; exec cat",
            "sh",
            &format!("guest=x#{token}"),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It has the rights, the namespace and the arguments that it will have.
    let mut first = [0];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut first)
        .unwrap();
    child
}

#[test]
fn other_users_neither_block_us_nor_get_keys() {
    if !rustix::process::getuid().is_root() {
        eprintln!("skipped: only root can be somebody else");
        return;
    }
    let world = World::captured();
    world.start();
    let record = std::fs::read_to_string(world.instance().join("run.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    let token = record["body"]["token"].as_str().expect("a token");
    let mark = token.split_once('-').expect("two parts").1;
    // The token as it is, and what alone of it can be known before a start.
    let mut impostors = Vec::new();
    for token in [token, &format!("00000000-{mark}")] {
        let mut user = Command::new("setpriv");
        user.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        impostors.push(impostor(&mut user, token));
        let mut elsewhere = Command::new("unshare");
        elsewhere.arg("--mount");
        impostors.push(impostor(&mut elsewhere, token));
    }
    // With the record and without it.
    world.stop();
    world.start();
    std::fs::remove_file(world.instance().join("run.json")).unwrap();
    world.recovers();
    assert_eq!(try_client_key(&world.secret("pck")), 200);
    world.stop();
    for impostor in &mut impostors {
        assert!(impostor.try_wait().unwrap().is_none(), "it was ended");
        impostor.kill().unwrap();
        impostor.wait().unwrap();
    }

    // What another user can read of the dashboard is the publishable key alone.
    world.start();
    let page = dashboard_page(port("dashboard"));
    for secret in ["ssk", "sak", "cron"] {
        assert!(!page.contains(&world.secret(secret)), "{secret}");
    }
    world.discard();
}
