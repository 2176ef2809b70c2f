//! The main job: capture, start, stop, continue.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use e2e::{PLACEHOLDER_PCK, World, get, try_client_key};

#[test]
fn a_first_start_captures_and_resumes_with_fresh_secrets() {
    let world = World::empty();
    let started = world.start();
    assert_eq!(started["state"], "running");
    assert_eq!(started["start"]["kind"], "resumed", "{started}");
    assert_eq!(started["start"]["fallback_reason"], serde_json::Value::Null);
    assert!(
        started["services"]
            .as_array()
            .unwrap()
            .iter()
            .all(|s| s["healthy"] == true),
        "{started}"
    );
    assert_eq!(try_client_key(PLACEHOLDER_PCK), 401);
    let first = world.secret("pck");
    assert_eq!(try_client_key(&first), 200);
    world.discard();

    let again = world.start();
    assert_eq!(again["start"]["kind"], "resumed");
    let second = world.secret("pck");
    assert_ne!(first, second);
    assert_eq!(try_client_key(&second), 200);
    assert_eq!(try_client_key(&first), 401);
    world.discard();
    assert!(world.qemu_processes().is_empty());
}

/// A cold boot's clock is looked at where tests boot cold anyway.
#[track_caller]
fn clock_is_right(world: &World, started: &serde_json::Value) {
    let off = world.clock_off();
    assert!(off.is_within(100), "{off:?} after {started}");
}

#[test]
fn a_stop_keeps_what_the_user_did() {
    let world = World::captured();
    clock_is_right(&world, &world.start());
    let (code, _) = world.in_guest("/bin/sh", &["-c", "echo kept > /var/tmp/note"]);
    assert_eq!(code, 0);
    let before = world.secret("pck");
    let stopped = world.stop();
    assert_eq!(stopped["session"], "saved", "{stopped}");
    assert!(world.qemu_processes().is_empty());

    let started = world.start();
    assert_eq!(started["start"]["kind"], "continued", "{started}");
    clock_is_right(&world, &started);
    assert_eq!(world.in_guest("/bin/cat", &["/var/tmp/note"]).1, "kept\n");
    assert_ne!(world.secret("pck"), before);
    assert_eq!(try_client_key(&before), 401);
    world.discard();

    let clean = world.start();
    assert_eq!(clean["start"]["kind"], "resumed");
    assert_ne!(
        world.in_guest("/bin/cat", &["/var/tmp/note"]).0,
        0,
        "a discarded session is gone"
    );
    world.discard();
}

#[test]
fn two_starts_of_one_snapshot_share_no_random_value() {
    let world = World::captured();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..2 {
        world.start();
        let key = world.secret("pck");
        let headers = [
            ("x-stack-project-id", "internal"),
            ("x-stack-access-type", "client"),
            ("x-stack-publishable-client-key", key.as_str()),
        ];
        let (status, values) = get("/api/v1/internal/local-emulator/random", &headers);
        assert_eq!(status, 200, "{values}");
        for source in ["key", "kernel_uuid", "postgres_uuid"] {
            let value = values[source].as_str().unwrap().to_owned();
            assert!(seen.insert(value), "{source} repeats: {values}");
        }
        world.discard();
    }
}

#[test]
fn a_start_of_a_running_emulator_says_so_and_succeeds() {
    let world = World::captured();
    world.start();
    let again = world.start();
    assert_eq!(again["already_running"], true);
    assert_eq!(world.qemu_processes().len(), 1);
    world.discard();
    let stopped = world.stop();
    assert_eq!(stopped["already_stopped"], true);
}
