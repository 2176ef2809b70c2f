//! Our process killed at any moment: the next command recovers, nothing is lost, no QEMU is left behind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::process::{Child, Command};

use e2e::{World, leave_a_note, read_the_note};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use serde_json::Value;

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
        world.kill_at(&["start"], moment);
        // A command that was killed in its last microseconds has started the emulator. Else nothing is left that
        // could be taken for a session.
        assert_eq!(world.recovers(), "resumed", "{moment}");
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
        world.kill_at(&["stop"], moment);
        world.recovers();
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
        world.kill_at(&["capture"], moment);
        assert_eq!(world.recovers(), "resumed", "{moment}");
        assert_eq!(world.snapshot(), before, "{moment}");
        world.discard();
    }
    world.kill_at(&["capture"], "End(Commit");
    assert_eq!(world.recovers(), "resumed");
    assert_ne!(world.snapshot(), before, "it was committed");
    world.discard();
    assert!(!world.instance().join("snapshots/.capturing").exists());
}

/// A start that continues, and the cold boot that has to follow if it was killed after the guest had
/// run: each moment of the one with a moment of the other, since every cold boot takes its time.
#[test]
fn our_process_killed_in_a_start_that_continues_and_in_a_cold_boot_loses_nothing() {
    let world = World::captured();
    world.start();
    leave_a_note(&world);
    for (continuing, booting) in [
        ("Begin(Prepare)", None),
        ("Begin(Qemu)", None),
        ("Begin(Load)", None),
        ("Begin(Agent)", Some("Begin(Qemu)")),
        ("Begin(Clock)", Some("Begin(Boot)")),
        ("Begin(Rotate)", Some("Begin(Ready)")),
        ("End(Rotate", Some("End(Rotate")),
    ] {
        assert_eq!(world.stop()["session"], "saved", "{continuing}");
        assert!(world.kill_at(&["start"], continuing), "{continuing}");
        let kind = match booting {
            None => "continued",
            Some(moment) => {
                assert!(world.kill_at(&["start"], moment), "{moment}");
                "cold"
            }
        };
        assert_eq!(world.recovers(), kind, "{continuing} {booting:?}");
        let note = read_the_note(&world);
        assert_eq!(note, "kept\n", "{continuing} {booting:?}");
    }
    world.stop();
    // Killed in its last microseconds it has continued, and otherwise its disk is booted.
    world.kill_at(&["start"], "End(Ready");
    world.recovers();
    assert_eq!(read_the_note(&world), "kept\n");
    world.discard();
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
        let start = world.reach(&["start"], moment);
        assert!(start.reached, "{moment}");
        let pid = Pid::from_raw(i32::try_from(start.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        start.end().fails_with(130);
        assert!(world.qemu_processes().is_empty(), "{moment}");
    }
    world.recovers();
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

/// The run record as it is on disk, whatever is in it.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct AnyRun(Value);

impl record::Record for AnyRun {
    const FORMAT: &'static str = "stack-emulator-run";
    const VERSION: u32 = 1;
}

/// A process that has nothing to do with any of this.
struct Bystander(Child);

impl Bystander {
    fn lives(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn another_process_that_has_got_qemu_s_pid_is_left_alone() {
    let world = World::captured();
    world.start();
    leave_a_note(&world);
    let path = world.instance().join("run.json");
    let AnyRun(running) = record::read(&path).unwrap();
    world.kill_qemu();
    let sleep = Command::new("sleep").arg("100000").spawn().unwrap();
    let mut bystander = Bystander(sleep);
    // Whatever the record says that it was: only the pid is that of a live process.
    for purpose in ["running", "saving", "capturing", "starting"] {
        let mut stale = running.clone();
        stale["process"]["pid"] = bystander.0.id().into();
        stale["purpose"] = purpose.into();
        stale["fresh_disk"] = false.into();
        let write = || {
            let stale = AnyRun(stale.clone());
            record::write(&path, &stale, record::Durability::ThisBoot).unwrap();
        };
        write();
        let status = world.run(["status", "--json"]).fails_with(3).json();
        let state = status["state"].as_str().unwrap();
        assert!(["died", "interrupted"].contains(&state), "{status}");
        let stopped = world.run(["stop", "--json"]).ok().json();
        assert_eq!(stopped["already_stopped"], true, "{purpose}: {stopped}");
        assert!(bystander.lives(), "{purpose}: `stop` killed it");
        write();
    }
    assert_eq!(world.recovers(), "cold");
    assert_eq!(read_the_note(&world), "kept\n");
    assert!(bystander.lives(), "`start` killed it");
    world.run(["stop", "--discard", "--json"]).ok();
    assert!(bystander.lives());
}
