//! `settings`: what is kept, what is refused, and what goes before it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::io::Write as _;
use std::process::Stdio;

use common::{Cli, ended};

#[test]
fn settings_are_kept_shown_and_checked() {
    let cli = Cli::new();
    let shown = cli.run(&["settings"]);
    assert!(
        shown.stdout.contains("cache-limit      no limit (default)"),
        "{}",
        shown.stdout
    );
    assert_eq!(cli.run(&["settings", "set", "cache-limit", "20GB"]).code, 0);
    let json = cli.run(&["settings", "--json"]).json();
    assert_eq!(json["settings"][0]["name"], "cache-limit");
    assert_eq!(json["settings"][0]["value"], "20GB");
    let refused = cli.run(&["settings", "set", "archive-after", "soon", "--json"]);
    assert_eq!(refused.code, 1);
    let (code, message, hint) = refused.error();
    assert_eq!(code, "setting");
    assert!(
        message.contains("archive-after") && message.contains("soon"),
        "{message}"
    );
    assert!(hint.is_some());
    assert_eq!(cli.run(&["settings", "unset", "cache-limit"]).code, 0);
    assert!(cli.run(&["settings", "--json"]).json()["settings"][0]["value"].is_null());
}

#[test]
fn the_token_s_source_is_told_and_never_the_token() {
    let cli = Cli::new();
    let arguments = ["settings", "github-token", "--json"];
    assert_eq!(cli.run(&arguments).json()["source"], "none");
    let named = cli.run_with(&arguments, "GITHUB_TOKEN", "ghp_0123456789");
    assert_eq!(named.json()["source"], "environment");
    assert!(!named.stdout.contains("ghp_"));
    // Nothing on standard input is no token, and an argument is a mistake.
    let set = ["settings", "github-token", "set", "--json"];
    let refused = cli.run(&set);
    assert_eq!((refused.code, refused.error().0.as_str()), (1, "token"));
    let argument = cli.run(&["settings", "github-token", "set", "ghp_0123456789"]);
    assert_eq!(argument.code, 2);
}

#[test]
fn without_a_keychain_a_token_is_not_kept_anywhere() {
    let cli = Cli::new();
    let token = "ghp_abcdefghijklmnop";
    let mut child = cli
        .command(&["settings", "github-token", "set", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{token}").unwrap();
    drop(stdin);
    let refused = ended(child.wait_with_output().unwrap());
    assert_eq!(refused.code, 1);
    let (code, message, hint) = refused.error();
    assert_eq!(code, "secret_store");
    assert!(!message.contains(token) && hint.is_some(), "{message}");
}

#[test]
fn diagnostics_are_written_once_and_tell_of_what_is_there() {
    let cli = Cli::new();
    let path = cli.home().join("d.zip");
    let arguments = ["diagnostics", path.to_str().unwrap(), "--json"];
    let written = cli.run_with(&arguments, "STACK_EMULATOR_QEMU", "/no/such/qemu");
    assert_eq!(written.code, 0, "{}", written.stderr);
    let files = written.json()["files"].as_array().unwrap().clone();
    assert!(files.iter().any(|file| file == "report.json"), "{files:?}");
    assert!(std::fs::read(&path).unwrap().starts_with(b"PK"));
    let again = cli.run(&arguments);
    assert_eq!((again.code, again.error().0.as_str()), (1, "file_exists"));
}

#[test]
fn settings_of_the_machine_are_checked_against_host_and_image() {
    let cli = Cli::new();
    for (name, value) in [
        ("ram", "1000000000GB"),
        ("vcpus", "64000"),
        ("port.backend", "26700"),
        ("port.bakend", "30001"),
    ] {
        let refused = cli.run(&["settings", "set", name, value]);
        assert_eq!(refused.code, 1, "{name}: {}", refused.stderr);
    }
    assert_eq!(cli.run(&["settings", "set", "colour", "red"]).code, 2);
    assert_eq!(cli.run(&["settings", "set", "ram", "512"]).code, 0);
    assert_eq!(
        cli.run(&["settings", "set", "port.backend", "30001"]).code,
        0
    );
    let set = cli.run(&["settings", "set", "no-rotation", "on"]);
    assert!(set.stderr.contains("They are public"), "{}", set.stderr);
    let status = cli.run(&["status", "--json"]).json();
    assert_eq!(status["services"][1]["url"], "http://127.0.0.1:30001");
    let list = cli.run(&["settings", "--json"]).json();
    let setting = |name: &str| {
        let all = list["settings"].as_array().unwrap();
        all.iter().find(|one| one["name"] == name).unwrap().clone()
    };
    assert_eq!(setting("ram")["value"], "512MiB");
    assert_eq!(setting("no-rotation")["value"], "on");
    assert_eq!(setting("port.backend")["value"], "30001");
    assert_eq!(cli.run(&["settings", "unset", "no-rotation"]).code, 0);
}
