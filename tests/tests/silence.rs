//! A guest that does not answer by the way that a start takes: another way is found, and the user is
//! told.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::time::{Duration, Instant};

use e2e::{PLACEHOLDER_PCK, World, guest, try_client_key};

fn leave_a_note(world: &World) {
    let script = "echo kept > /var/tmp/note; sync";
    assert_eq!(world.in_guest("/bin/sh", &["-c", script]).0, 0);
}

#[track_caller]
fn all_is_well(world: &World) {
    assert_eq!(world.in_guest("/bin/cat", &["/var/tmp/note"]).1, "kept\n");
    assert_eq!(try_client_key(PLACEHOLDER_PCK), 401);
    assert_eq!(try_client_key(&world.secret("pck")), 200);
    assert_eq!(world.qemu_processes().len(), 1);
}

#[test]
fn a_guest_whose_agent_is_silent_is_saved_and_then_booted_cold() {
    // An image without any other way in.
    let world = World::captured_slow();
    world.start();
    leave_a_note(&world);
    // Afterwards, since the agent would not live to say how it went.
    let stop = "(sleep 1; systemctl stop qemu-guest-agent) >/dev/null 2>&1 &";
    assert_eq!(world.in_guest("/bin/sh", &["-c", stop]).0, 0);
    let deadline = Instant::now() + Duration::from_secs(120);
    while guest::answers(&world.agent_socket(), Duration::from_secs(3)) {
        assert!(Instant::now() < deadline, "the agent still answers");
        std::thread::sleep(Duration::from_millis(100));
    }
    let run = world.run(["stop", "--json"]).ok();
    assert_eq!(run.json()["session"], "saved", "{}", run.stdout);
    assert!(
        run.stderr.contains("could not be synced")
            && run.stderr.contains("guest agent did not answer"),
        "{}",
        run.stderr
    );
    let started = world.start();
    assert_eq!(started["start"]["kind"], "cold", "{started}");
    let reason = started["start"]["fallback_reason"].as_str().unwrap();
    assert!(reason.contains("guest agent did not answer"), "{reason}");
    // A guest that stands still is told from a host that gives it no time.
    assert!(
        reason.contains("machine is running") && reason.contains("of processor time"),
        "{reason}"
    );
    all_is_well(&world);
    world.discard();
}

#[test]
fn a_guest_whose_resident_is_silent_is_reached_by_its_agent() {
    let world = World::captured();
    world.start();
    leave_a_note(&world);
    let halt = ["kill", "--signal=STOP", "stack-resident.service"];
    assert_eq!(world.in_guest("/bin/systemctl", &halt).0, 0);
    for command in ["stop", "start"] {
        let run = world.run([command, "--json"]).ok();
        assert!(
            run.stderr.contains("Using the guest agent instead")
                && run.stderr.contains("nothing answered on the rotation port"),
            "{command}: {}",
            run.stderr
        );
        let json = run.json();
        match command {
            "stop" => assert_eq!(json["session"], "saved", "{json}"),
            _ => assert_eq!(json["start"]["kind"], "continued", "{json}"),
        }
    }
    all_is_well(&world);
    // Where it answers, nobody is bothered.
    let wake = ["kill", "--signal=CONT", "stack-resident.service"];
    assert_eq!(world.in_guest("/bin/systemctl", &wake).0, 0);
    let run = world.run(["secrets", "rotate", "--json"]).ok();
    assert!(
        !run.stderr.contains("Using the guest agent instead"),
        "{}",
        run.stderr
    );
    all_is_well(&world);
    world.discard();
}
