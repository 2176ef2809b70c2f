//! QEMU killed at any moment: what was kept is kept, and a start finds another way or says what to do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use e2e::{Run, World, leave_a_note, read_the_note};

/// A start whose QEMU was killed has found another way and says why, or has failed and says what
/// to do.
#[track_caller]
fn fell_back_or_failed(run: &Run, moment: &str) {
    if run.code != Some(0) {
        return run.fails_helpfully();
    }
    let start = &run.json()["start"];
    assert_eq!(start["kind"], "cold", "{moment}: {start}");
    let reason = start["fallback_reason"].as_str().unwrap_or_default();
    assert!(!reason.is_empty(), "{moment}: {start}");
}

#[test]
fn qemu_killed_in_each_phase_of_a_stop_loses_nothing() {
    let world = World::captured();
    world.start();
    leave_a_note(&world);
    for moment in ["Begin(Sync)", "Begin(Save)", "Begin(Quit)"] {
        let stopped = world.kill_qemu_at(&["stop"], moment).ok().json();
        // Killed once all is saved, QEMU has done what was wanted of it.
        let saved = moment == "Begin(Quit)";
        let session = if saved { "saved" } else { "disk_kept" };
        assert_eq!(stopped["session"], session, "{moment}: {stopped}");
        assert_eq!(stopped["reason"].is_null(), saved, "{moment}: {stopped}");
        let kind = world.recovers();
        assert_eq!(kind, if saved { "continued" } else { "cold" }, "{moment}");
        assert_eq!(read_the_note(&world), "kept\n", "{moment}");
    }
    world.discard();
}

#[test]
fn qemu_killed_in_each_phase_of_a_capture_keeps_the_snapshot_before() {
    let world = World::captured();
    // A boot that lost nothing is tried once more.
    let run = world.kill_qemu_at(&["capture"], "Begin(Boot)").ok();
    assert!(run.stderr.contains("booting once more"), "{}", run.stderr);
    let before = world.snapshot();
    for moment in ["Begin(Settle)", "Begin(Sync)", "Begin(Save)"] {
        world.kill_qemu_at(&["capture"], moment).fails_helpfully();
        assert!(world.qemu_processes().is_empty(), "{moment}");
        assert_eq!(world.recovers(), "resumed", "{moment}");
        assert_eq!(world.snapshot(), before, "{moment}");
        world.discard();
    }
    // Killed once all is saved, QEMU has done what was wanted of it.
    world.kill_qemu_at(&["capture"], "Begin(Quit)").ok();
    assert_ne!(world.snapshot(), before, "it was committed");
    assert_eq!(world.recovers(), "resumed");
    world.discard();
}

/// What the database says to `statement`.
#[track_caller]
fn sql(world: &World, statement: &str) -> String {
    let psql = "psql --no-psqlrc --quiet --tuples-only --no-align --set=ON_ERROR_STOP=1";
    let script = format!("cd / && runuser -u postgres -- {psql} --command=\"{statement}\" 2>&1");
    let (code, said) = world.in_guest("/bin/sh", &["-c", &script]);
    assert_eq!(code, 0, "{statement}: {said}");
    said.trim().to_owned()
}

#[test]
fn qemu_killed_while_it_runs_is_a_power_cut() {
    let world = World::captured();
    world.start();
    sql(&world, "CREATE TABLE kept (number integer)");
    sql(&world, "INSERT INTO kept VALUES (1), (2)");
    // Nobody has synced the disk but the database, at its commit.
    world.kill_qemu();
    let status = world.run(["status", "--json"]).json();
    assert_eq!(status["state"], "died", "{status}");
    assert_eq!(world.recovers(), "cold", "the session's disk is booted");
    assert_eq!(sql(&world, "SELECT sum(number) FROM kept"), "3");
    let off = world.clock_off();
    assert!(off.is_within(100), "after a cold boot: {off:?}");
    // A command that waits for a service does not wait for one that is gone.
    let run = world.kill_qemu_at(&["secrets", "rotate"], "Begin(Ready)");
    run.fails_helpfully();
    assert_eq!(run.error_code(), "qemu_died", "{run:?}");
    world.discard();
}

#[test]
fn qemu_killed_in_each_phase_of_a_start_falls_back_or_fails_cleanly() {
    let world = World::captured();
    for moment in [
        "Begin(Load)",
        "Begin(Agent)",
        "Begin(Clock)",
        "Begin(Rotate)",
        "Begin(Ready)",
    ] {
        let run = world.kill_qemu_at(&["start"], moment);
        fell_back_or_failed(&run, moment);
        world.recovers();
        world.discard();
    }
}

#[test]
fn qemu_killed_in_a_start_that_continues_and_in_a_cold_boot_loses_nothing() {
    let world = World::captured();
    world.start();
    leave_a_note(&world);
    for moment in [
        "Begin(Load)",
        "Begin(Agent)",
        "Begin(Rotate)",
        "Begin(Ready)",
    ] {
        assert_eq!(world.stop()["session"], "saved", "{moment}");
        let run = world.kill_qemu_at(&["start"], moment);
        fell_back_or_failed(&run, moment);
        world.recovers();
        assert_eq!(read_the_note(&world), "kept\n", "{moment}");
    }
    world.kill_qemu();
    let run = world.kill_qemu_at(&["start"], "Begin(Boot)").ok();
    assert!(run.stderr.contains("booting once more"), "{}", run.stderr);
    assert_eq!(read_the_note(&world), "kept\n");
    world.kill_qemu();
    for moment in ["Begin(Clock)", "End(Rotate"] {
        // There is no third way.
        world.kill_qemu_at(&["start"], moment).fails_helpfully();
        assert!(world.qemu_processes().is_empty(), "{moment}");
    }
    assert_eq!(world.recovers(), "cold");
    assert_eq!(read_the_note(&world), "kept\n");
    world.discard();
}
