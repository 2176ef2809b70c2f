//! `mail` and the inbox: a user signs in with the code of a magic link that no server has sent.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::io::{BufRead as _, BufReader};
use std::process::Child;

use e2e::app::App;
use e2e::mails::{app, ask_for_link, inbox, sign_in};
use e2e::{World, port};
use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const ADA: &str = "ada@example.com";

/// Reads what `mail latest --wait` says until it waits.
#[track_caller]
fn until_it_waits(waiting: &mut Child) {
    let stderr = waiting.stderr.as_mut().unwrap();
    // Byte by byte: what follows is left to whoever takes the output.
    let mut stderr = BufReader::with_capacity(1, stderr);
    let mut line = String::new();
    while !line.contains("Waiting for a mail") {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "it never waited");
    }
}

/// The mails of a mailbox, as a test suite gets them.
#[track_caller]
fn mailbox(app: &App, name: &str) -> Vec<Value> {
    let (status, said) = inbox(app, Method::GET, &format!("/api/v1/mailbox/{name}"), "");
    assert_eq!(status, 200, "{said}");
    serde_json::from_str(&said).unwrap()
}

#[test]
fn the_inbox_has_what_the_command_line_has_and_keeps_it() {
    let world = World::captured();
    let started = world.start();
    let services = started["services"].as_array().unwrap();
    let service = services.iter().find(|service| service["id"] == "inbucket");
    let service = service.unwrap();
    let address = format!("http://127.0.0.1:{}", port("inbucket"));
    assert_eq!(service["url"], address.as_str());
    assert_eq!(service["healthy"], true, "{started}");
    let status = world.run(["status"]).ok().stdout;
    let line = status.lines().find(|line| line.contains("Mail inbox"));
    assert!(line.unwrap().contains(&address), "{status}");

    let app = app(&world);
    let (code, page) = inbox(&app, Method::GET, "/", "");
    assert!(code == 200 && page.contains("Mail inbox"), "{code}: {page}");
    assert!(mailbox(&app, "ada").is_empty());
    let nonce = ask_for_link(&app, "ada+first@example.com");
    let mails = mailbox(&app, "ada");
    let id = mails[0]["id"].as_str().unwrap();
    let path = format!("/api/v1/mailbox/ada/{id}");
    let (_, mail) = inbox(&app, Method::GET, &path, "");
    let mail: Value = serde_json::from_str(&mail).unwrap();
    let text = mail["body"]["text"].as_str().unwrap();
    let (_, typed) = text.split_once("this code: ").unwrap();
    let typed = typed.lines().next().unwrap();
    let shown = world.run(["mail", "show", id, "--code"]).ok().stdout;
    assert_eq!(shown.trim_end(), typed);
    assert_eq!(sign_in(&app, typed, &nonce)["is_new_user"], true);
    assert_eq!(inbox(&app, Method::PATCH, &path, "{\"seen\":true}").0, 200);

    // They are of the session, and so are there again with it.
    assert_eq!(world.stop()["session"], "saved");
    world.start();
    assert_eq!(mailbox(&app, "ada")[0]["seen"], true);

    // Test suites clear a mailbox while somebody waits for the next mail.
    let mut waiting = world.spawn(["mail", "latest", "--wait", "--json"]);
    until_it_waits(&mut waiting);
    assert_eq!(
        inbox(&app, Method::DELETE, "/api/v1/mailbox/ada", "").0,
        200
    );
    assert!(mailbox(&app, "ada").is_empty());
    ask_for_link(&app, "bob@example.com");
    let output = waiting.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let next: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(next["to"], "bob@example.com");
    world.discard();
}

#[test]
fn the_code_of_a_magic_link_signs_its_user_in() {
    let world = World::captured();
    let stopped = world.run(["mail", "list", "--json"]).fails_with(3);
    assert_eq!(stopped.error_code(), "not_running");
    world.start();
    let app = app(&world);
    let none = world.run(["mail", "latest", "--to", ADA, "--json"]);
    assert_eq!(none.fails_with(1).error_code(), "mail_missing");

    let nonce = ask_for_link(&app, ADA);
    let typed = world.run(["mail", "latest", "--to", ADA, "--code"]).ok();
    let user = sign_in(&app, typed.stdout.trim_end(), &nonce);
    assert_eq!(user["is_new_user"], true);

    // That one is not the one that is waited for.
    let words = ["mail", "latest", "--to", ADA, "--wait", "--code"];
    let mut waiting = world.spawn(words);
    until_it_waits(&mut waiting);
    ask_for_link(&app, "bob@example.com");
    let nonce = ask_for_link(&app, ADA);
    let output = waiting.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let typed = String::from_utf8(output.stdout).unwrap();
    let signed_in = sign_in(&app, typed.trim_end(), &nonce);
    assert_eq!(signed_in["user_id"], user["user_id"]);

    let list = world.run(["mail", "list", "--json"]).ok().json();
    let mails = list["mails"].as_array().unwrap();
    let recipients: Vec<_> = mails.iter().map(|mail| &mail["to"]).collect();
    assert_eq!(recipients, [ADA, "bob@example.com", ADA]);
    let id = mails[0]["id"].as_str().unwrap();
    let mail = world.run(["mail", "show", id, "--json"]).ok().json();
    assert_eq!(mail["code"], typed.trim_end());
    assert!(mail["html"].as_str().unwrap().contains("<a href="));
    let shown = world.run(["mail", "show", id]).ok().stdout;
    assert!(
        shown.contains(ADA) && shown.contains(typed.trim_end()),
        "{shown}"
    );
    let latest = world.run(["mail", "latest", "--code", "--json"]).ok();
    assert_eq!(latest.json(), json!({ "code": typed.trim_end() }));
    let unknown = world.run(["mail", "show", "nope", "--json"]).fails_with(1);
    assert_eq!(unknown.error_code(), "mail_missing");
    world.discard();
}

#[test]
fn waiting_ends_with_its_time_or_with_ctrl_c() {
    let world = World::captured();
    world.start();
    let late = world
        .run(["mail", "latest", "--wait=1", "--json"])
        .fails_with(1);
    assert_eq!(late.error_code(), "mail_missing");
    let mut waiting = world.spawn(["mail", "latest", "--wait=600"]);
    until_it_waits(&mut waiting);
    // Others may use the instance meanwhile, and even give it other secrets.
    world.run(["secrets", "rotate"]).ok();
    assert!(waiting.try_wait().unwrap().is_none(), "it waits on");
    let pid = i32::try_from(waiting.id()).ok().and_then(Pid::from_raw);
    kill_process(pid.unwrap(), Signal::INT).unwrap();
    let status = waiting.wait().unwrap();
    assert_eq!(status.code(), Some(130), "{status}");
    world.discard();
}
