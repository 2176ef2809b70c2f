//! What a user sets by variables and reads in `--json`, on a real machine.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use e2e::{PLACEHOLDER_PCK, World, port, try_client_key};
use serde_json::Value;

fn leave_a_note(world: &World) {
    let script = "echo kept > /var/tmp/note; sync";
    assert_eq!(world.in_guest("/bin/sh", &["-c", script]).0, 0);
}

fn address(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// Addresses of dashboard and backend, as a start reports them, all healthy.
#[track_caller]
fn addresses(started: &Value) -> (String, String) {
    let services = started["services"].as_array().unwrap();
    let of = |id: &str| {
        let service = services.iter().find(|service| service["id"] == id).unwrap();
        assert_eq!(service["healthy"], true, "{started}");
        service["url"].as_str().unwrap().to_owned()
    };
    (of("dashboard"), of("backend"))
}

#[test]
fn a_start_without_rotation_says_so_and_a_reset_drops_what_was_done() {
    let mut world = World::captured();
    world.set("EMULATOR_NO_ROTATION", "1");
    let run = world.run(["start", "--json"]).ok();
    assert!(
        run.stderr.contains("warning:") && run.stderr.contains("EMULATOR_NO_ROTATION"),
        "{}",
        run.stderr
    );
    let started = run.json();
    assert_eq!(started["start"]["kind"], "resumed", "{started}");
    assert_eq!(started["start"]["rotated"], false, "{started}");
    assert_eq!(try_client_key(PLACEHOLDER_PCK), 200);

    // The report says where everything is, and what it took.
    let (dashboard, backend) = (port("dashboard"), port("backend"));
    let expected = (address(dashboard), address(backend));
    assert_eq!(addresses(&started), expected, "{started}");
    let total = started["start"]["total_ms"].as_f64().unwrap();
    let phases = started["start"]["phases"].as_array().unwrap();
    assert!(phases.iter().all(|phase| phase["name"] != "rotate"));
    let sum: f64 = phases.iter().map(|p| p["ms"].as_f64().unwrap()).sum();
    assert!(0.0 < sum && sum <= total, "{started}");
    let snapshot = started["snapshot"]["id"].as_str().unwrap();
    assert!(world.snapshot().ends_with(snapshot), "{started}");

    leave_a_note(&world);
    // There is nobody to answer its question.
    let run = world.run(["reset", "--json"]).fails_with(2);
    assert!(run.stdout.contains("--yes"), "{}", run.stdout);
    assert_eq!(world.qemu_processes().len(), 1);
    let reset = world.run(["reset", "--yes", "--json"]).ok().json();
    assert_eq!(reset["session"], "discarded", "{reset}");
    assert!(world.qemu_processes().is_empty());

    world.unset("EMULATOR_NO_ROTATION");
    let started = world.start();
    assert_eq!(started["start"]["kind"], "resumed", "{started}");
    assert_eq!(started["start"]["rotated"], true, "{started}");
    assert_ne!(world.in_guest("/bin/cat", &["/var/tmp/note"]).0, 0);
    assert_eq!(try_client_key(PLACEHOLDER_PCK), 401);
    world.discard();
}

#[test]
fn a_session_of_another_shape_boots_cold_with_its_data() {
    let mut world = World::captured();
    world.start();
    let cpus: usize = world
        .in_guest("/usr/bin/nproc", &[])
        .1
        .trim()
        .parse()
        .unwrap();
    let others = if cpus == 1 { 2 } else { 1 };
    leave_a_note(&world);
    assert_eq!(world.stop()["session"], "saved");

    let (dashboard, backend) = (port("dashboard"), port("backend"));
    world.set("EMULATOR_CPUS", others.to_string());
    world.set("EMULATOR_DASHBOARD_PORT", backend.to_string());
    world.set("EMULATOR_BACKEND_PORT", dashboard.to_string());
    world.set("PORT_PREFIX", "91");
    let started = world.start();
    assert_eq!(started["start"]["kind"], "cold", "{started}");
    let reason = started["start"]["fallback_reason"].as_str().unwrap();
    for part in [
        "the saved session cannot be resumed here".to_owned(),
        format!("the number of virtual CPUs was {cpus} and is now {others}"),
        format!("the host port of dashboard was {dashboard} and is now {backend}"),
        format!("the host port of backend was {backend} and is now {dashboard}"),
    ] {
        assert!(reason.contains(&part), "{part}: {reason}");
    }
    // All of it is so.
    let expected = (address(backend), address(dashboard));
    assert_eq!(addresses(&started), expected, "{started}");
    let inside = world.in_guest("/usr/bin/nproc", &[]).1;
    assert_eq!(inside.trim(), others.to_string());
    let (code, listening) = world.in_guest("/bin/cat", &["/proc/net/tcp", "/proc/net/tcp6"]);
    assert_eq!(code, 0);
    for port in [9101, 9102] {
        let listens = |line: &str| {
            let fields: Vec<_> = line.split_ascii_whitespace().collect();
            fields[1].ends_with(&format!(":{port:04X}")) && fields[3] == "0A"
        };
        assert!(listening.lines().any(listens), "{port}: {listening}");
    }
    assert_eq!(world.in_guest("/bin/cat", &["/var/tmp/note"]).1, "kept\n");
    world.discard();
}

#[test]
fn a_new_snapshot_is_taken_on_request_and_bench_measures_it() {
    let mut world = World::captured();
    let before = world.snapshot();
    world.set("EMULATOR_FORCE_CAPTURE", "1");
    let run = world.run(["start", "--json"]).ok();
    assert!(
        run.stderr.contains("EMULATOR_FORCE_CAPTURE is set"),
        "{}",
        run.stderr
    );
    let started = run.json();
    assert_eq!(started["start"]["kind"], "resumed", "{started}");
    let snapshot = world.snapshot();
    assert_ne!(snapshot, before);
    let id = started["snapshot"]["id"].as_str().unwrap();
    assert!(snapshot.ends_with(id), "{started}");
    let refused = world.run(["bench", "--runs", "1", "--json"]).fails_with(1);
    refused.fails_helpfully();
    world.discard();

    world.unset("EMULATOR_FORCE_CAPTURE");
    let measured = world.run(["bench", "--runs", "1", "--json"]).ok().json();
    assert_eq!(measured["runs"], 1, "{measured}");
    assert_eq!(measured["kinds"]["resumed"], 1, "{measured}");
    assert_eq!(measured["rotated"], true, "{measured}");
    for (of, what) in [("start", "median_ms"), ("discard", "median_ms")] {
        assert!(measured[of][what].as_f64().unwrap() > 0.0, "{measured}");
    }
    for what in ["anonymous_bytes", "cold_boot_ms", "speedup"] {
        assert!(measured[what].as_f64().unwrap() > 0.0, "{measured}");
    }
    let phases = measured["phases"].as_array().unwrap();
    assert!(phases.iter().any(|phase| phase["name"] == "rotate"));
    assert_eq!(world.snapshot(), snapshot);
    let status = world.run(["status", "--json"]).fails_with(3).json();
    assert_eq!(status["state"], "stopped", "{status}");
    assert_eq!(status["session_kept"], false, "{status}");
    assert!(world.qemu_processes().is_empty());
}
