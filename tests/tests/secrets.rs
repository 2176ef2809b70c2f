//! The four values are in the store and in the guest, and nowhere else.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::path::Path;

use e2e::World;

const NAMES: [&str; 4] = ["pck", "ssk", "sak", "cron"];

/// Files below `root` that hold `needle`, but for those the guest owns.
fn search(root: &Path, needle: &[u8], found: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(root) else {
        return;
    };
    for entry in entries.flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            search(&path, needle, found);
        } else if kind.is_file() && !is_the_guest_s(&path) {
            let bytes = std::fs::read(&path).unwrap();
            if bytes.windows(needle.len()).any(|window| window == needle) {
                found.push(path.display().to_string());
            }
        }
    }
}

/// The guest's own disk and saved memory hold what the guest holds.
fn is_the_guest_s(path: &Path) -> bool {
    ["session/disk.qcow2", "session/ram.mapped", "ram.raw"]
        .iter()
        .any(|end| path.ends_with(end))
}

/// Arguments and environments of all processes that hold `needle`.
fn search_processes(needle: &[u8], found: &mut Vec<String>) {
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        for file in ["cmdline", "environ"] {
            let path = entry.path().join(file);
            // Other users' processes and ended ones cannot be read.
            let Ok(bytes) = std::fs::read(&path) else {
                continue;
            };
            if bytes.windows(needle.len()).any(|window| window == needle) {
                found.push(path.display().to_string());
            }
        }
    }
}

#[track_caller]
fn nowhere(world: &World, values: &[String]) {
    let mut found = Vec::new();
    for value in values {
        search(world.user_home(), value.as_bytes(), &mut found);
        search_processes(value.as_bytes(), &mut found);
    }
    assert!(found.is_empty(), "a secret is in {found:?}");
}

#[test]
fn a_start_a_rotation_and_a_stop_leave_no_secret() {
    let world = World::captured();
    world.start();
    let values: Vec<String> = NAMES.iter().map(|name| world.secret(name)).collect();
    nowhere(&world, &values);
    world.run(["status", "--json", "--verbose"]).ok();
    world.stop();
    nowhere(&world, &values);
    let again = world.run(["start", "--json", "--verbose"]).ok();
    let fresh: Vec<String> = NAMES.iter().map(|name| world.secret(name)).collect();
    for value in values.iter().chain(&fresh) {
        assert!(
            !again.stderr.contains(value) && !again.stdout.contains(value),
            "printed by a start"
        );
    }
    nowhere(&world, &fresh);
    world.discard();
    assert_ne!(
        world.run(["secrets", "show", "ssk"]).code,
        Some(0),
        "a dropped session's secrets go with it"
    );
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
