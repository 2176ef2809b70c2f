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
fn a_home_that_is_moved_while_it_runs_keeps_its_machine_and_its_secrets() {
    let mut world = World::captured();
    world.start();
    leave_a_note(&world);
    let key = world.secret("pck");
    let first = world.emulator_home.clone();
    let (moved, link) = (
        world.user_home().join("moved"),
        world.user_home().join("link"),
    );
    std::fs::rename(&first, &moved).unwrap();
    std::os::unix::fs::symlink(&moved, &link).unwrap();
    for home in [&link, &moved] {
        world.emulator_home.clone_from(home);
        let status = world.run(["status", "--json"]).ok().json();
        assert_eq!(
            (&status["state"], &status["unreachable"]),
            (&"running".into(), &false.into())
        );
        assert_eq!(world.secret("pck"), key, "{}", home.display());
        assert_eq!(try_client_key(&key), 200);
        assert_eq!(world.start()["already_running"], true);
    }
    assert_eq!(world.stop()["session"], "saved");
    world.emulator_home.clone_from(&first);
    assert!(world.qemu_processes().is_empty(), "it was started there");
    world.emulator_home = moved;
    assert_eq!(world.start()["start"]["kind"], "continued");
    assert_eq!(read_the_note(&world), "kept\n");
    let fresh = world.secret("pck");
    assert_ne!(fresh, key);
    assert_eq!((try_client_key(&fresh), try_client_key(&key)), (200, 401));
    world.discard();
}

#[test]
fn memory_is_never_saved_beside_another_disk() {
    let world = World::captured();
    world.start();
    leave_a_note(&world);
    let session = world.instance().join("session");
    let real = world.instance().join("real");
    std::fs::rename(&session, &real).unwrap();
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .args([&real, &session])
        .status();
    assert!(copied.unwrap().success());
    for command in [
        &["stop", "--json"][..],
        &["checkpoint", "create", "x", "--json"],
    ] {
        let refused = world.run(command);
        assert_eq!(refused.error_code(), "session_disk", "{command:?}");
        refused.fails_helpfully();
        assert!(!session.join("saved.json").exists() && !session.join("ram.mapped").exists());
        assert_eq!(world.qemu_processes().len(), 1);
        assert_eq!(world.start()["already_running"], true);
    }
    std::fs::remove_dir_all(&session).unwrap();
    std::fs::rename(&real, &session).unwrap();
    assert_eq!(world.stop()["session"], "saved");
    assert_eq!(world.start()["start"]["kind"], "continued");
    assert_eq!(read_the_note(&world), "kept\n");
    world.discard();
}

#[test]
fn a_record_or_a_prepared_start_that_was_copied_is_of_no_use_elsewhere() {
    let mut world = World::captured();
    let other = world.copy();
    world.start();
    leave_a_note(&world);
    std::fs::copy(
        world.instance().join("run.json"),
        other.instance().join("run.json"),
    )
    .unwrap();
    for command in [&["stop"][..], &["stop", "--discard"], &["reset", "--yes"]] {
        other.run(command);
        assert_eq!(world.qemu_processes().len(), 1, "{command:?}");
    }
    world.stop();
    world.set("STACK_EMULATOR_AHEAD", "disk");
    let report = world.run(["work-ahead", "--json"]).ok().json();
    assert_eq!(report["prepared"], true, "{report}");
    let copy = world.copy();
    // In the copy it is a start like any other, with secrets of its own.
    let started = copy.start();
    assert_eq!(started["start"]["prepared"], false, "{started}");
    assert_eq!(read_the_note(&copy), "kept\n");
    let key = copy.secret("pck");
    assert_eq!(try_client_key(&key), 200);
    copy.discard();
    let started = world.start();
    assert_eq!(started["start"]["prepared"], true, "{started}");
    assert_eq!(read_the_note(&world), "kept\n");
    let own = world.secret("pck");
    assert_ne!(own, key);
    assert_eq!((try_client_key(&own), try_client_key(&key)), (200, 401));
    world.discard();
}
