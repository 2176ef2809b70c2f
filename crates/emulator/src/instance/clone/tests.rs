//! Clones: what they share, and what they do not.

use std::os::unix::fs::MetadataExt as _;

use failure::{Code, Remedy};
use images::qcow2;
use progress::Silent;

use super::*;
use crate::config::variables::{HOME, Settings};
use crate::instance::archive::tests::snapshot::instance;
use crate::machine::fingerprint::Content;
use crate::state::{session, sparse};

/// The instance `default` of a home with one snapshot.
fn source(dir: &Path) -> (Emulator, Snapshot) {
    let (_, snapshot) = instance(dir);
    let home = dir.join("home").into_os_string();
    let settings = Settings::from_variables([(HOME.into(), home)]).unwrap();
    let emulator = Emulator::new(settings, InstanceName::default(), None);
    (emulator, snapshot)
}

/// A saved session on that snapshot.
fn save_session(emulator: &Emulator, snapshot: &Snapshot) {
    let paths = emulator.paths.main().session();
    std::fs::create_dir_all(paths.root()).unwrap();
    qcow2::create_overlay(&paths.disk(), &snapshot.paths.disk(), 1 << 30).unwrap();
    std::fs::write(paths.ram(), "memory").unwrap();
    let image = snapshot.manifest.fingerprint.image.clone();
    let record = SessionRecord {
        snapshot: Some(snapshot.manifest.id.clone()),
        image,
        image_path: "/image".into(),
        created_at_ms: 1,
    };
    session::begin(&paths, &record).unwrap();
    let saved = SavedRecord {
        fingerprint: snapshot.manifest.fingerprint.clone(),
        ram: Sealed::of(&paths.ram()).unwrap(),
        device_state: None,
        disk: FileStamp::of(&paths.disk()).unwrap(),
        boot_id: "boot".into(),
        saved_at_ms: 1,
    };
    record::write(&paths.saved(), &saved, Durability::ThisBoot).unwrap();
}

fn name(text: &str) -> InstanceName {
    text.parse().unwrap()
}

fn whole(paths: &InstancePaths) -> Snapshot {
    match Snapshot::current(paths) {
        Found::Whole(snapshot) => *snapshot,
        Found::None => panic!("no snapshot"),
        Found::Damaged(damage) => panic!("{damage}"),
    }
}

fn inode(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().ino()
}

#[tokio::test]
async fn a_clone_has_the_files_of_the_snapshot_and_ports_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let (source, snapshot) = source(dir.path());
    let clone = |to: &'static str| {
        let source = &source;
        async move {
            source
                .clone_to(&name(to), &CloneFrom::Snapshot, &Silent)
                .await
        }
    };
    let report = clone("one").await.unwrap();
    assert_eq!(report.source, InstanceName::default());
    let other = clone("two").await.unwrap();
    assert_ne!(report.ports, other.ports);

    let cloned = whole(&source.home.instance(&name("one")));
    assert_eq!(inode(&cloned.paths.ram()), inode(&snapshot.paths.ram()));
    assert!(cloned.manifest.fingerprint.ports_of_another);
    // By their stamps alone: neither has to be read again.
    assert_eq!(cloned.manifest.ram.stamp, snapshot.manifest.ram.stamp);
    assert_eq!(cloned.damage(true), None);
    let original = whole(&source.paths);
    assert!(!original.manifest.fingerprint.ports_of_another);

    // Either can go without the other.
    source.delete(&Silent).await.unwrap();
    assert_eq!(cloned.damage(true), None);
    let error = clone("three").await.unwrap_err();
    assert_eq!(error.code(), Code::InstanceMissing);
}

#[tokio::test]
async fn what_exists_is_not_replaced_and_what_was_left_is() {
    let dir = tempfile::tempdir().unwrap();
    let (source, _) = source(dir.path());
    let clone = |to: &'static str| {
        let source = &source;
        async move {
            source
                .clone_to(&name(to), &CloneFrom::Snapshot, &Silent)
                .await
        }
    };
    let taken = clone("default").await.unwrap_err();
    assert_eq!(taken.code(), Code::InstanceExists);
    let remedy = Remedy::DeleteInstance {
        instance: "default".to_owned(),
    };
    assert_eq!(taken.remedy(), Some(remedy));

    let left = incoming(&source.home, &name("one"));
    std::fs::create_dir_all(left.join("session")).unwrap();
    clone("one").await.unwrap();
    assert!(!left.exists());
    assert!(
        !source
            .home
            .instance(&name("one"))
            .main()
            .session()
            .root()
            .exists()
    );

    let busy = incoming(&source.home, &name("two"));
    std::fs::create_dir_all(&busy).unwrap();
    let lock = Lock::try_acquire(&busy.join("lock"), "clone").unwrap();
    let error = clone("two").await.unwrap_err();
    assert_eq!(error.code(), Code::InstanceExists);
    drop(lock);
}

#[tokio::test]
async fn without_a_snapshot_nothing_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let (source, snapshot) = source(dir.path());
    let paths = &source.paths;
    let try_clone = async || {
        let error = source
            .clone_to(&name("one"), &CloneFrom::Snapshot, &Silent)
            .await;
        let names = source.instance_names().unwrap();
        assert_eq!(names, [InstanceName::default()]);
        error.unwrap_err()
    };
    std::fs::write(snapshot.paths.device_state(), "x").unwrap();
    assert_eq!(try_clone().await.code(), Code::SnapshotDamaged);
    Snapshot::remove(paths, &snapshot.manifest.id).unwrap();
    let error = try_clone().await;
    assert_eq!(error.code(), Code::NoSnapshot);
    assert_eq!(error.remedy(), Some(Remedy::TakeSnapshot));
}

#[tokio::test]
async fn a_session_is_cloned_with_a_disk_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let (source, snapshot) = source(dir.path());
    let clone = async |to| {
        source
            .clone_to(&name(to), &CloneFrom::Session, &Silent)
            .await
    };
    let error = clone("one").await.unwrap_err();
    assert_eq!(error.code(), Code::NoSession);
    assert_eq!(error.remedy(), Some(Remedy::CloneSnapshot));

    save_session(&source, &snapshot);
    clone("one").await.unwrap();
    let from = source.paths.main().session();
    let to = source.home.instance(&name("one")).main().session();
    assert_ne!(inode(&to.disk()), inode(&from.disk()));
    assert_eq!(inode(&to.ram()), inode(&from.ram()));
    let saved: SavedRecord = record::read(&to.saved()).unwrap();
    assert!(saved.fingerprint.ports_of_another);
    assert_eq!(saved.disk, FileStamp::of(&to.disk()).unwrap());
    let base = Base::of(&source.home, &name("one")).unwrap().unwrap();
    assert_eq!(base.doubt, None);
    let content = Content {
        sha256: base.image.unwrap(),
        ..snapshot.manifest.fingerprint.image.clone()
    };
    let paths = source.home.instance(&name("one"));
    base.check(&paths, Path::new("/image"), &content, false)
        .unwrap();

    // A disk that was written to after the save is cloned without the memory.
    let disk = File::options().append(true).open(from.disk()).unwrap();
    disk.set_len(disk.metadata().unwrap().len() + 65_536)
        .unwrap();
    clone("two").await.unwrap();
    let to = source.home.instance(&name("two")).main().session();
    assert!(to.disk().exists() && !to.saved().exists() && !to.ram().exists());
}

#[test]
fn a_copy_is_as_sparse_and_as_long() {
    use std::os::unix::fs::FileExt as _;
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    let file = File::create(&from).unwrap();
    file.set_len(64 << 20).unwrap();
    file.write_all_at(&[7; 10_000], 5 << 20).unwrap();
    copy(&from, &to).unwrap();
    assert_eq!(sparse::digest(&from).unwrap(), sparse::digest(&to).unwrap());
    assert!(std::fs::metadata(&to).unwrap().blocks() * 512 < 1 << 20);
    assert!(copy(&from, &to).is_err(), "nothing is replaced");
}
