//! Real files, a real process, and what is told of them.

use std::time::Duration;

use super::*;
use crate::config::paths::InstanceName;
use crate::config::preferences::Preferences;
use crate::config::variables::{self, Settings};
use crate::instance::lock::Lock;
use crate::machine::run_record::Purpose;
use crate::machine::slot::Slot;

/// For what takes milliseconds unless the machine is swapping.
const LIMIT: Duration = Duration::from_secs(30);

fn emulator(home: &Path) -> Emulator {
    let home = (variables::HOME.into(), home.as_os_str().to_owned());
    let settings = Settings::from_variables([home]).unwrap();
    Emulator::new(settings, InstanceName::default(), None)
}

/// Everything that is told until all of `wanted` has been.
async fn told(changes: &mut Changes, wanted: Changed) -> Changed {
    let mut all = Changed::NOTHING;
    let hear = async {
        while all.and(wanted) != all {
            all = all.and(changes.next().await.unwrap());
        }
    };
    tokio::time::timeout(LIMIT, hear).await.unwrap();
    all
}

/// Waits until what was done so far has been told, by doing something that is.
async fn settle(changes: &mut Changes) {
    let projects = Changed {
        projects: true,
        ..Changed::NOTHING
    };
    // As records are committed: by a rename.
    let path = changes.emulator.paths.projects();
    let beside = path.with_extension("new");
    std::fs::write(&beside, "{}").unwrap();
    std::fs::rename(&beside, &path).unwrap();
    told(changes, projects).await;
    while !changes.shared.is_quiet() {
        changes.next().await.unwrap();
    }
}

#[tokio::test]
async fn a_home_that_is_made_later_is_followed_down_to_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("not/yet/home");
    let emulator = emulator(&home);
    let mut changes = emulator.changes().unwrap();
    crate::config::paths::make_private_folder(emulator.paths.root()).unwrap();
    told(&mut changes, Changed::STATUS).await;
    // Whatever was made meanwhile, the files in it are told of from now on.
    settle(&mut changes).await;
    let lock = Lock::try_acquire(&emulator.paths.main().lock(), "start").unwrap();
    told(&mut changes, Changed::STATUS).await;
    assert!(emulator.glance().unwrap().busy.is_some());
    settle(&mut changes).await;
    drop(lock);
    let released = Changed {
        projects: true,
        ..Changed::STATUS
    };
    told(&mut changes, released).await;
    assert!(emulator.glance().unwrap().busy.is_none());
}

#[tokio::test]
async fn each_part_is_told_of_by_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let emulator = emulator(&home);
    for folder in ["images/references", "images/incoming"] {
        std::fs::create_dir_all(home.join(folder)).unwrap();
    }
    std::fs::create_dir_all(emulator.paths.snapshots()).unwrap();
    let mut changes = emulator.changes().unwrap();

    Preferences::default().write(&emulator.home).unwrap();
    let settings = Changed {
        settings: true,
        ..Changed::STATUS
    };
    assert_eq!(told(&mut changes, settings).await, settings);
    // As an editor may write it: in its place.
    std::fs::write(home.join("settings.json"), "{}").unwrap();
    assert_eq!(told(&mut changes, settings).await, settings);

    std::fs::write(home.join("images/references/dev"), "x").unwrap();
    let images = Changed {
        images: true,
        ..Changed::STATUS
    };
    assert_eq!(told(&mut changes, images).await, images);

    let path = emulator.paths.instance_record();
    record::write(
        &path,
        &crate::state::instance_record::InstanceRecord::default(),
        record::Durability::ThisBoot,
    )
    .unwrap();
    assert_eq!(told(&mut changes, images).await, images);

    std::os::unix::fs::symlink("x", emulator.paths.current_snapshot()).unwrap();
    assert_eq!(told(&mut changes, Changed::STATUS).await, Changed::STATUS);
}

/// The kinds as `notify` makes them of inotify's and of `FSEvents`' flags.
#[test]
fn a_lock_that_is_released_is_told_with_and_without_an_event_of_the_close() {
    use notify::event::DataChange;
    let dir = tempfile::tempdir().unwrap();
    let emulator = emulator(dir.path());
    let folders = Folders::of(&emulator);
    let lock = folders.instance.join("lock");
    let released = Changed {
        projects: true,
        ..Changed::STATUS
    };
    let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
    let modified = |change| EventKind::Modify(ModifyKind::Data(change));
    for (kind, closes_are_told, told) in [
        (closed, true, released),
        (modified(DataChange::Any), true, Changed::STATUS),
        (modified(DataChange::Content), false, released),
        (EventKind::Modify(ModifyKind::Any), false, released),
        (EventKind::Access(AccessKind::Read), false, Changed::NOTHING),
    ] {
        let news = folders.judge_told(&lock, kind, closes_are_told);
        assert_eq!(news.changed, told, "{kind:?} {closes_are_told}");
    }
    // In its place, as an editor may write it.
    let settings = folders.home.join("settings.json");
    let written = modified(DataChange::Content);
    assert!(
        folders
            .judge_told(&settings, written, false)
            .changed
            .settings
    );
    assert!(
        !folders
            .judge_told(&settings, written, true)
            .changed
            .settings
    );
}

#[tokio::test]
async fn what_is_of_no_interest_is_not_told() {
    let dir = tempfile::tempdir().unwrap();
    let emulator = emulator(dir.path());
    let session = emulator.paths.main().session();
    for folder in [session.root(), &emulator.paths.root().join("logs")] {
        std::fs::create_dir_all(folder).unwrap();
    }
    std::fs::write(emulator.paths.main().lock(), "").unwrap();
    let incoming = dir.path().join("images/incoming");
    std::fs::create_dir_all(&incoming).unwrap();
    let partial = incoming.join("x.partial");
    std::fs::write(&partial, "x").unwrap();
    let mut changes = emulator.changes().unwrap();
    settle(&mut changes).await;
    for path in [
        session.disk(),
        emulator.paths.main().serial_log(),
        partial,
        dir.path().join("notes.txt"),
    ] {
        std::fs::write(path, "more").unwrap();
    }
    // A look of ours opens the lock file, and must not cause the next one.
    emulator.glance().unwrap();
    std::fs::remove_file(emulator.paths.projects()).unwrap();
    let projects = Changed {
        projects: true,
        ..Changed::NOTHING
    };
    assert_eq!(told(&mut changes, projects).await, projects);
}

#[tokio::test]
async fn other_instances_are_told_of_from_when_they_come() {
    let dir = tempfile::tempdir().unwrap();
    let emulator = emulator(dir.path());
    std::fs::create_dir_all(emulator.paths.root()).unwrap();
    let mut changes = emulator.changes().unwrap();
    let other = emulator.sibling("other".parse().unwrap());
    std::fs::create_dir_all(other.paths.root()).unwrap();
    told(&mut changes, OTHERS).await;
    settle(&mut changes).await;
    let lock = Lock::try_acquire(&other.paths.main().lock(), "start").unwrap();
    assert_eq!(told(&mut changes, OTHERS).await, OTHERS);
    settle(&mut changes).await;
    drop(lock);
    assert_eq!(told(&mut changes, OTHERS).await, OTHERS);
    std::fs::remove_dir_all(other.paths.root()).unwrap();
    told(&mut changes, OTHERS).await;
}

#[tokio::test]
async fn an_instance_that_is_removed_and_made_again_is_still_watched() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let emulator = emulator(&home);
    std::fs::create_dir_all(emulator.paths.root()).unwrap();
    let mut changes = emulator.changes().unwrap();
    std::fs::remove_dir_all(&home).unwrap();
    told(&mut changes, Changed::STATUS).await;
    std::fs::create_dir_all(emulator.paths.root()).unwrap();
    told(&mut changes, Changed::STATUS).await;
    settle(&mut changes).await;
}

#[tokio::test]
async fn a_call_that_was_dropped_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let emulator = emulator(dir.path());
    let mut changes = emulator.changes().unwrap();
    for _ in 0..20 {
        let given_up = tokio::time::timeout(Duration::from_millis(5), changes.next()).await;
        assert!(given_up.is_err());
        Preferences::default().write(&emulator.home).unwrap();
        let dropped = tokio::time::timeout(Duration::from_millis(5), changes.next()).await;
        if dropped.is_err() {
            let settings = Changed {
                settings: true,
                ..Changed::NOTHING
            };
            told(&mut changes, settings).await;
        }
        while !changes.shared.is_quiet() {
            changes.next().await.unwrap();
        }
    }
}

#[tokio::test]
async fn the_end_of_the_process_is_told_though_no_file_changes() {
    let dir = tempfile::tempdir().unwrap();
    let emulator = emulator(dir.path());
    std::fs::create_dir_all(emulator.paths.root()).unwrap();
    let mut changes = emulator.changes().unwrap();
    // A run record as a start leaves it, about a process that is not QEMU.
    let slot = Slot::open(emulator.paths.main()).unwrap();
    let mut record = slot.new_record(Purpose::Capturing).unwrap();
    let mut child = tokio::process::Command::new("sh")
        .args(["-c", "read nothing"])
        .arg(format!("#{}", record.token.as_ref().unwrap()))
        .stdin(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    record.process = ProcessIdentity::of(child.id().unwrap()).unwrap();
    slot.write(&record).unwrap();
    told(&mut changes, Changed::STATUS).await;
    settle(&mut changes).await;
    assert!(emulator.process().unwrap().is_some());
    child.kill().await.unwrap();
    told(&mut changes, Changed::STATUS).await;
    assert!(emulator.process().unwrap().is_none());
}
