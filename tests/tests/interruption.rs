//! Killed at any moment: the next command recovers, nothing is lost, no QEMU is
//! left behind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::io::{BufRead as _, BufReader};
use std::process::Child;

use e2e::{PLACEHOLDER_PCK, World, leave_a_note, read_the_note, try_client_key};
use rustix::process::{Pid, Signal, kill_process};

/// Starts the command and waits until it says `moment`, as `Begin(Rotate)`;
/// false if it ended before that.
fn reach(world: &World, arguments: &[&str], moment: &str) -> (Child, bool) {
    let mut child = world.spawn(arguments.iter().chain(&["--json", "--verbose"]));
    let said = BufReader::new(child.stderr.take().unwrap());
    let mut lines = said.lines().map(Result::unwrap);
    let reached = lines.any(|line| line.contains(moment));
    // Somebody has to go on reading, or the command would stand still.
    std::thread::spawn(move || lines.for_each(drop));
    (child, reached)
}

/// Kills the command at `moment`, which must come.
#[track_caller]
fn kill_at(world: &World, arguments: &[&str], moment: &str) {
    let (mut child, reached) = reach(world, arguments, moment);
    child.kill().ok();
    child.wait().unwrap();
    assert!(reached, "{arguments:?} never came to {moment}");
}

/// Kills QEMU at `moment` of the command, which must come, and waits for the command.
#[track_caller]
fn kill_qemu_at(world: &World, arguments: &[&str], moment: &str) {
    let (mut child, reached) = reach(world, arguments, moment);
    world.kill_qemu();
    child.wait().unwrap();
    assert!(reached, "{arguments:?} never came to {moment}");
}

/// Whatever happened: a start works, has fresh secrets, and is alone.
#[track_caller]
fn recovers(world: &World) -> String {
    let started = world.start();
    assert_eq!(try_client_key(PLACEHOLDER_PCK), 401, "{started}");
    assert_eq!(try_client_key(&world.secret("pck")), 200, "{started}");
    assert_eq!(world.qemu_processes().len(), 1);
    started["start"]["kind"].as_str().unwrap().to_owned()
}

#[test]
fn our_process_killed_in_each_phase_of_a_start() {
    let world = World::captured();
    for moment in [
        "Begin(Prepare)",
        "Begin(Qemu)",
        "Begin(Load)",
        "Begin(Agent)",
        "Begin(Clock)",
        "Begin(Rotate)",
        "End(Rotate",
        "Begin(Ready)",
        "End(Ready",
    ] {
        kill_at(&world, &["start"], moment);
        // A command that was killed in its last microseconds has started the emulator. Else nothing is left that
        // could be taken for a session.
        assert_eq!(recovers(&world), "resumed", "{moment}");
        world.discard();
        assert!(world.qemu_processes().is_empty(), "{moment}");
    }
}

#[test]
fn our_process_killed_in_each_phase_of_a_stop_loses_nothing() {
    let world = World::captured();
    world.start();
    leave_a_note(&world);
    for moment in [
        "Begin(Sync)",
        "Begin(Save)",
        "End(Save",
        "Begin(Quit)",
        "Begin(Commit)",
        "End(Commit",
    ] {
        kill_at(&world, &["stop"], moment);
        recovers(&world);
        assert_eq!(read_the_note(&world), "kept\n", "{moment}");
    }
    world.discard();
}

#[test]
fn our_process_killed_in_each_phase_of_a_capture_keeps_the_snapshot_before() {
    let world = World::captured();
    let before = world.snapshot();
    for moment in [
        "Begin(Qemu)",
        "Begin(Boot)",
        "Begin(Settle)",
        "Begin(Sync)",
        "Begin(Save)",
        "Begin(Quit)",
        "Begin(Commit)",
    ] {
        kill_at(&world, &["capture"], moment);
        assert_eq!(recovers(&world), "resumed", "{moment}");
        assert_eq!(world.snapshot(), before, "{moment}");
        world.discard();
    }
    kill_at(&world, &["capture"], "End(Commit");
    assert_eq!(recovers(&world), "resumed");
    assert_ne!(world.snapshot(), before, "it was committed");
    world.discard();
    assert!(!world.instance().join("snapshots/.capturing").exists());
}

#[test]
fn qemu_killed_in_each_phase_of_a_stop_loses_nothing() {
    let world = World::captured();
    world.start();
    leave_a_note(&world);
    for moment in ["Begin(Sync)", "Begin(Save)", "Begin(Quit)"] {
        kill_qemu_at(&world, &["stop"], moment);
        recovers(&world);
        assert_eq!(read_the_note(&world), "kept\n", "{moment}");
    }
    world.discard();
}

#[test]
fn qemu_killed_in_each_phase_of_a_capture_keeps_the_snapshot_before() {
    let world = World::captured();
    let before = world.snapshot();
    for moment in ["Begin(Boot)", "Begin(Settle)", "Begin(Save)"] {
        kill_qemu_at(&world, &["capture"], moment);
        assert!(world.qemu_processes().is_empty(), "{moment}");
        assert_eq!(recovers(&world), "resumed", "{moment}");
        assert_eq!(world.snapshot(), before, "{moment}");
        world.discard();
    }
}

#[test]
fn qemu_killed_while_it_runs_is_a_power_cut() {
    let world = World::captured();
    world.start();
    leave_a_note(&world);
    world.kill_qemu();
    let status = world.run(["status", "--json"]).json();
    assert_eq!(status["state"], "died", "{status}");
    assert_eq!(recovers(&world), "cold", "the session's disk is booted");
    assert_eq!(read_the_note(&world), "kept\n");
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
        kill_qemu_at(&world, &["start"], moment);
        recovers(&world);
        world.discard();
    }
}

#[test]
fn two_starts_at_once_make_one_emulator() {
    let world = World::captured();
    let (one, two) = (
        world.spawn(["start", "--json"]),
        world.spawn(["start", "--json"]),
    );
    for child in [one, two] {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    assert_eq!(world.qemu_processes().len(), 1);
    world.discard();
}

#[test]
fn ctrl_c_leaves_no_qemu() {
    let world = World::captured();
    for moment in ["Begin(Qemu)", "Begin(Load)", "Begin(Rotate)"] {
        let (mut child, reached) = reach(&world, &["start"], moment);
        assert!(reached, "{moment}");
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(130), "{moment}");
        assert!(world.qemu_processes().is_empty(), "{moment}");
    }
    recovers(&world);
    world.discard();
}

#[test]
fn a_damaged_run_record_leaves_no_qemu() {
    let world = World::captured();
    world.start();
    std::fs::write(world.instance().join("run.json"), "{}").unwrap();
    let status = world.run(["status", "--json"]).json();
    assert_eq!(status["state"], "interrupted", "{status}");
    let run = world.run(["stop", "--json"]).ok();
    assert!(run.stderr.contains("damaged"), "{}", run.stderr);
    assert!(world.qemu_processes().is_empty());
}
