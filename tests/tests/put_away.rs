//! A stop that answers before the session is saved: nothing is lost, whatever is killed and whatever comes next.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use e2e::port;
use e2e::{World, leave_a_note, read_the_note};

/// A running emulator with a note, whose stops leave the rest to the background.
fn running() -> World {
    let mut world = World::captured();
    world.set("STACK_EMULATOR_AHEAD", "disk");
    world.start();
    leave_a_note(&world);
    world
}

fn answers(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

fn next_start(world: &World) -> String {
    // Not running is an exit code of its own.
    let status = world.run(["status", "--json"]).json();
    assert_eq!(status["state"], "stopped", "{status}");
    status["next_start"]["kind"].as_str().unwrap().to_owned()
}

/// Sets the machine aside with nobody there to do what is left.
#[track_caller]
fn set_aside(world: &World) {
    world.set_aside();
    assert_eq!(world.qemu_processes().len(), 1);
    assert_eq!(next_start(world), "goes_on");
}

/// Goes on with the machine that was set aside.
#[track_caller]
fn goes_on(world: &World, key: &str) {
    let started = world.start();
    assert_eq!(started["start"]["kind"], "continued", "{started}");
    assert_eq!(started["start"]["prepared"], false, "{started}");
    assert_eq!(world.secret("pck"), key, "it is the same machine");
    assert_eq!(read_the_note(world), "kept\n");
    assert_eq!(world.qemu_processes().len(), 1);
    assert!(world.clock_off().is_within(1000));
}

#[test]
fn a_stop_frees_the_ports_at_once_and_a_start_takes_it_back() {
    let world = running();
    let key = world.secret("pck");
    let stopped = world.stop();
    assert_eq!(stopped["session"], "saving", "{stopped}");
    let (dashboard, backend) = (port("dashboard"), port("backend"));
    assert!(!answers(dashboard) && !answers(backend));
    let again = world.stop();
    assert_eq!(
        (&again["already_stopped"], &again["session"]),
        (&true.into(), &"saving".into())
    );
    goes_on(&world, &key);
    assert!(answers(dashboard) && answers(backend));
    // Left alone, it is saved, and the next start is another one.
    world.stop();
    let patience = Instant::now() + Duration::from_secs(120);
    while next_start(&world) != "prepared" {
        assert!(Instant::now() < patience, "{}", next_start(&world));
        std::thread::sleep(Duration::from_millis(100));
    }
    let started = world.start();
    assert_eq!(started["start"]["prepared"], true, "{started}");
    assert_ne!(world.secret("pck"), key);
    assert_eq!(read_the_note(&world), "kept\n");
    world.discard();
}

#[test]
fn whatever_is_killed_behind_a_stop_the_machine_goes_on() {
    let world = running();
    let key = world.secret("pck");
    for moment in ["Begin(Save)", "End(Save", "End(Commit", "Begin(Load)"] {
        set_aside(&world);
        assert!(world.kill_at(&["work-ahead"], moment), "{moment}");
        goes_on(&world, &key);
    }
    // A start that is killed while it takes the machine back.
    for moment in ["Begin(Agent)", "Begin(Clock)", "Begin(Ready)"] {
        set_aside(&world);
        world.kill_at(&["start"], moment);
        world.recovers();
        assert_eq!(world.secret("pck"), key, "{moment}");
        assert_eq!(read_the_note(&world), "kept\n", "{moment}");
    }
    world.discard();
}

#[test]
fn a_command_that_needs_the_emulator_stopped_finishes_the_stop() {
    let world = running();
    let key = world.secret("pck");
    set_aside(&world);
    world.run(["verify"]).ok();
    assert!(world.qemu_processes().is_empty());
    assert!(world.instance().join("session/saved.json").exists());
    let started = world.start();
    assert_eq!(started["start"]["kind"], "continued", "{started}");
    assert_ne!(world.secret("pck"), key);
    assert_eq!(read_the_note(&world), "kept\n");
    // Also where the save has ended and nobody has written that down.
    set_aside(&world);
    assert!(world.kill_at(&["work-ahead"], "End(Save"));
    world.run(["verify"]).ok();
    assert_eq!(world.start()["start"]["kind"], "continued");
    assert_eq!(read_the_note(&world), "kept\n");
    // Settings that ask for another machine.
    set_aside(&world);
    let mut start = world.command(["start", "--json"]);
    let output = start.env("EMULATOR_NO_SNAPSHOT", "1").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let started: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(started["start"]["kind"], "cold", "{started}");
    assert_eq!(read_the_note(&world), "kept\n");
    world.discard();
}

#[test]
fn a_machine_that_is_lost_behind_a_stop_leaves_its_disk() {
    let world = running();
    set_aside(&world);
    world.kill_qemu();
    let started = world.start();
    assert_eq!(started["start"]["kind"], "cold", "{started}");
    assert_eq!(read_the_note(&world), "kept\n");
    // One that is lost while a start takes it back.
    for moment in ["Begin(Clock)", "Begin(Ready)"] {
        set_aside(&world);
        let run = world.kill_qemu_at(&["start"], moment).ok();
        assert_eq!(run.json()["start"]["kind"], "cold", "{moment}: {run:?}");
        assert_eq!(read_the_note(&world), "kept\n", "{moment}");
    }
    // One whose session is not wanted.
    set_aside(&world);
    world.discard();
    assert!(world.qemu_processes().is_empty());
    assert_eq!(world.start()["start"]["kind"], "resumed");
    assert_eq!(read_the_note(&world), "");
    world.discard();
}

/// Looks by the process table alone: a request, and so `status`, would be a use.
#[test]
fn an_idle_machine_is_stopped_and_goes_on_with_the_next_start() {
    let world = running();
    world.run(["settings", "set", "stop-when-idle", "1"]).ok();
    let begun = Instant::now();
    let told = || world.run(["status", "--json"]).ok().json()["stops_when_idle_min"].clone();
    while told() != 1 {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "nobody watches it"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    // For as long as somebody is connected it runs.
    let connection = TcpStream::connect(("127.0.0.1", port("backend"))).unwrap();
    std::thread::sleep(Duration::from_secs(85));
    assert_eq!(world.qemu_processes().len(), 1, "it is in use");
    drop(connection);
    let begun = Instant::now();
    while !world.qemu_processes().is_empty() {
        assert!(
            begun.elapsed() < Duration::from_secs(150),
            "it is not stopped"
        );
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(
        begun.elapsed() > Duration::from_secs(40),
        "a use was not seen"
    );
    assert_eq!(world.start()["start"]["kind"], "continued");
    assert_eq!(read_the_note(&world), "kept\n");
    world.run(["settings", "unset", "stop-when-idle"]).ok();
    world.discard();
}

#[test]
fn a_port_that_was_taken_meanwhile_is_named_and_nothing_is_lost() {
    let world = running();
    set_aside(&world);
    let taken = TcpListener::bind(("127.0.0.1", port("backend"))).unwrap();
    let refused = world.run(["start", "--json"]).fails_with(1);
    assert_eq!(refused.error_code(), "port_taken");
    assert!(
        refused.stderr.contains(&port("backend").to_string()) || refused.stdout.contains("backend"),
        "{refused:?}"
    );
    // Nor does the machine stay in memory until somebody does something.
    assert!(world.qemu_processes().is_empty());
    assert!(world.instance().join("session/saved.json").exists());
    drop(taken);
    let started = world.start();
    assert_eq!(started["start"]["kind"], "continued", "{started}");
    assert_eq!(read_the_note(&world), "kept\n");
    // The same where it was saved before the start failed.
    set_aside(&world);
    assert!(world.kill_at(&["work-ahead"], "End(Commit"));
    let taken = TcpListener::bind(("127.0.0.1", port("backend"))).unwrap();
    world.run(["start", "--json"]).fails_with(1);
    assert!(world.qemu_processes().is_empty());
    assert!(world.instance().join("session/saved.json").exists());
    drop(taken);
    assert_eq!(world.start()["start"]["kind"], "continued");
    assert_eq!(read_the_note(&world), "kept\n");
    world.discard();
}
