//! Folders that are awkward, and instances side by side.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use e2e::{World, image};

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
