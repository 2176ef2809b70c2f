//! The four values are in the store and in the guest, and nowhere else.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::path::Path;

use e2e::World;
use e2e::leaks::nowhere;

const NAMES: [&str; 4] = ["pck", "ssk", "sak", "cron"];

#[test]
fn a_start_a_rotation_and_a_stop_leave_no_secret() {
    let world = World::captured();
    world.start();
    let values: Vec<String> = NAMES.iter().map(|name| world.secret(name)).collect();
    nowhere(world.user_home(), &values);
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
