//! A virtual machine that stands still for reasons of others: told as what they are, and gone on with.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use e2e::{World, qmp};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

fn send(world: &World, signal: Signal) {
    for pid in world.qemu_processes() {
        let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

fn status(world: &World) -> Value {
    world.run(["status", "--json"]).json()
}

#[test]
fn a_qemu_that_a_signal_has_stopped_goes_on_with_the_next_command() {
    let world = World::captured();
    world.start();
    let (_, noted) = world.in_guest("/bin/sh", &["-c", "echo kept > /var/tmp/note && sync"]);
    assert_eq!(noted, "");
    send(&world, Signal::STOP);
    let seen = status(&world);
    assert_eq!(
        (&seen["state"], &seen["paused_by"]),
        (&"paused".into(), &"signal".into())
    );
    let said = world.run(["status"]).stdout;
    assert!(said.contains("a signal has stopped QEMU"), "{said}");
    let list = world.run(["instances", "--json"]).ok().json();
    assert_eq!(list["instances"][0]["state"], "paused");

    let again = world.start();
    assert_eq!(again["already_running"], true);
    let seen = status(&world);
    assert_eq!(
        (&seen["state"], &seen["paused_by"]),
        (&"running".into(), &Value::Null)
    );

    // A stop keeps the session all the same.
    send(&world, Signal::STOP);
    world.stop();
    assert_eq!(world.start()["start"]["kind"], "continued");
    assert_eq!(world.in_guest("/bin/cat", &["/var/tmp/note"]).1, "kept\n");
    world.discard();
}

#[test]
fn a_pause_that_another_program_asked_for_is_not_told_as_a_full_disk() {
    let world = World::captured();
    world.start();
    let monitor = world.runtime_folder().join("control.sock");
    qmp::Client::connect(&monitor).call("stop", &json!({}));
    let seen = status(&world);
    assert_eq!(
        (&seen["state"], &seen["paused_by"]),
        (&"paused".into(), &"request".into())
    );
    assert_eq!(world.start()["already_running"], true);
    assert_eq!(status(&world)["state"], "running");
    world.discard();
}
