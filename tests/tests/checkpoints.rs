//! Checkpoints: a moment of a running emulator that is returned to any number of times, and what becomes of the
//! secrets, of the user's session and of damage on the way.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use e2e::leaks::nowhere;
use e2e::{PLACEHOLDER_PCK, World, leave_a_note, read_the_note, try_client_key};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Where a checkpoint lies.
fn folder(world: &World, name: &str) -> PathBuf {
    world.instance().join("checkpoints").join(name)
}

#[track_caller]
fn create(world: &World, name: &str) -> Value {
    let report = world
        .run(["checkpoint", "create", name, "--json"])
        .ok()
        .json();
    assert_eq!(report["checkpoint"], name, "{report}");
    assert_eq!(world.qemu_processes().len(), 1, "the copy has ended");
    assert!(!folder(world, ".unfinished").exists());
    report
}

/// A restore with everything as it has to be.
#[track_caller]
fn restore(world: &World, name: &str) -> Value {
    let report = world
        .run(["checkpoint", "restore", name, "--json"])
        .ok()
        .json();
    proved(world, &report);
    report
}

/// The emulator runs, alone and with the secrets that it says.
#[track_caller]
fn proved(world: &World, report: &Value) {
    assert_eq!(try_client_key(PLACEHOLDER_PCK), 401, "{report}");
    assert_eq!(try_client_key(&world.secret("pck")), 200, "{report}");
    assert_eq!(world.qemu_processes().len(), 1);
    for left in ["restored", "replaced"] {
        assert!(!world.instance().join(left).exists(), "{left}");
    }
}

fn listed(world: &World) -> Vec<Value> {
    let list = world.run(["checkpoint", "list", "--json"]).ok().json();
    list["checkpoints"].as_array().unwrap().clone()
}

/// Has the guest's database say something else than it did.
#[track_caller]
fn spoil(world: &World) {
    let script = "echo spoiled > /var/tmp/note; echo x > /var/tmp/more; sync";
    assert_eq!(world.in_guest("/bin/sh", &["-c", script]).0, 0);
}

#[track_caller]
fn unspoiled(world: &World) {
    assert_eq!(read_the_note(world), "kept\n");
    assert_ne!(world.in_guest("/bin/cat", &["/var/tmp/more"]).0, 0);
}

/// A running world with a note and the checkpoint `seeded` of it.
fn seeded() -> World {
    let world = World::captured();
    world.start();
    leave_a_note(&world);
    create(&world, "seeded");
    world
}

fn flip(path: &Path) {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 4096).unwrap();
    file.write_all_at(&[!byte[0]], 4096).unwrap();
}

#[test]
fn a_test_suite_seeds_once_and_restores_between_its_tests() {
    let world = World::captured();
    world.start();
    leave_a_note(&world);
    let key = world.secret("pck");
    // A program in memory goes on as well, and the machine that was copied goes on by itself.
    let program = "i=0; while :; do i=$((i + 1)); echo $i > /run/new; mv /run/new /run/ticks; sleep 0.1; done";
    let program = format!("({program}) </dev/null >/dev/null 2>&1 &");
    assert_eq!(world.in_guest("/bin/sh", &["-c", &program]).0, 0);
    let report = create(&world, "seeded");
    assert!(report["paused_ms"].as_f64() > Some(0.0), "{report}");
    assert_eq!(
        world.run(["status", "--json"]).ok().json()["state"],
        "running"
    );
    assert_eq!(try_client_key(&key), 200);
    for _ in 0..3 {
        spoil(&world);
        let report = restore(&world, "seeded");
        assert_eq!(report["start"]["kind"], "restored", "{report}");
        assert_eq!(report["start"]["secrets_kept"], true, "{report}");
        assert_eq!(report["ended"], true, "{report}");
        assert_eq!(world.secret("pck"), key, "no rotation in a loop of tests");
        unspoiled(&world);
        assert!(world.clock_off().is_within(1000));
        let ticks = || world.in_guest("/bin/cat", &["/run/ticks"]).1;
        let number = || ticks().trim().parse::<u64>().unwrap();
        let before = number();
        while number() == before {
            world.in_guest("/bin/sleep", &["0.1"]);
        }
    }
    // A second one, of a restored machine, beside the first.
    spoil(&world);
    create(&world, "spoiled");
    restore(&world, "seeded");
    unspoiled(&world);
    let report = restore(&world, "spoiled");
    assert_eq!(report["start"]["secrets_kept"], true, "{report}");
    assert_eq!(read_the_note(&world), "spoiled\n");
    let status = world.run(["status", "--json"]).ok().json();
    assert_eq!(status["start"]["checkpoint"], "spoiled", "{status}");
    // What was restored is a session like any other.
    world.stop();
    assert_eq!(world.start()["start"]["kind"], "continued");
    assert_eq!(read_the_note(&world), "spoiled\n");
    world.discard();
}

#[test]
fn the_secrets_are_kept_by_the_start_that_made_them_alone() {
    let world = seeded();
    let first = world.secret("pck");
    let rotated = |former: &[&str]| {
        let report = restore(&world, "seeded");
        assert_eq!(report["start"]["secrets_kept"], false, "{report}");
        let key = world.secret("pck");
        for former in former {
            assert_ne!(key, *former);
            assert_eq!(try_client_key(former), 401, "{report}");
        }
        unspoiled(&world);
        key
    };
    // Other values are in force now, by a command.
    world.run(["secrets", "rotate"]).ok();
    let second = world.secret("pck");
    let third = rotated(&[&first, &second]);
    // By another start.
    world.stop();
    world.start();
    let fourth = world.secret("pck");
    let fifth = rotated(&[&first, &third, &fourth]);
    // The machine that had them is gone, and was not ended by the restore.
    create(&world, "again");
    world.kill_qemu();
    let report = restore(&world, "again");
    assert_eq!(report["start"]["secrets_kept"], false, "{report}");
    assert_eq!(report["ended"], false, "{report}");
    let sixth = world.secret("pck");
    assert_ne!(sixth, fifth);
    assert_eq!(try_client_key(&fifth), 401);
    // Nothing runs at all.
    world.discard();
    let seventh = rotated(&[&first, &sixth]);
    // No value is in a checkpoint's record, and its files are the user's alone.
    let values: Vec<_> = ["pck", "ssk", "sak", "cron"]
        .map(|name| world.secret(name))
        .into();
    create(&world, "last");
    let copy = world.copy();
    nowhere(copy.user_home(), &values);
    for name in ["ram.raw", "device.state", "disk.qcow2", "checkpoint.json"] {
        let mode = folder(&world, "last")
            .join(name)
            .metadata()
            .unwrap()
            .permissions();
        assert_eq!(mode.mode() & 0o077, 0, "{name}");
    }
    world.discard();
    // A copy of the home has the checkpoint, and not the values.
    let report = restore(&copy, "last");
    assert_eq!(report["start"]["secrets_kept"], false, "{report}");
    assert_ne!(copy.secret("pck"), seventh);
    copy.discard();
}

#[test]
fn checkpoints_are_listed_and_deleted_and_bad_names_refused() {
    let world = World::captured();
    let refused = world
        .run(["checkpoint", "create", "one", "--json"])
        .fails_with(3);
    assert_eq!(refused.error_code(), "not_running");
    let refused = world
        .run(["checkpoint", "restore", "one", "--json"])
        .fails_with(1);
    assert_eq!(refused.error_code(), "checkpoint_missing");
    refused.fails_helpfully();
    for bad in ["../x", "Big", "session"] {
        let run = world.run(["checkpoint", "create", bad]).fails_with(2);
        assert!(
            run.stderr.contains("cannot be the name of a checkpoint"),
            "{}",
            run.stderr
        );
    }
    world.start();
    create(&world, "two");
    create(&world, "one");
    let refused = world
        .run(["checkpoint", "create", "one", "--json"])
        .fails_with(1);
    assert_eq!(refused.error_code(), "checkpoint_exists");
    // Other settings are not what runs.
    let mut other = world.command(["checkpoint", "create", "other", "--json"]);
    let output = other.env("EMULATOR_CPUS", "1").output().unwrap();
    let refused = e2e::Run::new(&output, std::time::Duration::ZERO).fails_with(1);
    assert_eq!(refused.error_code(), "other_machine");
    let names: Vec<_> = listed(&world)
        .iter()
        .map(|entry| entry["name"].clone())
        .collect();
    assert_eq!(names, ["one", "two"]);
    for entry in listed(&world) {
        assert_eq!(entry["fits"], true, "{entry}");
        assert!(entry["bytes_on_disk"].as_u64() > Some(50 << 20), "{entry}");
        assert!(entry["created_at_ms"].as_u64().is_some(), "{entry}");
    }
    let verified = world.run(["verify", "--json"]).ok().json();
    assert_eq!(verified["checkpoints"], serde_json::json!(["one", "two"]));
    // Nobody is there to ask.
    let refused = world
        .run(["checkpoint", "delete", "two", "--json"])
        .fails_with(2);
    assert_eq!(refused.error_code(), "confirmation");
    world.run(["checkpoint", "delete", "two", "--yes"]).ok();
    assert!(!folder(&world, "two").exists());
    assert_eq!(listed(&world).len(), 1);
    // What it was restored from can go while it runs.
    restore(&world, "one");
    world.run(["checkpoint", "delete", "one", "--yes"]).ok();
    assert_eq!(try_client_key(&world.secret("pck")), 200);
    assert_eq!(listed(&world), Vec::<Value>::new());
    world.discard();
}

#[test]
fn a_checkpoint_counts_to_the_limit_and_keeps_what_it_lies_on() {
    let world = seeded();
    let lain_on = world.snapshot();
    let images = || world.run(["images", "--json"]).ok().json();
    let own: u64 = std::fs::read_dir(folder(&world, "seeded"))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().blocks() * 512)
        .sum();
    let with = images();
    assert!(with["checkpoint_bytes"].as_u64() >= Some(own), "{with}");
    assert!(
        with["bytes_on_disk"].as_u64() > with["checkpoint_bytes"].as_u64(),
        "{with}"
    );
    world.discard();
    // Another snapshot: without the checkpoint, the first one would go.
    world.run(["capture"]).ok();
    assert_ne!(world.snapshot(), lain_on);
    assert!(lain_on.join("disk.qcow2").exists());
    let pruned = world
        .run(["images", "prune", "--limit", "1MB", "--json"])
        .ok()
        .json();
    assert!(pruned["over_limit_bytes"].as_u64() >= Some(own), "{pruned}");
    assert!(
        !pruned["removed"].to_string().contains("checkpoint"),
        "{pruned}"
    );
    let report = restore(&world, "seeded");
    assert_eq!(report["start"]["kind"], "restored", "{report}");
    unspoiled(&world);
    world.discard();
    world.run(["checkpoint", "delete", "seeded", "--yes"]).ok();
    assert!(!lain_on.exists(), "nothing lies on it any more");
    assert_eq!(images()["checkpoint_bytes"], 0);
}

#[test]
fn one_that_cannot_be_resumed_boots_its_disk_and_says_so() {
    let mut world = seeded();
    let boots = |world: &World, why: &str| {
        let report = world
            .run(["checkpoint", "restore", "seeded", "--json"])
            .ok()
            .json();
        proved(world, &report);
        assert_eq!(report["start"]["kind"], "cold", "{report}");
        assert_eq!(report["start"]["secrets_kept"], false, "{report}");
        let reason = report["start"]["fallback_reason"].as_str().unwrap();
        assert!(reason.contains(why), "{reason}");
        unspoiled(world);
    };
    // Other settings, as another QEMU would be.
    world.set("EMULATOR_CPUS", "1");
    assert_eq!(listed(&world)[0]["fits"], false);
    boots(&world, "the number of virtual CPUs was");
    world.unset("EMULATOR_CPUS");
    assert_eq!(listed(&world)[0]["fits"], true);
    // Its memory is another.
    let ram = folder(&world, "seeded").join("ram.raw");
    flip(&ram);
    assert_eq!(listed(&world)[0]["fits"], false);
    boots(&world, "ram.raw");
    let refused = world.run(["verify", "--json"]).fails_with(1);
    assert_eq!(refused.error_code(), "checkpoint_damaged");
    flip(&ram);
    world.run(["verify"]).ok();
    assert_eq!(restore(&world, "seeded")["start"]["kind"], "restored");
    // Its devices are.
    let state = folder(&world, "seeded").join("device.state");
    std::fs::write(
        &state,
        vec![7; usize::try_from(state.metadata().unwrap().len()).unwrap()],
    )
    .unwrap();
    boots(&world, "device.state");
    // Without its disk nothing is ended.
    let key = world.secret("pck");
    std::fs::write(folder(&world, "seeded").join("disk.qcow2"), "no disk").unwrap();
    let refused = world
        .run(["checkpoint", "restore", "seeded", "--json"])
        .fails_with(1);
    assert_eq!(refused.error_code(), "checkpoint_damaged");
    refused.fails_helpfully();
    assert_eq!(try_client_key(&key), 200);
    // Nor without its record.
    std::fs::write(folder(&world, "seeded").join("checkpoint.json"), "{").unwrap();
    world
        .run(["checkpoint", "restore", "seeded", "--json"])
        .fails_with(1)
        .fails_helpfully();
    assert_eq!(try_client_key(&key), 200);
    world.run(["checkpoint", "delete", "seeded", "--yes"]).ok();
    world.discard();
}

#[test]
fn a_creation_that_is_killed_leaves_the_emulator_running_and_no_checkpoint() {
    let world = seeded();
    let key = world.secret("pck");
    for moment in [
        "End(Qemu",
        "Begin(Save)",
        "phase: Save",
        "End(Save",
        "Begin(Commit)",
    ] {
        world.kill_at(&["checkpoint", "create", "killed"], moment);
        let started = world.start();
        assert_eq!(started["already_running"], true, "{moment}: {started}");
        assert_eq!(world.qemu_processes().len(), 1, "{moment}");
        assert_eq!(try_client_key(&key), 200, "{moment}");
        assert!(!folder(&world, ".unfinished").exists(), "{moment}");
        assert_eq!(listed(&world).len(), 1, "{moment}");
    }
    // So does an error: the QEMU of the copy is killed, and not our process.
    let user_s = world.qemu_processes();
    let reached = world.reach(&["checkpoint", "create", "failed"], "Begin(Save)");
    assert!(reached.reached);
    for pid in world.qemu_processes() {
        if !user_s.contains(&pid) {
            let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
            kill_process(pid, Signal::KILL).unwrap();
        }
    }
    reached.end().fails_with(1).fails_helpfully();
    assert_eq!(world.qemu_processes(), user_s);
    assert_eq!(try_client_key(&key), 200);
    create(&world, "after");
    unspoiled(&world);
    world.discard();
}

#[test]
fn a_restore_that_is_killed_leaves_one_of_two_sessions() {
    let world = seeded();
    for moment in [
        "Begin(Prepare)",
        "End(Prepare",
        "End(Quit",
        "End(Commit",
        "Begin(Load)",
        "Begin(Agent)",
        "Begin(Ready)",
    ] {
        spoil(&world);
        world.kill_at(&["checkpoint", "restore", "seeded"], moment);
        world.recovers();
        let note = read_the_note(&world);
        assert!(
            ["kept\n", "spoiled\n"].contains(&note.as_str()),
            "{moment}: {note}"
        );
        let more = world.in_guest("/bin/cat", &["/var/tmp/more"]).0 == 0;
        assert_eq!(more, note == "spoiled\n", "{moment}: one of them, whole");
        for left in [
            "restored",
            "replaced",
            "session/ram.raw",
            "session/device.state",
        ] {
            assert!(!world.instance().join(left).exists(), "{moment} {left}");
        }
        restore(&world, "seeded");
        unspoiled(&world);
    }
    // QEMU is killed and not our process: this very restore boots the disk.
    let run = world
        .kill_qemu_at(&["checkpoint", "restore", "seeded"], "Begin(Ready)")
        .ok();
    assert_eq!(run.json()["start"]["kind"], "cold", "{}", run.stdout);
    unspoiled(&world);
    world.discard();
}

#[test]
fn shared_folders_survive_and_a_clone_begins_with_the_data() {
    let mut world = World::captured();
    // The clone has others.
    world.ports_from_settings();
    world.start();
    let project = world.user_home().canonicalize().unwrap().join("app");
    std::fs::create_dir_all(&project).unwrap();
    let config = project.join("stack.config.ts");
    std::fs::write(
        &config,
        "export const config = { auth: { allowSignUp: true } };\n",
    )
    .unwrap();
    let credentials = || {
        let words = ["credentials", "--json", "--config-file"].map(std::ffi::OsString::from);
        let run = world.run(words.into_iter().chain([config.clone().into_os_string()]));
        run.ok().json()["project_id"].clone()
    };
    let seen = || {
        let path = format!("/host{}", config.display());
        world.in_guest("/bin/cat", &[&path]).0 == 0
    };
    let id = credentials();
    leave_a_note(&world);
    create(&world, "seeded");
    assert!(seen(), "attached again");
    spoil(&world);
    restore(&world, "seeded");
    assert!(seen());
    unspoiled(&world);
    assert_eq!(credentials(), id, "the project is part of the checkpoint");
    world.stop();
    let key = world.secret("pck");
    let cloned = world
        .run(["clone", "copy", "--from", "seeded", "--json"])
        .ok()
        .json();
    assert_eq!(
        (&cloned["from"], &cloned["checkpoint"]),
        (&"checkpoint".into(), &"seeded".into())
    );
    let started = world
        .run(["--instance", "copy", "start", "--json"])
        .ok()
        .json();
    assert_eq!(started["start"]["kind"], "continued", "{started}");
    let agent = world.runtime_folder_of("copy").join("agent.sock");
    let (_, note) = e2e::guest::exec(&agent, "/bin/cat", &["/var/tmp/note"]);
    assert_eq!(note, "kept\n");
    let shown = world
        .run(["--instance", "copy", "secrets", "show", "pck"])
        .ok();
    assert_ne!(shown.stdout.trim(), key);
    world.run(["stop", "--all", "--discard"]).ok();
    let refused = world
        .run(["clone", "other", "--from", "nothing", "--json"])
        .fails_with(1);
    assert_eq!(refused.error_code(), "checkpoint_missing");
}
