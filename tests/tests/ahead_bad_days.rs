//! Starts that are prepared on a bad day: the clock is wrong, the disk is full, the guest never rests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::time::{Duration, SystemTime};

use e2e::{PLACEHOLDER_PCK, World, guest, leave_a_note, read_the_note, try_client_key};
use serde_json::Value;

const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// Stops without anything being prepared.
#[track_caller]
fn quietly_stop(world: &World) {
    let mut command = world.command(["stop", "--json"]);
    let output = command.env("STACK_EMULATOR_AHEAD", "off").output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Starts with fresh secrets, going on with the session and its note; whether that was prepared.
#[track_caller]
fn goes_on(world: &World, former: &str) -> bool {
    let started = world.start();
    assert_eq!(started["start"]["kind"], "continued", "{started}");
    let key = world.secret("pck");
    assert_ne!(key, former, "{started}");
    assert_eq!(try_client_key(&key), 200, "{started}");
    assert_eq!(try_client_key(PLACEHOLDER_PCK), 401, "{started}");
    assert_eq!(try_client_key(former), 401, "{started}");
    assert_eq!(read_the_note(world), "kept\n");
    assert_eq!(world.qemu_processes().len(), 1);
    started["start"]["prepared"] == true
}

#[test]
fn a_machine_prepared_a_week_ago_or_ahead_has_the_right_time_when_it_is_started() {
    let mut world = World::captured();
    world.set("STACK_EMULATOR_AHEAD", "disk");
    world.start();
    leave_a_note(&world);
    for ahead in [false, true] {
        let before = world.secret("pck");
        quietly_stop(&world);
        // As if the host's clock were set between the work and the start.
        let work = world.reach(&["work-ahead"], "Begin(Settle)");
        assert!(work.reached);
        let record = std::fs::read(world.instance().join("ahead/run.json")).unwrap();
        let record: Value = serde_json::from_slice(&record).unwrap();
        let folder = record["body"]["runtime_folder"].as_str().unwrap();
        let agent = std::path::Path::new(folder).join("agent.sock");
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let then = if ahead {
            now + WEEK
        } else {
            now.checked_sub(WEEK).unwrap()
        };
        let set = format!("@{}", then.as_secs());
        assert_eq!(guest::exec(&agent, "/bin/date", &["-s", &set]).0, 0);
        assert!(!guest::clock_off(&agent).is_within(1000 * 3600 * 24));
        let report = work.end().ok().json();
        assert_eq!(report["prepared"], true, "{report}");
        assert!(goes_on(&world, &before));
        assert!(world.clock_off().is_within(1000), "{:?}", world.clock_off());
    }
    world.discard();
}

#[test]
fn a_disk_that_is_full_while_a_start_is_prepared_costs_only_that() {
    let mut large = World::empty();
    large.set("EMULATOR_RAM", "768");
    large.run(["capture", "--json"]).ok();
    // Work ahead leaves others a GiB, and wants the guest's memory.
    let mut world = large.copy_to_small_disk(3072);
    world.set("EMULATOR_RAM", "768");
    world.set("STACK_EMULATOR_AHEAD", "disk");
    world.start();
    leave_a_note(&world);
    let before = world.secret("pck");
    quietly_stop(&world);
    let enough = (world.disk().used() >> 20) + 3072;
    let work = world.reach(&["work-ahead"], "Begin(Copy)");
    assert!(work.reached);
    world.disk().resize((world.disk().used() >> 20) + 8);
    let run = work.end();
    assert_ne!(run.code, Some(0), "{run:?}");
    assert_eq!(run.error_code(), "disk_full", "{run:?}");
    assert!(world.qemu_processes().is_empty());
    for left in ["ahead/unfinished", "ahead/session", "ahead/run.json"] {
        let left = world.instance().join(left);
        let left = world.disk().seen_from_outside(&left);
        assert!(!left.exists(), "{}", left.display());
    }
    world.disk().resize(enough);
    assert!(!goes_on(&world, &before));
    world.discard();
}

#[test]
fn a_guest_that_never_rests_is_prepared_as_it_is() {
    let mut world = World::captured();
    world.set("STACK_EMULATOR_AHEAD", "disk");
    world.start();
    leave_a_note(&world);
    let busy = "for each in 1 2 3 4; do (while :; do :; done) >/dev/null 2>&1 & done";
    assert_eq!(world.in_guest("/bin/sh", &["-c", busy]).0, 0);
    let before = world.secret("pck");
    quietly_stop(&world);
    let report = world.run(["work-ahead", "--json"]).ok().json();
    assert_eq!(report["prepared"], true, "{report}");
    assert!(goes_on(&world, &before));
    world.discard();
}
