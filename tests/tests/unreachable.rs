//! QEMU lives and its sockets are gone: whatever was removed, a stop keeps the disk, a start works, and a
//! look takes no time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::path::PathBuf;

use e2e::{World, leave_a_note, qmp, read_the_note, try_client_key};
use serde_json::{Value, json};

fn status(world: &World) -> Value {
    world.run(["status", "--json"]).ok().json()
}

/// What is for this boot alone: a logout or a tmp cleaner removes it.
fn runtime_folder(world: &World) -> PathBuf {
    world.user_home().join("run")
}

/// A world with a runtime folder of its own.
fn with_runtime_folder() -> World {
    let mut world = World::captured();
    let folder = runtime_folder(&world);
    std::fs::create_dir(&folder).unwrap();
    world.set("XDG_RUNTIME_DIR", folder.to_str().unwrap());
    world
}

#[test]
fn a_runtime_folder_that_is_removed_is_not_missed() {
    let world = with_runtime_folder();
    world.start();
    leave_a_note(&world);
    let key = world.secret("pck");
    std::fs::remove_dir_all(runtime_folder(&world)).unwrap();
    assert_eq!(status(&world)["unreachable"], false);
    assert_eq!(world.secret("pck"), key);
    assert_eq!(world.start()["already_running"], true);
    assert_eq!(world.stop()["session"], "saved");
    assert_eq!(world.start()["start"]["kind"], "continued");
    assert_eq!(read_the_note(&world), "kept\n");
    world.discard();
}

#[test]
fn without_its_sockets_a_machine_is_ended_and_its_disk_is_kept() {
    let world = World::captured();
    world.start();
    leave_a_note(&world);
    let key = world.secret("pck");
    std::fs::remove_dir_all(world.instance().join("sockets")).unwrap();
    let seen = status(&world);
    assert_eq!(
        (&seen["state"], &seen["unreachable"]),
        (&"running".into(), &true.into())
    );
    let said = world.run(["status"]).ok().stdout;
    assert!(said.contains("stack-emulator stop"), "{said}");
    assert_eq!(world.secret("pck"), key);
    assert_eq!(try_client_key(&key), 200);
    let again = world.run(["start", "--json"]).ok();
    assert_eq!(again.json()["already_running"], true);
    assert!(
        again.stderr.contains("cannot be reached"),
        "{}",
        again.stderr
    );
    let stopped = world.stop();
    assert_eq!(stopped["session"], "disk_kept", "{stopped}");
    assert!(
        stopped["reason"]
            .as_str()
            .unwrap()
            .contains("cannot be reached")
    );
    assert!(world.qemu_processes().is_empty());
    assert_eq!(world.recovers(), "cold");
    assert_eq!(read_the_note(&world), "kept\n");

    // One that stands still on top of it is no different; a start goes on by itself.
    qmp::Client::connect(&world.runtime_folder().join("control.sock")).call("stop", &json!({}));
    std::fs::remove_dir_all(world.instance().join("sockets")).unwrap();
    let seen = status(&world);
    assert_eq!(seen["unreachable"], true, "{seen}");
    assert_eq!(
        seen["services"][0]["health"], "unchecked",
        "nobody is waited for"
    );
    assert_eq!(world.recovers(), "cold");
    assert_eq!(read_the_note(&world), "kept\n");
    world.discard();
}

#[test]
fn machines_that_stand_still_without_sockets_are_not_left_behind() {
    let mut world = World::captured();
    world.set("STACK_EMULATOR_AHEAD", "memory");
    world.start();
    leave_a_note(&world);
    // Set aside; the process that would save it is killed before it is reached.
    let work = world.reach(&["stop"], "Begin(Pause)");
    assert!(work.reached);
    work.end().ok();
    // What works behind the prompt may have come first: either way the session goes on, by its disk.
    drop(std::fs::remove_dir_all(world.instance().join("sockets")));
    drop(world.run(["work-ahead", "--json"]));
    world.recovers();
    assert_eq!(read_the_note(&world), "kept\n");
    world.stop();
    world.run(["work-ahead", "--json"]).ok();
    drop(std::fs::remove_dir_all(
        world.instance().join("ahead/sockets"),
    ));
    world.recovers();
    assert_eq!(read_the_note(&world), "kept\n");
    world.discard();
    assert!(world.qemu_processes().is_empty());
}
