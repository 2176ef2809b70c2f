//! A snapshot's way into an archive and back.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::time::Duration;

use e2e::{PLACEHOLDER_PCK, World, try_client_key};

#[test]
fn an_archived_snapshot_comes_back_and_starts() {
    let world = World::captured();
    let archive = world.user_home().join("kept.savevm.zst");
    let name = archive.to_str().unwrap();

    // Killed in its middle, it leaves no archive; the next one is whole.
    let mut child = world.spawn(["archive", name, "--json"]);
    std::thread::sleep(Duration::from_millis(150));
    child.kill().ok();
    child.wait().unwrap();
    world.run(["archive", name, "--json"]).ok();
    let tested = std::process::Command::new("zstd")
        .args(["-t", "-q", name])
        .status();
    assert!(tested.expect("install zstd").success());

    std::fs::remove_dir_all(world.instance().join("snapshots")).unwrap();
    let mut child = world.spawn(["restore", name, "--json"]);
    std::thread::sleep(Duration::from_millis(150));
    child.kill().ok();
    child.wait().unwrap();
    world.run(["restore", name, "--json"]).ok();
    assert_eq!(world.start()["start"]["kind"], "resumed");
    assert_eq!(try_client_key(PLACEHOLDER_PCK), 401);
    world.discard();
}
