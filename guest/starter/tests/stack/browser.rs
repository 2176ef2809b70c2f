//! The dashboard and the mail inbox in Chromium, by the scripts in `tests/browser`. `cargo xtask test dashboard` installs
//! their packages first.

use std::{
    env,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::support::{
    Four, Stack,
    app::{App, EVERYTHING},
};

/// Path of a Node that is new enough.
const NODE: &str = "STACK_EMULATOR_TEST_NODE";
const CONFIG_FILE: &str = "/home/dev/shop/stack.config.ts";
/// Users that a server makes: with those who sign up, more than a page.
const PEOPLE: usize = 28;

#[test]
fn all_of_the_dashboard_works_in_a_browser() {
    let mut stack = Stack::start();
    stack.start_dashboard();
    let app = App::new(&stack, CONFIG_FILE, EVERYTHING);
    app.user("ada@example.com");
    let body = json!({ "email": "lin@example.com", "callback_url": "http://localhost:3000/in" });
    let sent = app.client(None, "POST", "/auth/otp/send-sign-in-code", &body);
    assert_eq!(sent.status, 200, "{sent:?}");
    for number in 1..=PEOPLE {
        let body = json!({
            "display_name": format!("Person {number}"),
            "primary_email": format!("person-{number}@example.com"),
            "primary_email_verified": number % 3 == 0,
        });
        assert_eq!(app.server("POST", "/users", &body).status, 201);
    }
    let key = Four::placeholders().ssk;
    let link = stack
        .request("POST", "/api/v1/internal/local-emulator/dashboard-links")
        .header("x-stack-project-id", "internal")
        .header("x-stack-access-type", "server")
        .header("x-stack-secret-server-key", &key)
        .send();
    let given = json!({
        "dashboard": format!("http://127.0.0.1:{}", stack.dashboard_port()),
        "backend": format!("http://127.0.0.1:{}", stack.backend_port()),
        "code": link.json()["code"],
        "serverKey": key,
        "project": app.project_id,
        "publishableKey": app.publishable_client_key,
        "configFile": CONFIG_FILE,
        "users": PEOPLE + 1,
    });
    run("dashboard", &given);
}

#[test]
fn all_of_the_inbox_works_in_a_browser() {
    let stack = Stack::start();
    let app = App::new(&stack, CONFIG_FILE, EVERYTHING);
    let user = app.user("lin@example.com");
    let backend = format!("http://127.0.0.1:{}", stack.backend_port());
    let hostile = format!(
        "<!doctype html><h1>Your order</h1><a href=\"{backend}/health\">See it</a>\
                   <img src=\"http://127.0.0.1:9/seen.png\" alt=\"\"><link rel=stylesheet href=\"http://127.0.0.1:9/x.css\">\
                   <script>parent.document.title = document.title = 'owned'</script>"
    );
    let body = json!({ "user_ids": [user.user_id], "html": hostile, "subject": "Grüße <b>aus</b> dem Laden" });
    assert_eq!(app.server("POST", "/emails/send-email", &body).status, 200);
    for email in ["grace.hopper+test@example.com", "ada@example.com"] {
        let body = json!({ "email": email, "callback_url": "http://localhost:3000/in" });
        let sent = app.client(None, "POST", "/auth/otp/send-sign-in-code", &body);
        assert_eq!(sent.status, 200, "{sent:?}");
    }
    let given = json!({
        "inbox": format!("http://127.0.0.1:{}", stack.inbox_port()),
        "backend": backend,
        "project": app.project_id,
        "publishableKey": app.publishable_client_key,
    });
    run("inbox", &given);
}

/// Runs a page's script.
#[track_caller]
fn run(page: &str, given: &Value) {
    let node = env::var_os(NODE).expect("`cargo xtask test dashboard` says where Node is");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    let mut child = Command::new(node)
        .current_dir(folder)
        .arg(format!("{page}.mjs"))
        .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{page}-pictures")))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(given.to_string().as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
