//! Saved state that is not what it was, or not of this machine: a clear reason,
//! and a working emulator by another way.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use e2e::{PLACEHOLDER_PCK, World, image, ports, try_client_key};

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
    let world = World::captured();
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

#[test]
fn a_swapped_device_state_is_named() {
    let world = World::captured();
    let path = world.snapshot().join("device.state");
    // Of the same length, and of another machine altogether.
    let mut bytes = fs::read(&path).unwrap();
    bytes.rotate_left(1);
    fs::write(&path, bytes).unwrap();
    let status = world.run(["status", "--json"]).fails_with(3).json();
    assert!(
        status["snapshot_damage"]
            .as_str()
            .unwrap()
            .contains("device.state"),
        "{status}"
    );
}

#[test]
fn a_damaged_snapshot_starts_cold_and_says_why() {
    let world = World::captured();
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
    world.discard();
    world.run(["capture", "--json"]).ok();
    assert_eq!(world.start()["start"]["kind"], "resumed");
    world.discard();
}

#[test]
fn verify_finds_what_a_start_cannot_see() {
    let world = World::captured();
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
    let world = World::captured();
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

#[test]
fn a_session_whose_memory_is_damaged_keeps_its_data() {
    let world = World::captured();
    world.start();
    assert_eq!(
        world
            .in_guest("/bin/sh", &["-c", "echo kept > /var/tmp/note"])
            .0,
        0
    );
    world.stop();
    truncate(&world.instance().join("session/ram.mapped"));
    let started = world.start();
    assert_eq!(started["start"]["kind"], "cold", "{started}");
    assert!(
        started["start"]["fallback_reason"]
            .as_str()
            .unwrap()
            .contains("ram.mapped"),
        "{started}"
    );
    assert_eq!(world.in_guest("/bin/cat", &["/var/tmp/note"]).1, "kept\n");
    assert_eq!(try_client_key(PLACEHOLDER_PCK), 401);
    world.discard();
}

#[test]
fn another_shape_of_machine_is_named_and_captured_anew() {
    let mut world = World::captured();
    world.set("EMULATOR_RAM", "2048");
    let run = world.run(["start", "--json"]).ok();
    assert!(
        run.stderr
            .contains("guest memory was 4096 MiB and is now 2048 MiB"),
        "{}",
        run.stderr
    );
    assert_eq!(run.json()["start"]["kind"], "resumed");
    world.discard();
}

#[test]
fn an_image_replaced_under_a_snapshot_is_noticed() {
    let template = World::captured();
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
    let world = World::captured();
    let (dashboard, backend) = ports();
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
    let mut world = World::captured();
    world.set("STACK_EMULATOR_QEMU", "/nowhere/qemu-system-x86_64");
    let run = world.run(["start", "--json"]);
    assert_eq!(run.error_code(), "qemu_missing");
    assert!(
        run.stdout.contains("/nowhere/qemu-system-x86_64"),
        "{}",
        run.stdout
    );
}
