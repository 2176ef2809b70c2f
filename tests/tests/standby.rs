//! A machine that stands by in memory for the next start: proved, reached by nobody until then, and never the only place
//! of anything.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::net::{TcpListener, TcpStream};

use e2e::leaks::nowhere;
use e2e::port;
use e2e::{PLACEHOLDER_PCK, World, leave_a_note, read_the_note, try_client_key};

/// A kept session with a note, for which a machine stands by.
fn standing_by() -> World {
    let mut world = World::captured();
    world.set("STACK_EMULATOR_AHEAD", "memory");
    world.start();
    leave_a_note(&world);
    stop(&world);
    world
}

/// Stops, and does what is left in the foreground.
#[track_caller]
fn stop(world: &World) {
    world.set_aside();
    let report = world.run(["work-ahead", "--json"]).ok().json();
    assert_eq!(report["prepared"], true, "{report}");
    assert_eq!(next_start(world), "standby");
    assert_eq!(world.qemu_processes().len(), 1);
}

fn next_start(world: &World) -> String {
    let status = world.run(["status", "--json"]).json();
    assert_eq!(status["state"], "stopped", "{status}");
    status["next_start"]["kind"].as_str().unwrap().to_owned()
}

/// A start with everything as it has to be; whether it was from standby, and whether it was prepared.
#[track_caller]
fn starts(world: &World, former: &str) -> (bool, bool) {
    let started = world.start();
    let key = world.secret("pck");
    assert_ne!(key, former, "{started}");
    assert_eq!(try_client_key(&key), 200, "{started}");
    assert_eq!(try_client_key(PLACEHOLDER_PCK), 401, "{started}");
    assert_eq!(try_client_key(former), 401, "{started}");
    assert_eq!(world.qemu_processes().len(), 1);
    assert_eq!(read_the_note(world), "kept\n");
    assert!(world.clock_off().is_within(1000));
    let is = |field: &str| started["start"][field] == true;
    (is("standby"), is("prepared"))
}

#[test]
fn a_start_takes_the_machine_that_stands_by() {
    let world = standing_by();
    let before = world.secret("pck");
    let (dashboard, backend) = (port("dashboard"), port("backend"));
    for port in [dashboard, backend] {
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    }
    // A look leaves it alone, and so does the process that works ahead.
    let report = world.run(["work-ahead", "--json"]).ok().json();
    assert_eq!(report["prepared"], true, "{report}");
    assert_eq!(next_start(&world), "standby");
    assert_eq!(starts(&world, &before), (true, true));
    let values: Vec<_> = ["pck", "ssk", "sak", "cron"]
        .map(|name| world.secret(name))
        .into();
    nowhere(world.user_home(), &values);
    // It is a session like any other: saved, continued, and left standing by again.
    let key = world.secret("pck");
    let mut quiet = world.command(["stop"]);
    assert!(
        quiet
            .env("STACK_EMULATOR_AHEAD", "off")
            .status()
            .unwrap()
            .success()
    );
    assert!(world.qemu_processes().is_empty());
    assert_eq!(starts(&world, &key), (false, false));
    let key = world.secret("pck");
    stop(&world);
    assert_eq!(starts(&world, &key), (true, true));
    // It was taken: a second one is not there.
    world.discard();
    let started = world.start();
    assert_eq!(started["start"]["standby"], false, "{started}");
    assert_eq!(read_the_note(&world), "");
    world.discard();
}

#[test]
fn a_standby_that_is_lost_is_a_prepared_start() {
    let world = standing_by();
    let before = world.secret("pck");
    world.kill_qemu();
    assert_eq!(next_start(&world), "prepared");
    assert_eq!(starts(&world, &before), (false, true));
    // So is one that is no longer wanted.
    let before = world.secret("pck");
    stop(&world);
    let mut verify = world.command(["verify"]);
    assert!(
        verify
            .env("STACK_EMULATOR_AHEAD", "disk")
            .status()
            .unwrap()
            .success()
    );
    assert!(world.qemu_processes().is_empty());
    assert_eq!(starts(&world, &before), (false, true));
    // A port that is taken is told before anything is done.
    let before = world.secret("pck");
    stop(&world);
    let taken = TcpListener::bind(("127.0.0.1", port("backend"))).unwrap();
    let refused = world.run(["start", "--json"]).fails_with(1);
    assert_eq!(refused.error_code(), "port_taken");
    drop(taken);
    assert_eq!(starts(&world, &before), (true, true));
    world.discard();
}

#[test]
fn a_start_killed_while_it_takes_the_standby_loses_nothing() {
    let world = standing_by();
    for moment in ["Begin(Qemu)", "Begin(Agent)", "End(Ready"] {
        world.kill_at(&["start"], moment);
        world.recovers();
        assert_eq!(read_the_note(&world), "kept\n", "{moment}");
        assert!(!world.instance().join("ahead/session").exists(), "{moment}");
        stop(&world);
    }
    // QEMU is killed and not our process: this very start goes on without it.
    let run = world.kill_qemu_at(&["start"], "Begin(Ready)").ok();
    assert_eq!(run.json()["start"]["kind"], "continued", "{}", run.stdout);
    assert_eq!(run.json()["start"]["standby"], false, "{}", run.stdout);
    assert_eq!(read_the_note(&world), "kept\n");
    // Nothing else of it is left.
    assert_eq!(world.qemu_processes().len(), 1);
    world.discard();
}
