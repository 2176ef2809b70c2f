//! Proof of readiness, against an image whose rotation is a restart of some
//! seconds: the guest's word is not enough.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use e2e::{PLACEHOLDER_PCK, World, try_client_key};

/// A world whose next start meets a guest with `fault` in its rotation.
///
/// The fault is a file in the guest's memory, so it is there when the session
/// is continued and gone when its disk is booted.
fn with_fault(fault: &str) -> World {
    let world = World::captured_slow();
    world.start();
    let script = format!("mkdir -p /run/stack && echo {fault} > /run/stack/fault");
    assert_eq!(world.in_guest("/bin/sh", &["-c", &script]).0, 0);
    assert_eq!(world.stop()["session"], "saved");
    world
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

#[test]
fn a_rotation_that_fails_falls_back_and_says_what_the_guest_said() {
    let world = with_fault("fail");
    let started = world.start();
    assert_eq!(started["start"]["kind"], "cold", "{started}");
    let reason = started["start"]["fallback_reason"].as_str().unwrap();
    assert!(reason.contains("rotate"), "{reason}");
    assert_eq!(try_client_key(PLACEHOLDER_PCK), 401);
    world.discard();
}

#[test]
fn a_rotation_that_lies_is_found_out() {
    let mut world = with_fault("lie");
    // Long enough for the cold boot that follows.
    world.set("EMULATOR_READY_TIMEOUT", "60");
    let started = world.start();
    assert_eq!(started["start"]["kind"], "cold", "{started}");
    let reason = started["start"]["fallback_reason"].as_str().unwrap();
    assert!(
        reason.contains("old keys") || reason.contains("new keys"),
        "{reason}"
    );
    world.discard();
}

#[test]
fn a_rotation_that_hangs_ends_at_the_limit() {
    let mut world = with_fault("hang");
    world.set("EMULATOR_READY_TIMEOUT", "60");
    let started = world.start();
    assert_eq!(started["start"]["kind"], "cold", "{started}");
    world.discard();
}
