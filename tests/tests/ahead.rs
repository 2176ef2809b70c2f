//! Starts that are prepared while nobody waits: they have fresh secrets all the same, and whatever goes wrong with the
//! preparation, the start is the one without it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use e2e::leaks::nowhere;
use e2e::{PLACEHOLDER_PCK, World, leave_a_note, read_the_note, try_client_key};
use serde_json::Value;

/// Where a prepared machine lies.
fn prepared(world: &World) -> PathBuf {
    world.instance().join("ahead/session")
}

/// Prepares the next start, in the foreground.
#[track_caller]
fn work(world: &World) -> Value {
    let report = world.run(["work-ahead", "--json"]).ok().json();
    assert_eq!(report["prepared"], true, "{report}");
    assert!(world.qemu_processes().is_empty());
    report
}

/// A home whose session with a note is kept.
fn kept() -> World {
    let mut world = World::captured();
    world.set("STACK_EMULATOR_AHEAD", "disk");
    world.start();
    leave_a_note(&world);
    quietly_stop(&world);
    world
}

/// Stops without anything being prepared.
#[track_caller]
fn quietly_stop(world: &World) {
    let mut command = world.command(["stop", "--json"]);
    let output = command.env("STACK_EMULATOR_AHEAD", "off").output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// A start with everything as it has to be; whether it was prepared.
#[track_caller]
fn starts(world: &World, former: &str) -> (String, bool) {
    let started = world.start();
    let key = world.secret("pck");
    assert_ne!(key, former, "{started}");
    assert_eq!(try_client_key(&key), 200, "{started}");
    assert_eq!(try_client_key(PLACEHOLDER_PCK), 401, "{started}");
    assert_eq!(try_client_key(former), 401, "{started}");
    assert_eq!(world.qemu_processes().len(), 1);
    let kind = started["start"]["kind"].as_str().unwrap().to_owned();
    (kind, started["start"]["prepared"] == true)
}

#[test]
fn a_stop_prepares_the_next_start_in_the_background() {
    let world = kept();
    world.start();
    let before = world.secret("pck");
    let clock = world.clock_off();
    assert!(clock.is_within(1000));
    world.stop();
    // The work gives way to other tests.
    let patience = Instant::now() + Duration::from_secs(300);
    while !prepared(&world).join("prepared.json").exists() {
        assert!(Instant::now() < patience, "nothing was prepared");
        std::thread::sleep(Duration::from_millis(100));
    }
    let log = world.run(["logs", "--ahead"]).ok().stdout;
    assert!(log.contains("Begin(Settle)"), "{log}");
    // Nothing answers to anybody until the start, and the values in force are those before.
    assert_eq!(world.secret("pck"), before);
    let (kind, ahead) = starts(&world, &before);
    assert_eq!((kind.as_str(), ahead), ("continued", true));
    assert_eq!(read_the_note(&world), "kept\n");
    assert!(world.clock_off().is_within(1000));
    assert!(!prepared(&world).exists(), "it was used up");
    // And a start without a session.
    let before = world.secret("pck");
    let mut discard = world.command(["stop", "--discard"]);
    discard.env("STACK_EMULATOR_AHEAD", "off");
    assert!(discard.output().unwrap().status.success());
    work(&world);
    assert_eq!(world.run(["secrets", "show", "pck"]).code, Some(1));
    let (kind, ahead) = starts(&world, &before);
    assert_eq!((kind.as_str(), ahead), ("resumed", true));
    assert_eq!(read_the_note(&world), "");
    quietly_stop(&world);
}

#[test]
fn what_is_prepared_is_used_by_one_start_alone() {
    let world = kept();
    let before = world.secret("pck");
    work(&world);
    // A home that is copied has the machine, and not its values.
    let copy = world.copy();
    let (_, ahead) = starts(&world, &before);
    assert!(ahead);
    let first = world.secret("pck");
    // While it waited, its values were in the guest's own files and the keychain alone.
    let values: Vec<_> = ["pck", "ssk", "sak", "cron"]
        .map(|name| world.secret(name))
        .into();
    nowhere(copy.user_home(), &values);
    for name in ["ram.raw", "device.state", "disk.qcow2"] {
        let mode = prepared(&copy).join(name).metadata().unwrap().permissions();
        assert_eq!(mode.mode() & 0o077, 0, "{name}");
    }
    quietly_stop(&world);
    // Its disk is another file, so that its memory is not loaded either.
    let (kind, ahead) = starts(&copy, &first);
    assert_eq!((kind.as_str(), ahead), ("cold", false));
    assert_eq!(read_the_note(&copy), "kept\n");
    copy.discard();
}

#[test]
fn a_machine_that_does_not_fit_any_more_is_not_used() {
    let world = kept();
    let flip = |name: &str| {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(prepared(&world).join(name))
            .unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, 4096).unwrap();
        file.write_all_at(&[!byte[0]], 4096).unwrap();
    };
    let faults: [(&str, &dyn Fn()); 4] = [
        ("a flipped byte of the devices", &|| flip("device.state")),
        ("memory that was written to", &|| flip("ram.raw")),
        ("half a record", &|| {
            let path = prepared(&world).join("prepared.json");
            let text = std::fs::read(&path).unwrap();
            std::fs::write(&path, &text[..text.len() / 2]).unwrap();
        }),
        ("a disk that is gone", &|| {
            std::fs::remove_file(prepared(&world).join("disk.qcow2")).unwrap();
        }),
    ];
    for (what, fault) in faults {
        let before = world.secret("pck");
        work(&world);
        fault();
        let (kind, ahead) = starts(&world, &before);
        assert_eq!((kind.as_str(), ahead), ("continued", false), "{what}");
        assert_eq!(read_the_note(&world), "kept\n", "{what}");
        assert!(!prepared(&world).exists(), "{what}");
        quietly_stop(&world);
    }
    // Nor is one of other settings: the session itself does not fit those.
    work(&world);
    let mut start = world.command(["start", "--json"]);
    let output = start.env("EMULATOR_CPUS", "1").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(read_the_note(&world), "kept\n");
    assert!(!prepared(&world).exists());
    world.discard();
}

#[test]
fn the_work_killed_in_any_phase_costs_no_more_than_the_work() {
    let world = kept();
    for moment in [
        "Begin(Load)",
        "Begin(Rotate)",
        "Begin(Settle)",
        "Begin(Commit)",
    ] {
        let before = world.secret("pck");
        assert!(world.kill_at(&["work-ahead"], moment), "{moment}");
        let (kind, _) = starts(&world, &before);
        assert_eq!(kind, "continued", "{moment}");
        assert_eq!(read_the_note(&world), "kept\n", "{moment}");
        quietly_stop(&world);
        assert!(
            !world.instance().join("ahead/unfinished").exists(),
            "{moment}"
        );
    }
    let before = world.secret("pck");
    world
        .kill_qemu_at(&["work-ahead"], "Begin(Settle)")
        .fails_helpfully();
    assert_eq!(starts(&world, &before).0, "continued");
    world.discard();
}

#[test]
fn a_start_killed_while_it_takes_what_is_prepared_loses_nothing() {
    let world = kept();
    for moment in ["Begin(Qemu)", "Begin(Agent)", "End(Ready"] {
        work(&world);
        world.kill_at(&["start"], moment);
        // Killed in its last microseconds it runs; else the session continues as it was kept.
        world.recovers();
        assert_eq!(read_the_note(&world), "kept\n", "{moment}");
        assert!(!prepared(&world).exists(), "{moment}");
        quietly_stop(&world);
    }
    work(&world);
    // QEMU is killed and not our process: this very start goes on without what was prepared.
    let run = world.kill_qemu_at(&["start"], "Begin(Ready)").ok();
    assert_eq!(run.json()["start"]["kind"], "continued", "{}", run.stdout);
    assert_eq!(run.json()["start"]["prepared"], false, "{}", run.stdout);
    assert!(
        run.stderr.contains("prepared did not work"),
        "{}",
        run.stderr
    );
    assert_eq!(read_the_note(&world), "kept\n");
    world.discard();
}

#[test]
fn a_command_that_needs_the_emulator_ends_the_work() {
    let world = kept();
    let before = world.secret("pck");
    let mut work = world.reach(&["work-ahead"], "Begin(Settle)");
    assert!(work.reached);
    let second = world.run(["work-ahead", "--json"]).ok().json();
    assert_eq!(second["prepared"], false, "{second}");
    let (kind, ahead) = starts(&world, &before);
    assert_eq!((kind.as_str(), ahead), ("continued", false));
    assert!(!work.child.wait().unwrap().success());
    assert_eq!(read_the_note(&world), "kept\n");
    // Nothing is prepared beside a running emulator, nor where it is not wanted.
    let report = world.run(["work-ahead", "--json"]).ok().json();
    assert_eq!(report["reason"], "the emulator is in use");
    quietly_stop(&world);
    let mut off = world.command(["work-ahead", "--json"]);
    let output = off.env("STACK_EMULATOR_AHEAD", "off").output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["reason"], "the setting `ahead` is off");
    world.discard();
}
