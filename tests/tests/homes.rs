//! Folders that are awkward, and instances side by side.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use e2e::{World, image, leave_a_note, read_the_note, try_client_key};

#[test]
fn a_home_with_spaces_and_letters_of_other_alphabets() {
    let world = World::at(image(), "größe, und «Ωmega» 木");
    assert_eq!(world.start()["start"]["kind"], "resumed");
    assert_eq!(world.stop()["session"], "saved");
    assert_eq!(world.start()["start"]["kind"], "continued");
    world.discard();
}

#[test]
fn a_home_too_long_for_a_socket() {
    let name = format!("{0}/{0}", "a-very-long-folder-name-".repeat(5));
    let mut world = World::at(image(), &name);
    // Nothing of this depends on the way a start goes; spare the capture.
    world.set("EMULATOR_NO_SNAPSHOT", "1");
    assert_eq!(world.start()["start"]["kind"], "cold");
    world.discard();
}

#[test]
fn a_name_that_could_be_a_path_is_refused() {
    let world = World::captured();
    for name in ["../default", "a/b", "", "."] {
        let run = world.run(["--instance", name, "status"]);
        assert_eq!(run.code, Some(2), "{name}: {}", run.stderr);
    }
}

#[test]
fn a_copy_of_a_running_home_leaves_the_original_alone() {
    let world = World::captured();
    world.start();
    leave_a_note(&world);
    let copy = world.copy();
    let status = copy.run(["status", "--json"]).json();
    assert_eq!(status["state"], "stopped", "{status}");
    let stopped = copy.run(["stop"]).ok();
    assert!(stopped.stderr.contains("copy"), "{}", stopped.stderr);
    // The original's machine runs on, and is saved beside its own disk.
    assert_eq!(world.qemu_processes().len(), 1);
    assert_eq!(world.stop()["session"], "saved");
    assert_eq!(world.start()["start"]["kind"], "continued");
    assert_eq!(read_the_note(&world), "kept\n");
    world.discard();
}

#[test]
fn a_home_that_is_moved_while_it_runs_keeps_its_machine() {
    let world = World::captured();
    world.start();
    let key = world.secret("pck");
    let moved = world.user_home().join("moved");
    let home = world.instance().ancestors().nth(2).unwrap().to_owned();
    std::fs::rename(&home, &moved).unwrap();
    std::os::unix::fs::symlink(&moved, &home).unwrap();
    assert_eq!(world.secret("pck"), key);
    assert_eq!(try_client_key(&key), 200);
    assert_eq!(world.stop()["session"], "saved");
    assert_eq!(world.start()["start"]["kind"], "continued");
    world.discard();
}
