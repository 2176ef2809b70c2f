//! A machine that ended without being stopped, and settings that differ from those it runs by: told as what
//! they are.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use e2e::{PLACEHOLDER_PCK, World, leave_a_note, read_the_note, try_client_key};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn status(world: &World) -> Value {
    world.run(["status", "--json"]).json()
}

/// Waits for the end of QEMU, which is no child of this process.
fn wait_for_the_end(world: &World) {
    let begun = std::time::Instant::now();
    while !world.qemu_processes().is_empty() {
        assert!(begun.elapsed().as_secs() < 120, "it does not end");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn a_machine_that_ended_says_how_and_what_comes_next() {
    let world = World::captured();
    world.start();
    leave_a_note(&world);
    let off = "sync; (sleep 1; systemctl poweroff) >/dev/null 2>&1 &";
    assert_eq!(world.in_guest("/bin/sh", &["-c", off]).0, 0);
    wait_for_the_end(&world);
    let seen = status(&world);
    assert_eq!(
        (&seen["state"], &seen["ended_by"]),
        (&"died".into(), &"guest".into())
    );
    let said = world.run(["status"]).stdout;
    assert!(said.starts_with("Powered off"), "{said}");
    assert!(
        !said.contains("unexpectedly") && !said.contains("continues"),
        "{said}"
    );
    let started = world.run(["start", "--json"]).ok();
    assert!(
        started.stderr.contains("powered off from inside"),
        "{}",
        started.stderr
    );
    assert_eq!(started.json()["start"]["kind"], "cold");
    assert_eq!(read_the_note(&world), "kept\n");

    for (signal, ended_by) in [
        (Signal::TERM, Value::from("signal")),
        (Signal::KILL, Value::Null),
    ] {
        for pid in world.qemu_processes() {
            let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
            kill_process(pid, signal).unwrap();
        }
        wait_for_the_end(&world);
        assert_eq!(status(&world)["ended_by"], ended_by);
        assert_eq!(world.recovers(), "cold");
        assert_eq!(read_the_note(&world), "kept\n");
    }
    world.discard();
}

#[test]
fn settings_that_differ_are_told_and_keys_that_are_kept_work() {
    let mut world = World::captured();
    world.start();
    let key = world.secret("pck");
    assert_eq!(status(&world)["other_settings"], Value::Array(Vec::new()));
    world.set("EMULATOR_NO_ROTATION", "1");
    world.set("EMULATOR_RAM", "2048");
    let seen = status(&world);
    let names: Vec<_> = seen["other_settings"].as_array().unwrap().iter().collect();
    assert_eq!(
        names
            .iter()
            .map(|one| one["setting"].as_str().unwrap())
            .collect::<Vec<_>>(),
        ["ram", "no-rotation"],
        "{seen}"
    );
    let said = world.run(["status"]).ok().stdout;
    assert!(said.contains("ram: 2048 MiB with the next start"), "{said}");
    world.unset("EMULATOR_RAM");
    world.stop();
    let started = world.run(["start", "--json"]).ok();
    assert_eq!(started.json()["start"]["kind"], "continued");
    assert_eq!(started.json()["start"]["rotated"], true);
    assert_eq!(started.json()["start"]["secrets_kept"], true);
    assert!(
        !started.stderr.contains("placeholder"),
        "{}",
        started.stderr
    );
    assert_eq!(world.secret("pck"), key);
    assert_eq!(
        (try_client_key(&key), try_client_key(PLACEHOLDER_PCK)),
        (200, 401)
    );
    assert_eq!(status(&world)["other_settings"], Value::Array(Vec::new()));
    world.discard();

    // From the snapshot, the placeholders are what they are said to be.
    let fresh = world.start();
    assert_eq!(fresh["start"]["rotated"], false);
    assert_eq!(world.secret("pck"), PLACEHOLDER_PCK);
    assert_eq!(try_client_key(PLACEHOLDER_PCK), 200);
    world.discard();
}
