//! `settings`: what is kept, what is refused, and what goes before it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::Cli;

#[test]
fn settings_are_kept_shown_and_checked() {
    let cli = Cli::new();
    let shown = cli.run(&["settings"]);
    assert!(
        shown.stdout.contains("cache-limit      no limit (not set)"),
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
    assert!(set.stderr.contains("everybody knows"), "{}", set.stderr);
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
