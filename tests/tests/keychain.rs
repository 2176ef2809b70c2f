//! Where the secrets of a start go: into a real keychain, and elsewhere when
//! there is none, when it is locked, and when it stops answering in the middle.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use e2e::keychain::Keychain;
use e2e::leaks::nowhere;
use e2e::{Run, World, try_client_key};
use serde_json::Value;

const NAMES: [&str; 4] = ["pck", "ssk", "sak", "cron"];

fn with(keychain: &Keychain) -> World {
    let mut world = World::captured();
    world.set("DBUS_SESSION_BUS_ADDRESS", keychain.address());
    world
}

fn values(world: &World) -> Vec<String> {
    NAMES.iter().map(|name| world.secret(name)).collect()
}

#[test]
fn a_keychain_holds_one_entry_a_value_and_nothing_else_holds_any() {
    let keychain = Keychain::start();
    let world = with(&keychain);
    world.start();
    let status = world.run(["status", "--json"]).ok().json();
    assert_eq!(status["secret_store"], "keychain", "{status}");
    assert!(status["secret_warning"].is_null(), "{status}");
    let first = values(&world);
    let entries = keychain.entries();
    let labels: Vec<_> = entries.iter().map(|entry| entry.label.as_str()).collect();
    assert_eq!(
        labels,
        [
            "Stack Emulator (default): cron secret",
            "Stack Emulator (default): publishable client key",
            "Stack Emulator (default): secret server key",
            "Stack Emulator (default): super secret admin key",
        ]
    );
    for entry in &entries {
        assert!(first.contains(&entry.value));
    }
    nowhere(world.user_home(), &first);
    assert_eq!(try_client_key(&first[0]), 200);

    let rotated = world.run(["secrets", "rotate", "--json"]).ok().json();
    assert_eq!(rotated["store"], "keychain", "{rotated}");
    let second = values(&world);
    assert!(first.iter().zip(&second).all(|(old, new)| old != new));
    assert_eq!(
        (try_client_key(&first[0]), try_client_key(&second[0])),
        (401, 200)
    );
    assert_eq!(keychain.entries().len(), 4);
    nowhere(world.user_home(), &first);
    nowhere(world.user_home(), &second);

    let refused = world.run(["secrets", "forget", "--json"]).fails_with(1);
    assert_eq!(refused.error_code(), "running");
    world.stop();
    world.run(["secrets", "forget"]).ok();
    assert!(keychain.entries().is_empty());
    world.run(["secrets", "rotate"]).fails_with(3);
    world.start();
    assert_eq!(
        keychain.entries().len(),
        4,
        "a start needs nothing of what was forgotten"
    );
    world.discard();
    assert!(keychain.entries().is_empty());
}

#[test]
fn without_a_keychain_the_kernel_keeps_them() {
    let world = World::captured();
    world.start();
    let status = world.run(["status", "--json"]).ok().json();
    assert_eq!(status["secret_store"], "kernel_keyring", "{status}");
    assert!(status["secret_warning"].is_null(), "{status}");
    assert_eq!(try_client_key(&world.secret("pck")), 200);
    world.discard();
}

/// `words` with a session keyring of its own, as each login has.
fn at_another_login(world: &World, words: &[&str]) -> Option<Run> {
    let perl = Path::new("/usr/bin/perl");
    if !perl.exists() {
        return None;
    }
    // KEYCTL_JOIN_SESSION_KEYRING, without a name.
    let number = if cfg!(target_arch = "x86_64") {
        250
    } else {
        219
    };
    let script = format!("syscall({number}, 1, 0) >= 0 or die $!; exec @ARGV");
    let program = world.command(words);
    let mut login = world.as_here(perl);
    login.args(["-e", &script, "--"]).arg(program.get_program());
    let output = login.args(program.get_args()).output().unwrap();
    Some(Run::new(&output, Duration::ZERO))
}

#[test]
fn the_kernel_gives_every_login_the_same_values() {
    let world = World::captured();
    // The login that started it is over when the command is.
    let Some(started) = at_another_login(&world, &["start"]) else {
        eprintln!("skipped: there is no perl to make a session keyring with");
        return;
    };
    started.ok();
    let first = world.secret("pck");
    assert_eq!(try_client_key(&first), 200);
    at_another_login(&world, &["secrets", "rotate"])
        .unwrap()
        .ok();
    let second = world.secret("pck");
    assert_ne!(first, second);
    assert_eq!(try_client_key(&second), 200);
    let third = at_another_login(&world, &["secrets", "show", "pck"]);
    assert_eq!(third.unwrap().ok().stdout.trim(), second);
    world.discard();
}

#[test]
fn a_locked_keychain_is_told_and_does_not_keep_the_emulator_from_running() {
    let keychain = Keychain::start();
    keychain.lock();
    let world = with(&keychain);
    let started = world.run(["start"]).ok();
    assert!(
        started.stderr.contains("keychain is locked"),
        "{}",
        started.stderr
    );
    let status = world.run(["status", "--json"]).ok().json();
    assert_eq!(status["secret_store"], "kernel_keyring", "{status}");
    let warning = status["secret_warning"].as_str().unwrap();
    assert!(warning.contains("locked"), "{warning}");
    let examined = world.run(["doctor", "--json"]).json();
    let checks = examined["checks"].as_array().unwrap();
    let check = checks
        .iter()
        .find(|check| check["id"] == "secrets_in_force");
    let check = check.unwrap_or_else(|| panic!("not in {examined}"));
    assert_eq!(check["verdict"], "warning", "{check}");
    assert!(check["detail"].to_string().contains("locked"), "{check}");
    assert_eq!(try_client_key(&world.secret("pck")), 200);
    world.discard();
}

/// What `doctor` says of the place for new secrets.
fn place_of_new_secrets(world: &World) -> Value {
    let examined = world.run(["doctor", "--json"]).json();
    let checks = examined["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["id"] == "secrets");
    check
        .unwrap_or_else(|| panic!("not in {examined}"))
        .to_owned()
}

#[test]
fn a_locked_keychain_without_entries_is_told_before_anything_is_started() {
    let keychain = Keychain::start();
    let mut world = World::empty();
    world.set("DBUS_SESSION_BUS_ADDRESS", keychain.address());
    let check = place_of_new_secrets(&world);
    assert_eq!(check["verdict"], "ok", "{check}");

    keychain.lock();
    let check = place_of_new_secrets(&world);
    assert_eq!(check["verdict"], "warning", "{check}");
    let told = world.run(["doctor"]).stdout;
    assert!(told.contains("your keychain is locked"), "{told}");
    assert!(told.contains("Unlock your keychain"), "{told}");
}

#[test]
fn a_keychain_that_stops_answering_is_left_and_used_again_once_it_answers() {
    let keychain = Keychain::start();
    let world = with(&keychain);
    let start = world.spawn(["start"]);
    // The keychain is opened before QEMU is started, and asked after.
    let record = world.instance().join("run.json");
    let limit = Instant::now() + Duration::from_secs(60);
    while !record.exists() {
        assert!(Instant::now() < limit, "no QEMU was started");
        std::thread::sleep(Duration::from_millis(5));
    }
    keychain.stop_answering();
    let output = start.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("the secrets within"), "{stderr}");
    let status = world.run(["status", "--json"]).ok().json();
    assert_eq!(status["secret_store"], "kernel_keyring", "{status}");
    assert_eq!(try_client_key(&world.secret("pck")), 200);

    keychain.answer_again();
    world.run(["secrets", "rotate"]).ok();
    let status = world.run(["status", "--json"]).ok().json();
    assert_eq!(status["secret_store"], "keychain", "{status}");
    assert!(status["secret_warning"].is_null(), "{status}");
    assert_eq!(try_client_key(&world.secret("pck")), 200);

    // Now that the values are there, asking for them has a limit as well.
    keychain.stop_answering();
    let shown = world.run(["secrets", "show", "pck"]).fails_with(1);
    assert!(
        shown.stderr.contains("did not read the secrets within"),
        "{}",
        shown.stderr
    );
    keychain.answer_again();
    world.discard();
}

#[test]
fn a_start_that_is_killed_leaves_its_values_in_the_keychain_alone() {
    let keychain = Keychain::start();
    let world = with(&keychain);
    for _ in 0..2 {
        let mut start = world.spawn(["start"]);
        let pending = loop {
            let entries = keychain.entries().into_iter();
            let mut pending = entries.filter(|entry| entry.label.contains("under way"));
            if let Some(pending) = pending.next() {
                break pending.value;
            }
            assert!(
                start.try_wait().unwrap().is_none(),
                "it ended before it was seen"
            );
        };
        start.kill().unwrap();
        start.wait().unwrap();
        let values: Vec<String> = pending.lines().map(str::to_owned).collect();
        assert_eq!(values.len(), 4);
        nowhere(world.user_home(), &values);
    }
    world.start();
    assert_eq!(try_client_key(&world.secret("pck")), 200);
    assert_eq!(keychain.entries().len(), 4, "nothing is under way any more");
    world.discard();
    assert!(keychain.entries().is_empty());
}

#[test]
fn a_rotation_that_is_killed_leaves_values_that_the_guest_takes() {
    let keychain = Keychain::start();
    let world = with(&keychain);
    world.start();
    for delay_ms in [20, 80, 140, 200, 280, 380, 500] {
        let mut rotation = world.spawn(["secrets", "rotate"]);
        // Points in time, not states, is what is wanted: any of them must do.
        std::thread::sleep(Duration::from_millis(delay_ms));
        rotation.kill().unwrap();
        rotation.wait().unwrap();
        assert_eq!(
            try_client_key(&world.secret("pck")),
            200,
            "killed after {delay_ms} ms"
        );
    }
    assert_eq!(keychain.entries().len(), 4);
    world.discard();
}

#[test]
fn a_token_for_github_is_kept_in_the_keychain_alone() {
    let keychain = Keychain::start();
    let mut world = World::empty();
    world.set("DBUS_SESSION_BUS_ADDRESS", keychain.address());
    // A token in the keychain is for GitHub itself, which none of this asks for anything.
    world.unset("STACK_EMULATOR_GITHUB_API");
    // As long as the search wants it.
    let token = format!("ghp_{}", "x7".repeat(30));
    let source = |world: &World| {
        let told = world.run(["settings", "github-token", "--json"]).ok();
        told.json()["source"].as_str().unwrap().to_owned()
    };
    let tools = world.user_home().join("tools");
    std::fs::create_dir(&tools).unwrap();
    let gh = tools.join("gh");
    std::fs::write(&gh, "#!/bin/sh\necho gho_kept\n").unwrap();
    std::fs::set_permissions(&gh, std::fs::Permissions::from_mode(0o700)).unwrap();
    let path = std::env::var("PATH").unwrap();
    world.set("PATH", format!("{}:{path}", tools.display()));
    assert_eq!(source(&world), "gh");
    let mut set = world
        .command(["settings", "github-token", "set", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(set.stdin.take().unwrap(), "{token}").unwrap();
    let output = set.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(!String::from_utf8_lossy(&output.stdout).contains(&token));
    assert_eq!(source(&world), "keychain", "goes before what `gh` keeps");
    let values: Vec<_> = keychain
        .entries()
        .into_iter()
        .map(|entry| entry.value)
        .collect();
    assert_eq!(values, std::slice::from_ref(&token));
    nowhere(world.user_home(), &[token]);
    let forgotten = world
        .run(["settings", "github-token", "forget", "--json"])
        .ok();
    assert_eq!(forgotten.json()["source"], "gh");
    assert!(keychain.entries().is_empty());
}
