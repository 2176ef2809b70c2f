//! Saved state that is not what it was, or not of this machine: a clear reason,
//! and a working emulator by another way.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use e2e::{PLACEHOLDER_PCK, World, image, leave_a_note, port, read_the_note, try_client_key};
use serde_json::Value;

/// Why a start was not the fastest kind.
fn reason(started: &Value) -> &str {
    started["start"]["fallback_reason"]
        .as_str()
        .unwrap_or_default()
}

fn flip(path: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

/// Puts the file's modification time back, as a fault of the disk would leave it.
fn flip_unnoticed(path: &Path, at: u64) {
    let time = fs::metadata(path).unwrap().modified().unwrap();
    flip(path, at);
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_modified(time)
        .unwrap();
}

fn truncate(path: &Path) {
    let length = fs::metadata(path).unwrap().len();
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(length / 2)
        .unwrap();
}

/// Offset of a byte of guest memory that holds something.
fn used_byte(ram: &Path) -> u64 {
    let file = File::open(ram).unwrap();
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(64 << 20)).unwrap()
}

/// Every way to damage a snapshot's files is seen without starting anything.
#[test]
fn every_damage_is_named_before_qemu_starts() {
    let world = World::captured_alone();
    let snapshot = world.snapshot();
    let damage = |what: &str| {
        let status = world.run(["status", "--json"]).fails_with(3).json();
        let damage = status["snapshot_damage"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert!(damage.contains(what), "{what} should be named: {status}");
    };
    for name in [
        "ram.raw",
        "device.state",
        "disk.qcow2",
        "config.iso",
        "snapshot.json",
    ] {
        let path = snapshot.join(name);
        let kept = world.user_home().join("kept");
        let restore = || {
            fs::remove_file(&path).ok();
            let copied = std::process::Command::new("cp")
                .args(["-a", "--sparse=always"])
                .args([&kept, &path])
                .status();
            assert!(copied.unwrap().success());
        };
        fs::rename(&path, &kept).unwrap();
        damage(name);
        restore();
        truncate(&path);
        damage(name);
        restore();
        let at = if name == "ram.raw" {
            used_byte(&path)
        } else {
            fs::metadata(&path).unwrap().len() / 2
        };
        flip(&path, at);
        damage(name);
        restore();
        let status = world.run(["status", "--json"]).fails_with(3).json();
        assert_eq!(
            status["snapshot_damage"],
            serde_json::Value::Null,
            "{name} was put back"
        );
        fs::remove_file(&kept).unwrap();
    }
}

/// Files of the same machine and of another moment: nothing but their content is wrong.
#[test]
fn a_snapshot_s_file_that_is_another_one_s_is_named_and_not_loaded() {
    let world = World::captured_alone();
    let other = world.copy();
    other.run(["capture", "--json"]).ok();
    let (ours, others) = (world.snapshot(), other.snapshot());
    let swap = |name: &str| {
        let beside = others.join("beside");
        fs::rename(ours.join(name), &beside).unwrap();
        fs::rename(others.join(name), ours.join(name)).unwrap();
        fs::rename(&beside, others.join(name)).unwrap();
    };
    for (name, named) in [
        ("ram.raw", "ram.raw"),
        ("device.state", "device.state"),
        ("disk.qcow2", "disk.qcow2"),
        // It is whole, and speaks of other files.
        ("snapshot.json", "device.state"),
    ] {
        swap(name);
        let started = world.start();
        assert_eq!(started["start"]["kind"], "cold", "{name}: {started}");
        let reason = reason(&started);
        assert!(reason.contains(named), "{name}: {reason}");
        let phases = started["start"]["phases"].as_array().unwrap();
        assert!(phases.iter().all(|phase| phase["name"] != "load"), "{name}");
        world.discard();
        swap(name);
    }
    assert_eq!(world.start()["start"]["kind"], "resumed");
    world.discard();
}

#[test]
fn a_damaged_snapshot_starts_cold_and_says_why() {
    let world = World::captured_alone();
    truncate(&world.snapshot().join("device.state"));
    let started = world.start();
    assert_eq!(started["start"]["kind"], "cold", "{started}");
    assert!(
        started["start"]["fallback_reason"]
            .as_str()
            .unwrap()
            .contains("device.state"),
        "{started}"
    );
    assert_eq!(
        try_client_key(PLACEHOLDER_PCK),
        401,
        "a cold boot rotates as well"
    );
    assert_eq!(try_client_key(&world.secret("pck")), 200);
    let remedy = started["start"]["remedy"].as_str().unwrap_or_default();
    assert!(remedy.contains("stack-emulator capture"), "{started}");
    world.discard();
    world.run(["capture", "--json"]).ok();
    assert_eq!(world.start()["start"]["kind"], "resumed");
    world.discard();
}

#[test]
fn verify_finds_what_a_start_cannot_see() {
    let world = World::captured_alone();
    world.run(["verify", "--json"]).ok();
    let ram = world.snapshot().join("ram.raw");
    flip_unnoticed(&ram, used_byte(&ram));
    let run = world.run(["verify", "--json"]);
    assert_eq!(run.error_code(), "snapshot_damaged");
    assert!(run.stdout.contains("ram.raw"), "{}", run.stdout);
    assert!(
        run.stdout.contains("capture"),
        "the remedy is named: {}",
        run.stdout
    );
}

#[test]
fn damage_that_a_start_runs_into_is_found_and_remembered() {
    let world = World::captured_alone();
    // Has the copied files read, and known by their new inodes.
    world.start();
    world.discard();
    // All of the guest's memory, of the same length and with the old time.
    let ram = world.snapshot().join("ram.raw");
    let meta = fs::metadata(&ram).unwrap();
    let file = File::options().write(true).open(&ram).unwrap();
    file.set_len(0).unwrap();
    file.set_len(meta.len()).unwrap();
    file.set_modified(meta.modified().unwrap()).unwrap();
    let looks_whole = world.run(["status", "--json"]).fails_with(3).json();
    assert_eq!(looks_whole["snapshot_damage"], serde_json::Value::Null);

    let started = world.start();
    assert_eq!(started["start"]["kind"], "cold", "{started}");
    let reason = started["start"]["fallback_reason"].as_str().unwrap();
    assert!(
        reason.contains("the snapshot is damaged") && reason.contains("ram.raw"),
        "{reason}"
    );
    assert_ne!(started["start"]["remedy"], Value::Null, "{started}");
    let status = world.run(["status", "--json"]).ok().json();
    let damage = status["snapshot_damage"].as_str().unwrap();
    assert!(damage.contains("ram.raw"), "{status}");
    world.discard();

    // The next one does not try again: nothing is loaded.
    let again = world.start();
    assert_eq!(again["start"]["kind"], "cold", "{again}");
    let phases = again["start"]["phases"].as_array().unwrap();
    assert!(
        phases.iter().all(|phase| phase["name"] != "load"),
        "{again}"
    );
    world.discard();
}

/// What is wrong beside the disk of a kept session, and what a start says of it.
type Damage = (
    &'static str,
    fn(&World, &Path),
    &'static str,
    &'static [&'static str],
);

const BESIDE_A_SESSION: [Damage; 9] = [
    (
        "memory cut short",
        |world, _| truncate(&session(world, "ram.mapped")),
        "cold",
        &["ram.mapped", "bytes"],
    ),
    (
        "memory of an earlier stop",
        |world, earlier| replace(&session(world, "ram.mapped"), &earlier.join("ram.mapped")),
        "cold",
        &["ram.mapped"],
    ),
    (
        "word of the save damaged",
        |world, _| flip_digit(&session(world, "saved.json")),
        "cold",
        &["saved.json", "damaged"],
    ),
    (
        "word of an earlier save",
        |world, earlier| replace(&session(world, "saved.json"), &earlier.join("saved.json")),
        "cold",
        &["its disk was changed after the save"],
    ),
    (
        "word of the disk damaged",
        |world, _| truncate(&session(world, "session.json")),
        "cold",
        &["session.json", "damaged"],
    ),
    (
        "word of the disk missing",
        |world, _| fs::remove_file(session(world, "session.json")).unwrap(),
        "cold",
        &["session.json", "cannot read"],
    ),
    (
        "word of another session's disk",
        |world, earlier| {
            replace(
                &session(world, "session.json"),
                &earlier.join("session.json"),
            );
        },
        "cold",
        &["session.json", "of another session"],
    ),
    (
        "snapshot's word damaged",
        |world, _| flip_digit(&world.snapshot().join("snapshot.json")),
        "cold",
        &["snapshot.json", "damaged"],
    ),
    (
        "word of the image in use damaged",
        |world, _| flip_digit(&world.instance().join("instance.json")),
        "continued",
        &[],
    ),
];

fn session(world: &World, name: &str) -> PathBuf {
    world.instance().join("session").join(name)
}

/// Puts another file in the place of `path`; both stay files of their own.
fn replace(path: &Path, by: &Path) {
    fs::remove_file(path).unwrap();
    fs::copy(by, path).unwrap();
}

/// Changes one digit in the last half of a record.
fn flip_digit(path: &Path) {
    let text = fs::read(path).unwrap();
    let at = text.iter().rposition(u8::is_ascii_digit).unwrap();
    flip(path, at as u64);
}

#[test]
fn a_kept_session_keeps_its_data_whatever_is_damaged_beside_it() {
    let mut world = World::captured_alone();
    let earlier = world.user_home().join("earlier");
    fs::create_dir(&earlier).unwrap();
    // A session on the image itself, for its record alone: no more of it is waited for.
    world.set("EMULATOR_NO_SNAPSHOT", "1");
    let mut other = world.spawn(["start", "--json"]);
    let record = session(&world, "session.json");
    while fs::copy(&record, earlier.join("session.json")).is_err() {
        assert!(other.try_wait().unwrap().is_none(), "it ended too early");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    other.kill().unwrap();
    other.wait().unwrap();
    world.unset("EMULATOR_NO_SNAPSHOT");

    assert_eq!(world.start()["start"]["kind"], "resumed");
    leave_a_note(&world);
    assert_eq!(world.stop()["session"], "saved");
    for name in ["ram.mapped", "saved.json"] {
        fs::hard_link(session(&world, name), earlier.join(name)).unwrap();
    }
    assert_eq!(world.start()["start"]["kind"], "continued");
    world.stop();
    let manifest = world.snapshot().join("snapshot.json");
    let manifest_as_it_was = fs::read(&manifest).unwrap();
    for (what, damage, kind, named) in BESIDE_A_SESSION {
        damage(&world, &earlier);
        let started = world.start();
        assert_eq!(started["start"]["kind"], kind, "{what}: {started}");
        let reason = reason(&started);
        for word in named {
            assert!(reason.contains(word), "{what}: {reason}");
        }
        assert_eq!(read_the_note(&world), "kept\n", "{what}");
        assert_eq!(try_client_key(PLACEHOLDER_PCK), 401, "{what}");
        fs::write(&manifest, &manifest_as_it_was).unwrap();
        assert_eq!(world.stop()["session"], "saved", "{what}");
    }
    world.set("EMULATOR_RAM", "3072");
    let started = world.start();
    assert_eq!(started["start"]["kind"], "cold", "{started}");
    let said = reason(&started);
    assert!(said.contains("1024 MiB and is now 3072 MiB"), "{said}");
    assert_eq!(read_the_note(&world), "kept\n");
    world.stop();
    world.unset("EMULATOR_RAM");

    // Only without the disk is there nothing to keep, and that is said.
    fs::remove_file(session(&world, "disk.qcow2")).unwrap();
    let run = world.run(["start", "--json"]).ok();
    let started = run.json();
    assert_eq!(started["start"]["kind"], "resumed", "{started}");
    let said = reason(&started);
    assert!(said.contains("disk.qcow2 is gone"), "{said}");
    assert!(run.stderr.contains("is lost"), "{}", run.stderr);
    world.discard();
}

#[test]
fn another_shape_of_machine_is_named_and_captured_anew() {
    let mut world = World::captured_alone();
    world.set("EMULATOR_RAM", "2048");
    let run = world.run(["start", "--json"]).ok();
    assert!(
        run.stderr
            .contains("guest memory was 1024 MiB and is now 2048 MiB"),
        "{}",
        run.stderr
    );
    assert_eq!(run.json()["start"]["kind"], "resumed");
    world.discard();
}

#[test]
fn an_image_replaced_under_a_snapshot_is_noticed() {
    let template = World::captured_alone();
    let copy = template.user_home().join("image.qcow2");
    fs::copy(image(), &copy).unwrap();
    fs::copy(image().with_extension("json"), copy.with_extension("json")).unwrap();
    let world = World::with_image(copy.clone());
    world.run(["capture", "--json"]).ok();
    // Unused bytes at the end: still a good qcow2 file, and another image.
    File::options()
        .append(true)
        .open(&copy)
        .unwrap()
        .set_len(fs::metadata(&copy).unwrap().len() + 65536)
        .unwrap();
    let run = world.run(["start", "--json"]);
    assert_eq!(
        run.error_code(),
        "image",
        "its manifest does not fit it: {}",
        run.stdout
    );
    fs::remove_file(copy.with_extension("json")).unwrap();
    let doctor = world.run(["doctor", "--json"]);
    assert!(doctor.stdout.contains("the image was"), "{}", doctor.stdout);
}

#[test]
fn a_taken_port_is_named_with_its_process() {
    let world = World::captured_alone();
    let (dashboard, backend) = (port("dashboard"), port("backend"));
    let listener = std::net::TcpListener::bind(("127.0.0.1", backend)).unwrap();
    let run = world.run(["start", "--json"]);
    assert_eq!(run.error_code(), "port_taken");
    let me = format!("(pid {})", std::process::id());
    assert!(
        run.stdout.contains(&backend.to_string()) && run.stdout.contains(&me),
        "{}",
        run.stdout
    );
    assert!(
        !run.stdout.contains(&dashboard.to_string()),
        "the other port is free: {}",
        run.stdout
    );
    assert!(world.qemu_processes().is_empty());
    drop(listener);
    assert_eq!(
        world.start()["start"]["kind"],
        "resumed",
        "nothing was spoilt"
    );
    world.discard();
}

#[test]
fn a_missing_qemu_is_named_with_a_remedy() {
    let mut world = World::captured_alone();
    world.set("STACK_EMULATOR_QEMU", "/nowhere/qemu-system-x86_64");
    let run = world.run(["start", "--json"]);
    assert_eq!(run.error_code(), "qemu_missing");
    assert!(
        run.stdout.contains("/nowhere/qemu-system-x86_64"),
        "{}",
        run.stdout
    );
}
