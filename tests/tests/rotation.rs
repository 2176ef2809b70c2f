//! Proof of readiness, against an image whose rotation is a restart of some
//! seconds: the guest's word is not enough.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use e2e::keychain::Keychain;
use e2e::leaks::nowhere;
use e2e::{PLACEHOLDER_PCK, World, try_client_key};
use serde_json::Value;

/// Seconds that a start has. Saved state gets half of them, so that a cold boot of this image, with a rotation of
/// some seconds, has the rest.
const LIMIT: &str = "120";

/// A world whose next start meets a guest with `fault` in its rotation.
///
/// The fault is a file in the guest's memory, so it is there when the session
/// is continued and gone when its disk is booted.
fn with_fault(fault: &str) -> World {
    let world = World::captured_slow();
    put_fault(&world, fault);
    world
}

fn put_fault(world: &World, fault: &str) {
    world.start();
    let script = format!("mkdir -p /run/stack && echo {fault} > /run/stack/fault");
    assert_eq!(world.in_guest("/bin/sh", &["-c", &script]).0, 0);
    assert_eq!(world.stop()["session"], "saved");
}

#[test]
fn a_successor_is_waited_for() {
    let world = World::captured_slow();
    let started = world.start();
    assert_eq!(started["start"]["kind"], "resumed", "{started}");
    assert_eq!(
        try_client_key(PLACEHOLDER_PCK),
        401,
        "the old process still answers"
    );
    assert_eq!(try_client_key(&world.secret("pck")), 200);
    world.discard();
}

/// The start that meets the fault boots cold, says why with the words of `reason`, and ends with
/// fresh secrets that alone are in force.
#[track_caller]
fn falls_back(world: &World, reason: &[&str]) {
    is_fallen_back(world, &world.start(), reason);
}

#[track_caller]
fn is_fallen_back(world: &World, started: &Value, reason: &[&str]) {
    assert_eq!(started["start"]["kind"], "cold", "{started}");
    assert_eq!(started["start"]["rotated"], true, "{started}");
    let said = started["start"]["fallback_reason"].as_str().unwrap();
    for part in reason {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(try_client_key(PLACEHOLDER_PCK), 401);
    assert_eq!(try_client_key(&world.secret("pck")), 200);
}

/// Every value that the keychain holds. Those on their way into the guest are one entry with a line
/// each.
fn kept_values(keychain: &Keychain) -> Vec<String> {
    let entries = keychain.entries();
    let lines = entries.iter().flat_map(|entry| entry.value.lines());
    lines.map(ToOwned::to_owned).collect()
}

#[test]
fn a_rotation_that_fails_falls_back_says_what_the_guest_said_and_leaks_nothing() {
    let keychain = Keychain::start();
    let mut world = World::captured_slow();
    world.set("DBUS_SESSION_BUS_ADDRESS", keychain.address());
    put_fault(&world, "fail");
    let start = world.reach(&["start"], "Begin(Rotate)");
    assert!(start.reached);
    // Those that the guest will refuse, and those that it has.
    let mut values = kept_values(&keychain);
    assert_eq!(values.len(), 8, "some are missing");
    let run = start.end().ok();
    is_fallen_back(&world, &run.json(), &["rotate", "told to fail by"]);
    values.extend(kept_values(&keychain));
    nowhere(world.user_home(), &values);
    for value in &values {
        let said = [&run.stdout, &run.stderr];
        assert!(!said.iter().any(|text| text.contains(value)), "printed");
    }
    world.discard();
    nowhere(world.user_home(), &values);
}

#[test]
fn a_rotation_that_lies_is_found_out() {
    let mut world = with_fault("lie");
    world.set("EMULATOR_READY_TIMEOUT", LIMIT);
    falls_back(&world, &["did not accept the new keys within"]);
    world.discard();
}

#[test]
fn a_rotation_that_leaves_the_placeholder_in_force_is_found_out() {
    let mut world = with_fault("both");
    world.set("EMULATOR_READY_TIMEOUT", LIMIT);
    falls_back(&world, &["still accepted the old keys after"]);
    world.discard();
}

#[test]
fn a_rotation_that_hangs_ends_at_the_limit() {
    let mut world = with_fault("hang");
    world.set("EMULATOR_READY_TIMEOUT", LIMIT);
    falls_back(&world, &["trigger-fast-rotate is still running"]);
    world.discard();
}
