//! A guest of another architecture, through a whole life: what only `arm64` has to do for itself.
//!
//! Run by `cargo xtask test arm64`, with the image of that architecture. On an `amd64` host, QEMU translates each
//! instruction for a processor that is nothing like it, so this is no part of the other end-to-end tests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::collections::BTreeSet;

use e2e::{PLACEHOLDER_PCK, Run, World, get, leave_a_note, read_the_note, try_client_key};
use serde_json::Value;

/// How many UUIDs the kernel is asked for: more than it has made between a resume and the question, so that two guests
/// that go on from the same key have some in common, in whatever order their processes asked.
const DRAWS: usize = 1000;
/// Prints them, in one process.
const DRAW: &str = "for (1..1000) { open my $file, '<', '/proc/sys/kernel/random/uuid' or die; print scalar <$file> }";
/// The database's own client, without the wrapper.
const PSQL: &str = "runuser -u postgres -- /usr/lib/postgresql/15/bin/psql -d stack -qAtc";

/// Seconds for a start. A cold boot by emulation takes most of two minutes on a busy machine.
const LIMIT: &str = "600";

/// Runs the command line, and prints how long it took.
#[track_caller]
fn timed(world: &World, what: &str, arguments: &[&str]) -> Value {
    let run: Run = world.run(arguments).ok();
    eprintln!("arm64: {what}: {:.1} s", run.took.as_secs_f64());
    run.json()
}

#[track_caller]
fn start(world: &World, what: &str, kind: &str) -> Value {
    let started = timed(world, what, &["start", "--json"]);
    assert_eq!(started["start"]["kind"], kind, "{started}");
    assert_eq!(try_client_key(PLACEHOLDER_PCK), 401);
    assert_eq!(try_client_key(&world.secret("pck")), 200);
    started
}

/// What the guest draws now, from each source that something in it draws from.
#[track_caller]
fn draws(world: &World) -> Vec<String> {
    let key = world.secret("pck");
    let headers = [
        ("x-stack-project-id", "internal"),
        ("x-stack-access-type", "client"),
        ("x-stack-publishable-client-key", key.as_str()),
    ];
    let (status, values) = get("/api/v1/internal/local-emulator/random", &headers);
    assert_eq!(status, 200, "{values}");
    let sources = ["key", "kernel_uuid", "postgres_uuid"];
    let mut all: Vec<_> = sources
        .iter()
        .map(|source| values[source].as_str().unwrap().to_owned())
        .collect();
    let (code, uuids) = world.in_guest("/usr/bin/perl", &["-e", DRAW]);
    assert_eq!(code, 0);
    all.extend(uuids.lines().map(ToOwned::to_owned));
    assert_eq!(all.len(), DRAWS + sources.len());
    all
}

/// Takes what was drawn to what was before; none of it may be there.
#[track_caller]
fn none_repeats(seen: &mut BTreeSet<String>, drawn: Vec<String>) {
    let all = drawn.len();
    let repeated = drawn
        .into_iter()
        .filter(|value| !seen.insert(value.clone()));
    let repeated = repeated.count();
    assert_eq!(repeated, 0, "of {all} random values");
}

#[track_caller]
fn sql(world: &World, statement: &str) -> String {
    let script = format!("cd /; {PSQL} \"{statement}\"");
    let (code, said) = world.in_guest("/bin/sh", &["-c", &script]);
    assert_eq!(code, 0, "{statement}: {said}");
    said
}

#[test]
fn an_arm64_guest_lives_a_whole_life_and_repeats_no_random_value() {
    let mut world = World::empty();
    world.set("EMULATOR_ARCH", "arm64");
    world.set("EMULATOR_READY_TIMEOUT", LIMIT);
    timed(&world, "capture", &["capture", "--json"]);

    let mut seen = BTreeSet::new();
    start(&world, "start from the snapshot", "resumed");
    none_repeats(&mut seen, draws(&world));
    timed(&world, "discard", &["stop", "--discard", "--json"]);
    start(&world, "second start from the snapshot", "resumed");
    none_repeats(&mut seen, draws(&world));

    leave_a_note(&world);
    sql(&world, "create table kept as select 42 as answer");
    let before = world.secret("pck");
    timed(&world, "rotation", &["secrets", "rotate", "--json"]);
    assert_eq!(try_client_key(&before), 401);
    assert_eq!(try_client_key(&world.secret("pck")), 200);
    let stopped = timed(&world, "stop", &["stop", "--json"]);
    assert_eq!(stopped["session"], "saved", "{stopped}");

    start(&world, "continued start", "continued");
    none_repeats(&mut seen, draws(&world));
    assert_eq!(read_the_note(&world), "kept\n");
    assert_eq!(sql(&world, "select answer from kept"), "42\n");

    // Nothing answers on the rotation port from here on: the guest agent has to do the same.
    let mute = ["kill", "--signal=STOP", "stack-resident.service"];
    assert_eq!(world.in_guest("/bin/systemctl", &mute).0, 0);
    timed(&world, "stop by the guest agent", &["stop", "--json"]);
    start(&world, "continued start by the guest agent", "continued");
    none_repeats(&mut seen, draws(&world));
    timed(&world, "last stop", &["stop", "--discard", "--json"]);
    assert!(world.qemu_processes().is_empty());
}
