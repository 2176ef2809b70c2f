//! Whole snapshots: digests, commit, and what is left after a failure.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;

use images::{FileStamp, Sha256Digest};

use super::*;
use crate::config::paths::{Home, InstanceName, InstancePaths};
use crate::instance::archive::{archive_snapshot, read_manifest, restore_snapshot};
use crate::instance::error::InstanceError as Error;
use crate::machine::fingerprint::{Content, Fingerprint};
use crate::state::error::StateError;
use crate::state::snapshot::{Found, Sealed, Snapshot, SnapshotManifest};
use progress::{Event, Phase, Reporter, Silent};
use record::{self, Durability};

fn fingerprint() -> Fingerprint {
    let content = |text: &str| Content {
        stamp: FileStamp {
            device: 1,
            inode: 2,
            bytes: 3,
            modified_ns: 4,
        },
        sha256: Sha256Digest::of(text.as_bytes()),
    };
    Fingerprint {
        qemu_version: "10.0.2".into(),
        qemu: content("qemu"),
        accelerator: "tcg".into(),
        host_cpu: None,
        image: content("image"),
        ram_mib: 64,
        vcpus: 2,
        machine: Vec::new(),
        ports: BTreeMap::new(),
        ports_of_another: false,
        config: Sha256Digest::of(b"config"),
    }
}

/// An instance with one snapshot in use, of the sample's files.
pub(crate) fn instance(dir: &Path) -> (InstancePaths, Snapshot) {
    let paths = Home::new(dir.join("home")).instance(&InstanceName::default());
    let folder = paths.capture_in_progress();
    std::fs::create_dir_all(folder.root()).unwrap();
    drop(sources(folder.root(), &sample()));
    std::fs::remove_file(folder.disk()).unwrap();
    images::qcow2::create_overlay(&folder.disk(), Path::new("/image"), 1 << 30).unwrap();
    let sealed = |path: PathBuf| Sealed::of(&path).unwrap();
    let manifest = SnapshotManifest {
        id: "0123456789abcdef".into(),
        captured_at_ms: 1,
        fingerprint: fingerprint(),
        virtual_bytes: 1 << 30,
        ram: sealed(folder.ram()),
        device_state: sealed(folder.device_state()),
        disk: sealed(folder.disk()),
        config_iso: sealed(folder.config_iso()),
        cold_boot_ms: 1000.0,
    };
    let snapshot = Snapshot::commit(&paths, &manifest).unwrap();
    (paths, snapshot)
}

fn restore(from: &Path, paths: &InstancePaths) -> Result<Snapshot, Error> {
    let (archive, manifest) = read_manifest(from, paths)?;
    restore_snapshot(&archive, manifest, fingerprint(), paths, &Job::unwatched())
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn current(paths: &InstancePaths) -> Snapshot {
    match Snapshot::current(paths) {
        Found::Whole(snapshot) => *snapshot,
        Found::None => panic!("no snapshot"),
        Found::Damaged(damage) => panic!("{damage}"),
    }
}

#[test]
fn a_snapshot_comes_back_as_a_new_one_of_the_same_content() {
    let dir = tempfile::tempdir().unwrap();
    let (paths, snapshot) = instance(dir.path());
    let to = dir.path().join("größe 1.savevm.zst");
    archive_snapshot(&snapshot, &to, &Job::unwatched()).unwrap();
    let restored = restore(&to, &paths).unwrap();
    assert_ne!(restored.manifest.id, snapshot.manifest.id);
    assert_eq!(restored.manifest.captured_at_ms, 1);
    assert_eq!(restored.damage(true), None);
    assert_eq!(current(&paths).manifest.id, restored.manifest.id);
    // The first is still there: a session may lie on it.
    assert_eq!(snapshot.damage(true), None);
    for file in [restored.paths.ram(), restored.paths.manifest()] {
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", file.display());
    }
    assert!(!paths.capture_in_progress().root().exists());
}

#[test]
fn a_disk_that_leads_elsewhere_is_not_restored() {
    // Bytes of the header: features, encryption, virtual size, magic number.
    let cases = [
        (79, 4, "data is in another file"),
        (35, 1, "encrypted"),
        (79, 2, "corrupt"),
        (28, 1, "not as large"),
        (0, 0, "qcow2"),
    ];
    for (at, byte, problem) in cases {
        let dir = tempfile::tempdir().unwrap();
        let (paths, mut snapshot) = instance(dir.path());
        let disk = File::options().write(true).open(snapshot.paths.disk());
        disk.unwrap().write_all_at(&[byte], at).unwrap();
        // As an attacker would make the archive: all digests fit.
        snapshot.manifest.disk = Sealed::of(&snapshot.paths.disk()).unwrap();
        let manifest = snapshot.paths.manifest();
        record::write(&manifest, &snapshot.manifest, Durability::ThisBoot).unwrap();
        let to = dir.path().join("archive");
        archive_snapshot(&snapshot, &to, &Job::unwatched()).unwrap();
        let error = failure::chain(&restore(&to, &paths).unwrap_err());
        assert!(error.contains(problem), "{error}");
        assert!(!paths.capture_in_progress().root().exists());
        assert_eq!(current(&paths).manifest.id, snapshot.manifest.id);
    }
}

#[test]
fn it_comes_back_on_an_instance_that_has_none() {
    let dir = tempfile::tempdir().unwrap();
    let (_, snapshot) = instance(dir.path());
    let to = dir.path().join("archive");
    archive_snapshot(&snapshot, &to, &Job::unwatched()).unwrap();
    let other = Home::new(dir.path().join("other")).instance(&InstanceName::default());
    let restored = restore(&to, &other).unwrap();
    assert_eq!(current(&other).manifest.id, restored.manifest.id);
}

#[test]
fn damaged_memory_is_not_archived() {
    let dir = tempfile::tempdir().unwrap();
    let (_, snapshot) = instance(dir.path());
    let to = dir.path().join("archive");
    std::fs::write(&to, "the one before").unwrap();
    let ram = File::options()
        .write(true)
        .open(snapshot.paths.ram())
        .unwrap();
    ram.write_all_at(b"x", 2 << 20).unwrap();
    let error = archive_snapshot(&snapshot, &to, &Job::unwatched())
        .map(drop)
        .unwrap_err();
    assert!(
        matches!(&error, Error::State(StateError::SnapshotDamaged { damage }) if damage.contains("ram.raw")),
        "{error:?}"
    );
    assert_eq!(std::fs::read(&to).unwrap(), b"the one before");
    assert_eq!(names(dir.path()), ["archive", "home"]);
}

#[test]
fn a_restore_that_fails_leaves_the_snapshot_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let (paths, snapshot) = instance(dir.path());
    let to = dir.path().join("archive");
    // In order in itself, and of other memory than its manifest says.
    let mut claimed = snapshot.clone();
    claimed.manifest.ram.digest = "0".repeat(64);
    let text = std::fs::read_to_string(snapshot.paths.manifest()).unwrap();
    record::write(
        &snapshot.paths.manifest(),
        &claimed.manifest,
        record::Durability::ThisBoot,
    )
    .unwrap();
    archive_snapshot(&claimed, &to, &Job::unwatched())
        .map(drop)
        .unwrap_err();
    let files = super::super::files(&snapshot.paths);
    let open: [Source; 4] = std::array::from_fn(|index| {
        let file = File::open(&files[index]).unwrap();
        let bytes = file.metadata().unwrap().len();
        let path = files[index].clone();
        Source { path, file, bytes }
    });
    let lie = std::fs::read_to_string(snapshot.paths.manifest()).unwrap();
    let header = Header::new(lie, std::array::from_fn(|index| open[index].bytes));
    let file = File::create(&to).unwrap();
    pack(&header, &open, &file, &to, &Job::unwatched()).unwrap();
    std::fs::write(snapshot.paths.manifest(), text).unwrap();

    let error = restore(&to, &paths).unwrap_err();
    let content = matches!(
        error,
        Error::Archive(ArchiveError::Content {
            file: "ram.raw",
            ..
        })
    );
    assert!(content, "{error:?}");
    assert_eq!(current(&paths).manifest.id, snapshot.manifest.id);
    assert_eq!(
        names(&paths.snapshots()),
        [&snapshot.manifest.id, "current"]
    );
}

#[test]
fn a_manifest_of_other_files_or_of_none_is_refused_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let (paths, snapshot) = instance(dir.path());
    let files = sources(dir.path(), &sample());
    let to = dir.path().join("archive");
    let text = std::fs::read_to_string(snapshot.paths.manifest()).unwrap();
    let write = |manifest: String, lengths: [u64; 4]| {
        let header = Header::new(manifest, lengths);
        let file = File::create(&to).unwrap();
        pack(&header, &files, &file, &to, &Job::unwatched()).unwrap();
        restore(&to, &paths).unwrap_err()
    };
    let lengths = std::array::from_fn(|index| files[index].bytes);
    let mut longer = lengths;
    longer[2] += 1;
    let errors = [
        write(text.clone(), longer),
        write(text.replace("10.0.2", "10.0.3"), lengths),
        write("{}".into(), lengths),
    ];
    assert!(
        matches!(
            &errors,
            [
                Error::Archive(ArchiveError::OtherLength {
                    file: "disk.qcow2",
                    ..
                }),
                Error::Archive(ArchiveError::Manifest { .. }),
                Error::Archive(ArchiveError::Manifest { .. }),
            ]
        ),
        "{errors:?}"
    );
    assert_eq!(
        names(&paths.snapshots()),
        [&snapshot.manifest.id, "current"]
    );
}

/// Says when the first progress is reported, and how far it came.
#[derive(Default)]
struct Watch(std::sync::Mutex<Vec<(u64, u64)>>);

impl Reporter for Watch {
    fn report(&self, event: Event<'_>) {
        if let Event::Bytes { done, total, .. } = event {
            self.0.lock().unwrap().push((done, total));
        }
    }
}

#[tokio::test]
async fn progress_reaches_the_reporter_and_its_total() {
    let dir = tempfile::tempdir().unwrap();
    let (_, snapshot) = instance(dir.path());
    let (to, watch) = (dir.path().join("archive"), Watch::default());
    let work = crate::instance::archive::job::run(Phase::Archive, &watch, move |job| {
        archive_snapshot(&snapshot, &to, job)
    });
    work.await.unwrap();
    let seen = watch.0.into_inner().unwrap();
    assert!(seen.is_sorted_by_key(|(done, _)| *done), "{seen:?}");
    assert!(seen.iter().all(|(_, total)| *total > 0), "{seen:?}");
}

#[tokio::test]
async fn a_dropped_archiving_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (_, snapshot) = instance(dir.path());
    let to = dir.path().join("archive");
    let (begun, mut wait) = tokio::sync::mpsc::unbounded_channel();
    let target = to.clone();
    let mut work = Box::pin(crate::instance::archive::job::run(
        Phase::Archive,
        &Silent,
        move |job| {
            let partial = crate::instance::archive::Partial::create(&target)?;
            begun.send(()).unwrap();
            // As if it were reading: until it is told to stop, and no longer.
            while job.check().is_ok() {
                std::thread::yield_now();
            }
            drop(partial);
            archive_snapshot(&snapshot, &target, job).map(drop)
        },
    ));
    tokio::select! {
        biased;
        result = &mut work => panic!("{result:?}"),
        Some(()) = wait.recv() => {}
    }
    assert_eq!(names(dir.path()), [".archive.partial", "home"]);
    drop(work);
    assert_eq!(names(dir.path()), ["home"]);
}

#[test]
fn a_cancelled_restore_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (paths, snapshot) = instance(dir.path());
    let to = dir.path().join("archive");
    archive_snapshot(&snapshot, &to, &Job::unwatched()).unwrap();
    let (archive, manifest) = read_manifest(&to, &paths).unwrap();
    let job = Job::unwatched();
    job.cancel();
    let error = restore_snapshot(&archive, manifest, fingerprint(), &paths, &job).unwrap_err();
    assert!(
        matches!(error, Error::Archive(ArchiveError::Cancelled)),
        "{error:?}"
    );
    assert_eq!(
        names(&paths.snapshots()),
        [&snapshot.manifest.id, "current"]
    );
}
