//! Killed at any moment: the next command recovers, nothing is lost, no QEMU is
//! left behind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::process::Child;
use std::time::{Duration, Instant};

use e2e::{PLACEHOLDER_PCK, World, try_client_key};
use rustix::process::{Pid, Signal, kill_process};

fn kill(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    // It may have ended by itself in the meantime.
    kill_process(pid, Signal::KILL).ok();
}

/// Kills the command `after` it was started, unless it ended before.
fn kill_after(mut child: Child, after: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < after && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().ok();
    child.wait().unwrap();
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
fn our_process_killed_during_a_start() {
    let world = World::captured();
    for ms in [5, 40, 90, 150, 250, 400, 600] {
        kill_after(world.spawn(["start", "--json"]), Duration::from_millis(ms));
        // A command that was not cut short has started the emulator.
        recovers(&world);
        world.discard();
        assert!(world.qemu_processes().is_empty(), "after {ms} ms");
    }
}

#[test]
fn our_process_killed_during_a_stop_loses_nothing() {
    let world = World::captured();
    world.start();
    assert_eq!(
        world
            .in_guest("/bin/sh", &["-c", "echo kept > /var/tmp/note; sync"])
            .0,
        0
    );
    for ms in [10, 60, 150, 300, 700, 1500] {
        kill_after(world.spawn(["stop", "--json"]), Duration::from_millis(ms));
        recovers(&world);
        assert_eq!(
            world.in_guest("/bin/cat", &["/var/tmp/note"]).1,
            "kept\n",
            "after {ms} ms"
        );
    }
    world.discard();
}

#[test]
fn our_process_killed_during_a_capture_keeps_the_snapshot_before() {
    let world = World::captured();
    let before = world.snapshot();
    for seconds in [1, 8] {
        kill_after(
            world.spawn(["capture", "--json"]),
            Duration::from_secs(seconds),
        );
        assert_eq!(recovers(&world), "resumed");
        assert_eq!(world.snapshot(), before);
        world.discard();
    }
    assert!(!world.instance().join("snapshots/.capturing").exists());
}

#[test]
fn qemu_killed_while_it_runs_is_a_power_cut() {
    let world = World::captured();
    world.start();
    assert_eq!(
        world
            .in_guest("/bin/sh", &["-c", "echo kept > /var/tmp/note; sync"])
            .0,
        0
    );
    world.qemu_processes().into_iter().for_each(kill);
    let status = world.run(["status", "--json"]).json();
    assert_eq!(status["state"], "died", "{status}");
    assert_eq!(recovers(&world), "cold", "the session's disk is booted");
    assert_eq!(world.in_guest("/bin/cat", &["/var/tmp/note"]).1, "kept\n");
    world.discard();
}

#[test]
fn qemu_killed_during_a_start_falls_back_or_fails_cleanly() {
    let world = World::captured();
    for ms in [60, 160, 320] {
        let mut child = world.spawn(["start", "--json"]);
        std::thread::sleep(Duration::from_millis(ms));
        world.qemu_processes().into_iter().for_each(kill);
        child.wait().unwrap();
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
    for ms in [60, 200] {
        let mut child = world.spawn(["start", "--json"]);
        std::thread::sleep(Duration::from_millis(ms));
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        let status = child.wait().unwrap();
        if status.code() == Some(130) {
            assert!(world.qemu_processes().is_empty());
        } else {
            assert!(status.success(), "a start that was done already: {status}");
        }
        world.discard();
    }
}

#[test]
fn a_damaged_run_record_leaves_no_qemu() {
    let world = World::captured();
    world.start();
    std::fs::write(world.instance().join("run.json"), "{}").unwrap();
    let run = world.run(["stop", "--json"]).ok();
    assert!(run.stderr.contains("damaged"), "{}", run.stderr);
    assert!(world.qemu_processes().is_empty());
}
