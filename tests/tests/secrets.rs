//! The four values are in the store and in the guest, and nowhere else.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use e2e::World;
use e2e::keychain::Keychain;
use e2e::leaks::nowhere;

const NAMES: [&str; 4] = ["pck", "ssk", "sak", "cron"];

#[test]
fn a_start_a_rotation_and_a_stop_leave_no_secret() {
    let world = World::captured();
    world.start();
    let values: Vec<String> = NAMES.iter().map(|name| world.secret(name)).collect();
    nowhere(world.user_home(), &values);
    for qemu in world.qemu_processes() {
        assert_leaves_no_core_dump(qemu);
    }
    world.run(["status", "--json", "--verbose"]).ok();
    world.stop();
    nowhere(world.user_home(), &values);
    let again = world.run(["start", "--json", "--verbose"]).ok();
    let fresh: Vec<String> = NAMES.iter().map(|name| world.secret(name)).collect();
    for value in values.iter().chain(&fresh) {
        assert!(
            !again.stderr.contains(value) && !again.stdout.contains(value),
            "printed by a start"
        );
    }
    nowhere(world.user_home(), &fresh);
    world.discard();
    assert_ne!(
        world.run(["secrets", "show", "ssk"]).code,
        Some(0),
        "a dropped session's secrets go with it"
    );
}

/// A core dump would have the guest's memory. Two things forbid it: the limit, and a mark
/// on the memory itself (`dd`, "do not dump", in `proc_pid_smaps(5)`).
#[track_caller]
fn assert_leaves_no_core_dump(qemu: u32) {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{qemu}/{name}")).unwrap();
    let limits = read("limits");
    let core = limits.lines().find(|line| line.contains("core file"));
    let soft = core.and_then(|line| line.split_whitespace().nth(4));
    // None at all where a harder limit says so already.
    assert!(matches!(soft, Some("0" | "1")), "{limits}");
    let maps = read("smaps");
    assert!(
        maps.contains("ram.raw"),
        "QEMU maps the memory of the snapshot"
    );
    let mut lines = maps.lines().skip_while(|line| !line.contains("ram.raw"));
    let flags = lines.find(|line| line.starts_with("VmFlags: ")).unwrap();
    assert!(flags.split(' ').any(|flag| flag == "dd"), "{flags}");
}

/// What is killed in the middle of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    /// Nobody is left to clean up.
    OurProcess,
    /// The caller tells of the failure, and may try another way.
    Qemu,
}

#[test]
fn a_start_that_fails_in_any_phase_leaves_no_secret() {
    // A keychain that can be read, so that the values of a start are known
    // that was never done.
    let keychain = Keychain::start();
    let mut world = World::captured();
    world.set("DBUS_SESSION_BUS_ADDRESS", keychain.address());
    let all = [
        "Begin(Prepare)",
        "Begin(Qemu)",
        "Begin(Load)",
        "Begin(Agent)",
        "Begin(Clock)",
        "Begin(Rotate)",
        "End(Rotate",
        "Begin(Ready)",
        "End(Ready",
    ];
    let ours = all.map(|moment| (Victim::OurProcess, moment));
    let qemu = ["Begin(Rotate)", "Begin(Ready)"].map(|moment| (Victim::Qemu, moment));
    for (victim, moment) in ours.into_iter().chain(qemu) {
        let mut start = world.spawn(["start", "--json", "--verbose"]);
        let mut told = String::new();
        let mut stderr = BufReader::new(start.stderr.take().unwrap());
        while !told.contains(moment) {
            let read = stderr.read_line(&mut told).unwrap();
            assert_ne!(read, 0, "never came to {moment}: {told}");
        }
        match victim {
            Victim::OurProcess => start.kill().unwrap(),
            Victim::Qemu => world.kill_qemu(),
        }
        stderr.read_to_string(&mut told).unwrap();
        let output = start.wait_with_output().unwrap();
        told.push_str(&String::from_utf8_lossy(&output.stdout));
        // Values on their way into the guest are one entry with a line each.
        let values: Vec<String> = keychain
            .entries()
            .iter()
            .flat_map(|entry| entry.value.lines())
            .map(ToOwned::to_owned)
            .collect();
        if moment.contains("Rotate") || moment.contains("Ready") {
            assert!(values.len() >= 4, "{moment}: {}", values.len());
        }
        nowhere(world.user_home(), &values);
        for value in &values {
            assert!(!told.contains(value), "{victim:?} {moment}: it was printed");
        }
        // Cleans up; what it says may not tell a value either.
        let cleaned = world.run(["reset", "--yes", "--json", "--verbose"]).ok();
        for value in &values {
            let said = [&cleaned.stdout, &cleaned.stderr];
            assert!(!said.iter().any(|text| text.contains(value)), "{moment}");
        }
        nowhere(world.user_home(), &values);
    }
    world.discard();
}

#[test]
fn a_diagnostics_archive_of_a_running_emulator_holds_no_secret() {
    let world = World::captured();
    world.start();
    let values: Vec<String> = NAMES.iter().map(|name| world.secret(name)).collect();
    let path = world.user_home().join("diagnostics.zip");
    let arguments = ["diagnostics", path.to_str().unwrap(), "--json"];
    let written = world.run(arguments).ok().json();
    let files = written["files"].as_array().unwrap();
    for name in ["report.json", "records/run.json", "logs/serial.log"] {
        assert!(files.iter().any(|file| file == name), "{name}: {files:?}");
    }
    let unpacked = world.user_home().join("unpacked");
    std::fs::create_dir(&unpacked).unwrap();
    let status = std::process::Command::new("bsdtar")
        .arg("-xf")
        .arg(&path)
        .arg("-C")
        .arg(&unpacked)
        .status()
        .unwrap();
    assert!(status.success());
    let report = std::fs::read_to_string(unpacked.join("report.json")).unwrap();
    assert!(report.contains("\"running\""), "{report}");
    assert!(!report.contains(world.user_home().to_str().unwrap()));
    nowhere(world.user_home(), &values);
    world.discard();
}

#[test]
fn the_guest_s_files_are_the_user_s_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::captured();
    world.start();
    world.stop();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let session = world.instance().join("session");
    assert_eq!(mode(&world.instance()), 0o700);
    for path in [
        session.join("disk.qcow2"),
        session.join("ram.mapped"),
        world.snapshot().join("ram.raw"),
    ] {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    world.discard();
}
