//! A snapshot's way into an archive and back, cut short anywhere.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::path::Path;

use e2e::{PLACEHOLDER_PCK, World, try_client_key};

/// Fails the test unless the `zstd` tool finds the file whole.
#[track_caller]
fn is_whole(archive: &Path) {
    let tested = std::process::Command::new("zstd")
        .args(["-t", "-q"])
        .arg(archive)
        .status();
    assert!(tested.expect("install zstd").success());
}

/// Nothing is in its place at these: when it begins, and when some of it is done.
const BEFORE_THE_COMMIT: [&str; 2] = ["Begin(Archive)", "phase: Archive"];

#[test]
fn an_archiving_or_a_restore_that_is_killed_changes_nothing() {
    let world = World::captured();
    let archive = world.user_home().join("kept.savevm.zst");
    let archiving = ["archive", archive.to_str().unwrap()];
    let restore = ["restore", archive.to_str().unwrap()];
    let before = world.snapshot();
    for moment in BEFORE_THE_COMMIT {
        assert!(world.kill_at(&archiving, moment), "it ended by {moment}");
        assert!(!archive.exists(), "{moment}: there is an archive");
        assert_eq!(world.snapshot(), before, "{moment}");
    }
    // It is in its place, and was nothing less at any time.
    world.kill_at(&archiving, "End(Archive");
    is_whole(&archive);
    // In place of what is there, of which nothing is spoilt before.
    let first = std::fs::read(&archive).unwrap();
    assert!(world.kill_at(&archiving, "phase: Archive"));
    assert!(std::fs::read(&archive).unwrap() == first, "it was spoilt");
    world.run(archiving.iter().chain(&["--json"])).ok();
    is_whole(&archive);
    let left: Vec<_> = std::fs::read_dir(world.user_home())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_string_lossy().contains("partial"))
        .collect();
    assert!(left.is_empty(), "{left:?}");

    for moment in BEFORE_THE_COMMIT {
        assert!(world.kill_at(&restore, moment), "it ended by {moment}");
        assert_eq!(world.snapshot(), before, "{moment}");
        let started = world.start();
        assert_eq!(started["start"]["kind"], "resumed", "{moment}: {started}");
        let id = started["snapshot"]["id"].as_str().unwrap();
        assert!(before.ends_with(id), "{moment}: {started}");
        world.discard();
        let unfinished = world.instance().join("snapshots/.capturing");
        assert!(!unfinished.exists(), "{moment}: half a snapshot is left");
    }
    world.kill_at(&restore, "End(Archive");
    let restored = world.snapshot();
    assert_ne!(restored, before, "it was committed");

    // Into an installation that has none.
    std::fs::remove_dir_all(world.instance().join("snapshots")).unwrap();
    world.run(restore.iter().chain(&["--json"])).ok();
    assert_eq!(world.start()["start"]["kind"], "resumed");
    assert_eq!(try_client_key(PLACEHOLDER_PCK), 401);
    world.discard();
}
