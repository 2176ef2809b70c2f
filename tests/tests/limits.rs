//! A host that gives little: ports that others take, limits of the shell, no room, no time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Instant;

use e2e::{Run, World, leave_a_note, port, read_the_note};
use rustix::process::{Pid, Signal, kill_process};

/// Runs the command line in a shell that has run `limits` before.
fn within(world: &World, limits: &str, arguments: &[&str]) -> Run {
    let program = world.command([""; 0]);
    let mut shell = world.as_here("sh");
    let script = format!("{limits}; exec \"$@\"");
    shell.args(["-c", &script, "sh"]).arg(program.get_program());
    shell.args(program.get_args()).args(arguments);
    let begun = Instant::now();
    let output = shell.output().unwrap();
    Run::new(&output, begun.elapsed())
}

/// All files of a folder, but for logs and notes of what was used.
fn files(folder: &Path) -> BTreeSet<String> {
    let found = std::process::Command::new("find")
        .arg(folder)
        .output()
        .unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    let is_kept = |path: &&str| {
        !path.contains("/logs") && !path.contains("/cache/") && !path.ends_with("/used.json")
    };
    found
        .lines()
        .filter(is_kept)
        .map(ToOwned::to_owned)
        .collect()
}

#[test]
fn a_limit_of_the_shell_is_named_and_leaves_nothing() {
    let world = World::captured();
    world.run(["verify", "--json"]).ok();
    world
        .run(["clone", "other", "--json", "--from", "snapshot"])
        .ok();
    world.run(["delete", "other", "--yes", "--json"]).ok();
    let (before, folder) = (files(world.user_home()), world.user_home().to_owned());
    let file = |name: &str| folder.join(name).display().to_string();
    for (limits, arguments, command) in [
        (
            "ulimit -f 1000",
            vec!["archive", &file("a.zst"), "--json"],
            "ulimit -f",
        ),
        (
            "ulimit -f 0",
            vec!["diagnostics", &file("d.json"), "--json"],
            "ulimit -f",
        ),
        (
            "ulimit -f 0",
            vec!["clone", "other", "--from", "snapshot", "--json"],
            "ulimit -f",
        ),
        ("ulimit -f 100000", vec!["capture", "--json"], "ulimit -f"),
        ("ulimit -f 100000", vec!["start", "--json"], "ulimit -f"),
        ("ulimit -v 900000", vec!["start", "--json"], "ulimit -v"),
        ("ulimit -v 90000", vec!["status", "--json"], "ulimit -v"),
        ("ulimit -n 16", vec!["status", "--json"], "ulimit -n"),
    ] {
        let run = within(&world, limits, &arguments);
        assert_eq!(run.code, Some(1), "{limits} {arguments:?}: {run:?}");
        let error = run.json()["error"].clone();
        let said = format!("{} {}", error["message"], error["hint"]);
        assert!(said.contains(command), "{limits} {arguments:?}: {said}");
        assert!(!run.stderr.contains("panicked"), "{run:?}");
        let left: Vec<_> = files(&folder).difference(&before).cloned().collect();
        assert!(left.is_empty(), "{limits} {arguments:?} left {left:?}");
        assert!(world.qemu_processes().is_empty());
    }
    // How much memory a thread reserves is chance: what is enough once is too little another time, and said.
    for _ in 0..20 {
        let run = within(&world, "ulimit -v 300000", &["status", "--json"]);
        assert!(matches!(run.code, Some(1 | 3)), "{run:?}");
        let is_said = run.code == Some(3) || run.stdout.contains("ulimit -v");
        assert!(is_said && !run.stderr.contains("panicked"), "{run:?}");
    }
    // A soft limit on open files is raised as far as the user may.
    within(&world, "ulimit -S -n 16", &["verify", "--json"]).ok();
}

#[test]
fn a_variable_that_is_wrong_fails_what_it_matters_to() {
    let mut world = World::captured();
    world.set("EMULATOR_FOO_PORT", "lots");
    for arguments in [
        &["status", "--json"][..],
        &["instances"],
        &["stop", "--json"],
    ] {
        let run = world.run(arguments);
        assert!(run.code != Some(2), "{arguments:?}: {run:?}");
        assert!(run.stderr.contains("EMULATOR_FOO_PORT"), "{run:?}");
    }
    for arguments in [
        ["start", "--json"],
        ["capture", "--json"],
        ["doctor", "--json"],
    ] {
        let run = world.run(arguments).fails_with(2);
        assert_eq!(run.error_code(), "environment");
        assert!(run.stdout.contains("EMULATOR_FOO_PORT"), "{run:?}");
    }
}

#[test]
fn new_instances_that_begin_together_get_ports_of_their_own() {
    let world = World::without_image();
    let names = ["one", "two", "three"];
    // The image is looked for once the ports are chosen.
    let begin = |name| world.spawn(["start", "--instance", name, "--image", "/nowhere", "--json"]);
    for begun in names.map(begin) {
        let output = begun.wait_with_output().unwrap();
        let run = Run::new(&output, std::time::Duration::ZERO);
        assert_eq!(run.error_code(), "image_missing", "{run:?}");
    }
    let offset = |name: &str| {
        let record = world
            .emulator_home
            .join("instances")
            .join(name)
            .join("instance.json");
        let record: serde_json::Value = serde_json::from_slice(&fs::read(record).unwrap()).unwrap();
        record["body"]["port_offset"].as_u64().unwrap()
    };
    let offsets: BTreeSet<_> = names.into_iter().map(offset).collect();
    assert!(
        offsets.len() == names.len() && !offsets.contains(&0),
        "{offsets:?}"
    );
}

/// QEMU with somebody before it who takes a port that it is about to bind, while the file `grab` is there.
const GRABBER: &str = r#"#!/bin/sh
case "$*" in *hostfwd=tcp:127.0.0.1:PORT-*)
    if test -e GRAB; then
        python3 -c 'import socket, sys, time
s = socket.socket()
s.bind(("127.0.0.1", PORT))
s.listen()
print(flush=True)
time.sleep(600)' > GRAB.ready & echo $! > GRAB.pid
        while ! test -s GRAB.ready; do sleep 0.01; done
    fi
esac
exec QEMU "$@"
"#;

#[test]
fn a_slow_first_boot_is_waited_for_and_a_port_that_somebody_faster_took_is_named() {
    let mut world = World::empty();
    let grab = world.user_home().join("grab");
    let qemu = std::env::var("STACK_EMULATOR_QEMU").unwrap_or("qemu-system-x86_64".to_owned());
    let script = GRABBER
        .replace("PORT", &port("backend").to_string())
        .replace("GRAB", grab.to_str().unwrap())
        .replace("QEMU", &qemu);
    let wrapper = world.user_home().join("qemu-system-x86_64");
    fs::write(&wrapper, script).unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    world.set("STACK_EMULATOR_QEMU", wrapper.to_str().unwrap());
    // Less than any boot takes.
    world.set("EMULATOR_READY_TIMEOUT", "1");
    let run = world.run(["capture", "--json"]).ok();
    assert!(run.stderr.contains("makes progress"), "{}", run.stderr);
    world.unset("EMULATOR_READY_TIMEOUT");
    assert_eq!(world.start()["start"]["kind"], "resumed");
    leave_a_note(&world);
    world.stop();

    fs::write(&grab, "").unwrap();
    let run = world.run(["start", "--json"]).fails_with(1);
    let pid = fs::read_to_string(grab.with_extension("pid")).unwrap();
    let end_grabber = || {
        let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
    };
    assert_eq!(run.error_code(), "port_taken", "{run:?}");
    let owner = format!("(pid {})", pid.trim());
    assert!(run.stdout.contains(&owner), "{owner}: {}", run.stdout);
    assert!(!run.stderr.contains("Booting cold"), "{}", run.stderr);
    assert!(world.qemu_processes().is_empty());
    end_grabber();
    fs::remove_file(&grab).unwrap();
    assert_eq!(
        world.start()["start"]["kind"],
        "continued",
        "nothing is lost"
    );
    assert_eq!(read_the_note(&world), "kept\n");
    world.discard();
}

#[test]
fn a_stop_on_a_full_disk_keeps_the_session_s_disk() {
    let world = World::captured().copy_to_small_disk(256);
    world.start();
    leave_a_note(&world);
    fill(&world, "filler");
    // What the guest writes now finds no room, and neither does its memory or a record.
    let write = "head -c 8m /dev/urandom > /var/tmp/large";
    world.in_guest("/bin/sh", &["-c", write]);
    let stopped = world.stop();
    assert_eq!(stopped["session"], "disk_kept", "{stopped}");
    assert!(
        stopped["reason"].as_str().unwrap().contains("is full"),
        "{stopped}"
    );
    assert!(world.qemu_processes().is_empty());
    let filler = world.emulator_home.join("filler");
    fs::remove_file(world.disk().seen_from_outside(&filler)).unwrap();
    world.disk().resize(4096);
    assert_eq!(world.start()["start"]["kind"], "cold");
    assert_eq!(read_the_note(&world), "kept\n");
    world.discard();
}

/// Fills the disk to its last byte.
fn fill(world: &World, name: &str) {
    let path = world.emulator_home.join(name);
    let mut file = fs::File::create(world.disk().seen_from_outside(&path)).unwrap();
    let block = vec![0; 4 << 10];
    while std::io::Write::write_all(&mut file, &block).is_ok() {}
}
