//! `archive` and `restore`: a snapshot as one compressed file.
//!
//! The file, `stack-emulator-<arch>.savevm.zst`, is for keeping a snapshot
//! through a clean-up and for handing it between installations on one machine
//! type; it fits only where [`crate::machine::fingerprint`] says so. The `zstd` tool can
//! test and read it. [`mod@format`] describes what is in it.
//!
//! An archive is trusted as an image is: what it holds is loaded into QEMU and
//! runs in the guest. Damage and nonsense in it are found, and a disk that would
//! have QEMU open another file of the host is refused; other malice is not found.

pub(crate) mod compressed;
mod error;
mod format;
#[doc(hidden)]
pub mod fuzzing;
mod job;
mod partial;
mod read;
#[cfg(test)]
pub(crate) mod tests;
mod write;

use std::fs::File;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use images::qcow2;
use serde::Serialize;

pub use self::error::{ArchiveError, Damage};
use self::format::{FILES, Header};
use self::job::Job;
use self::partial::Partial;
use self::read::{Archive, Target};
use self::write::{Source, pack};
use crate::config::paths::{InstancePaths, SnapshotPaths, make_private_folder};
use crate::instance::Emulator;
use crate::instance::error::InstanceError as Error;
use crate::machine::error::MachineError;
use crate::machine::fingerprint::Fingerprint;
use crate::state::error::StateError;
use crate::state::snapshot::{Found, Sealed, Snapshot, SnapshotManifest, new_id};
use crate::state::snapshot_info::SnapshotInfo;
use progress::{Phase, Reporter, Stopwatch};
use record::{self, sync_folder};

/// An archive is refused at once when there is not room for this part of what
/// the snapshot stores: guest memory is not known to compress better.
const LEAST_PART: u64 = 16;

/// What an archiving reports.
#[derive(Clone, Debug, Serialize)]
pub struct ArchiveReport {
    /// The archive.
    pub path: PathBuf,
    /// The snapshot in it.
    pub snapshot: String,
    /// Bytes in the snapshot's blocks that hold something.
    pub data_bytes: u64,
    /// Length of the archive in bytes.
    pub archive_bytes: u64,
    /// Milliseconds.
    pub total_ms: f64,
}

/// What a restoring reports.
#[derive(Clone, Debug, Serialize)]
pub struct RestoreReport {
    /// The snapshot, which is now the one in use.
    pub snapshot: SnapshotInfo,
    /// Bytes in the snapshot's blocks that hold something.
    pub data_bytes: u64,
    /// Milliseconds.
    pub total_ms: f64,
}

impl Emulator {
    /// Writes the snapshot in use to the file `to`, or under its usual name
    /// into the folder `to`.
    ///
    /// Every byte is compared with the snapshot's digests on the way. What is
    /// at that place is replaced once the new file is whole and synced. May be
    /// done while the emulator runs. Dropping the future undoes it.
    pub async fn archive(
        &self,
        to: &Path,
        reporter: &dyn Reporter,
    ) -> Result<ArchiveReport, Error> {
        let _held = self.hold("archive", reporter).await?;
        let snapshot = match Snapshot::current(&self.paths) {
            Found::None => return Err(StateError::NoSnapshot.into()),
            Found::Damaged(damage) => return Err(StateError::SnapshotDamaged { damage }.into()),
            Found::Whole(snapshot) => snapshot,
        };
        let target = if to.is_dir() {
            to.join(format!("stack-emulator-{}.savevm.zst", self.settings.arch))
        } else {
            to.to_owned()
        };
        let id = snapshot.manifest.id.clone();
        let mut watch = Stopwatch::new(reporter);
        let path = target.clone();
        let work = job::run(Phase::Archive, reporter, move |job| {
            archive_snapshot(&snapshot, &path, job)
        });
        let packed = watch.phase(Phase::Archive, work).await?;
        Ok(ArchiveReport {
            path: target,
            snapshot: id,
            data_bytes: packed.data_bytes,
            archive_bytes: packed.archive_bytes,
            total_ms: watch.total_ms(),
        })
    }

    /// Puts the snapshot in the archive `from` in place of the present one.
    ///
    /// Refused while the emulator runs, and if the snapshot could not be
    /// resumed with the present QEMU, image and settings. A kept session is not
    /// touched: it keeps the snapshot that it lies on. Dropping the future
    /// undoes it.
    pub async fn restore(
        &self,
        from: &Path,
        reporter: &dyn Reporter,
    ) -> Result<RestoreReport, Error> {
        let held = self.hold("restore", reporter).await?;
        held.refuse_running("restore a snapshot")?;
        let mut watch = Stopwatch::new(reporter);
        let (archive, manifest) = read_manifest(from, &self.paths)?;
        let spec = watch.phase(Phase::Prepare, self.prepare()).await?.spec;
        let mismatches = manifest.fingerprint.mismatches(&spec.fingerprint);
        if !mismatches.is_empty() {
            let path = from.to_owned();
            return Err(ArchiveError::Misfit { path, mismatches }.into());
        }
        let data_bytes = archive.data_bytes();
        let paths = self.paths.clone();
        let work = job::run(Phase::Archive, reporter, move |job| {
            restore_snapshot(&archive, manifest, spec.fingerprint, &paths, job)
        });
        let snapshot = watch.phase(Phase::Archive, work).await?;
        self.tidy_snapshots()?;
        Ok(RestoreReport {
            snapshot: SnapshotInfo::new(&snapshot),
            data_bytes,
            total_ms: watch.total_ms(),
        })
    }
}

/// The files of a snapshot, in the order of [`FILES`].
fn files(paths: &SnapshotPaths) -> [PathBuf; FILES.len()] {
    [
        paths.ram(),
        paths.device_state(),
        paths.disk(),
        paths.config_iso(),
    ]
}

/// What the manifest says of each, in the same order.
fn sealed(manifest: &mut SnapshotManifest) -> [&mut Sealed; FILES.len()] {
    [
        &mut manifest.ram,
        &mut manifest.device_state,
        &mut manifest.disk,
        &mut manifest.config_iso,
    ]
}

fn archive_snapshot(snapshot: &Snapshot, target: &Path, job: &Job) -> Result<write::Packed, Error> {
    let manifest_path = snapshot.paths.manifest();
    let manifest =
        std::fs::read_to_string(&manifest_path).map_err(Error::file("read", &manifest_path))?;
    let mut stored = 0;
    let mut sources = Vec::new();
    for path in files(&snapshot.paths) {
        let read = Error::file("read", &path);
        let opened = record::regular::open(&path).and_then(|file| Ok((file.metadata()?, file)));
        let (meta, file) = opened.map_err(read)?;
        stored += meta.blocks() * 512;
        sources.push(Source {
            bytes: meta.len(),
            path,
            file,
        });
    }
    let Ok(sources) = <[Source; FILES.len()]>::try_from(sources) else {
        unreachable!("one source a file")
    };
    let header = Header::new(manifest, std::array::from_fn(|index| sources[index].bytes));
    job.set_total(stored);
    let partial = Partial::create(target)?;
    check_room(partial.folder(), stored / LEAST_PART)?;
    let packed = pack(&header, &sources, partial.file(), partial.target(), job)?;
    let mut saved = snapshot.manifest.clone();
    for ((sealed, digest), name) in sealed(&mut saved).iter().zip(&packed.digests).zip(FILES) {
        if sealed.digest != *digest {
            let damage = format!("the content of {name} is not what was saved");
            return Err(StateError::SnapshotDamaged { damage }.into());
        }
    }
    job.check()?;
    partial.commit()?;
    Ok(packed)
}

/// Opens the archive `from` and reads the manifest in it.
fn read_manifest(
    from: &Path,
    paths: &InstancePaths,
) -> Result<(Archive, SnapshotManifest), ArchiveError> {
    let path = || from.to_owned();
    let file = record::regular::open(from).map_err(|source| ArchiveError::Read {
        path: path(),
        source,
    })?;
    let archive = Archive::open(file, from)?;
    let place = paths.capture_in_progress().manifest();
    let mut manifest: SnapshotManifest = record::parse(&place, archive.header.manifest.as_bytes())
        .map_err(|source| ArchiveError::Manifest {
            path: path(),
            source,
        })?;
    let lengths = archive.lengths;
    for ((sealed, length), file) in sealed(&mut manifest).iter().zip(lengths).zip(FILES) {
        if sealed.stamp.bytes != length {
            return Err(ArchiveError::OtherLength { path: path(), file });
        }
    }
    Ok((archive, manifest))
}

/// Unpacks, verifies, syncs and commits.
fn restore_snapshot(
    archive: &Archive,
    mut manifest: SnapshotManifest,
    fingerprint: Fingerprint,
    paths: &InstancePaths,
    job: &Job,
) -> Result<Snapshot, Error> {
    // Under a name of its own: the snapshot it was made of may still be here,
    // and a session may lie on that.
    manifest.id = new_id().map_err(MachineError::Random)?;
    manifest.fingerprint = fingerprint;
    let folder = paths.capture_in_progress();
    let unfinished = Unfinished(folder.root());
    record::remove_folder(folder.root()).map_err(Error::file("remove", folder.root()))?;
    make_private_folder(folder.root())?;
    check_room(folder.root(), archive.data_bytes())?;
    job.set_total(archive.data_bytes());
    let targets = create_files(&folder)?;
    archive.unpack(&targets, job)?;
    check_disk(&folder.disk(), manifest.virtual_bytes, archive.path())?;
    for ((target, sealed), file) in targets.iter().zip(sealed(&mut manifest)).zip(FILES) {
        job.check()?;
        let again = Sealed::of(&target.path).map_err(Error::file("read", &target.path))?;
        if again.digest != sealed.digest {
            let path = archive.path().to_owned();
            return Err(ArchiveError::Content { path, file }.into());
        }
        *sealed = again;
    }
    for target in &targets {
        job.check()?;
        let synced = target.file.sync_all();
        synced.map_err(Error::file("sync", &target.path))?;
    }
    sync_folder(folder.root()).map_err(Error::file("sync", folder.root()))?;
    job.check()?;
    let snapshot = Snapshot::commit(paths, &manifest)?;
    drop(unfinished);
    Ok(snapshot)
}

/// An overlay like that of a capture. What it says it lies on is of no account:
/// QEMU is told that by name.
fn check_disk(disk: &Path, virtual_bytes: u64, archive: &Path) -> Result<(), ArchiveError> {
    let problem = match qcow2::Header::read(disk) {
        Err(error) => failure::chain(&error),
        Ok(header) => match header.problem() {
            Some(problem) => problem.to_owned(),
            None if header.virtual_bytes != virtual_bytes => {
                "it is not as large as its manifest says".to_owned()
            }
            None => return Ok(()),
        },
    };
    let path = archive.to_owned();
    Err(ArchiveError::Disk { path, problem })
}

/// Removes a restore that was not committed.
struct Unfinished<'a>(&'a Path);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next command.
        drop(record::remove_folder(self.0));
    }
}

fn create_files(folder: &SnapshotPaths) -> Result<[Target; FILES.len()], Error> {
    let mut targets = Vec::new();
    for path in files(folder) {
        let file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(Error::file("make", &path))?;
        targets.push(Target { path, file });
    }
    let Ok(targets) = targets.try_into() else {
        unreachable!("one target a file")
    };
    Ok(targets)
}

fn check_room(folder: &Path, needed: u64) -> Result<(), Error> {
    let free = host::disk::free_bytes(folder).map_err(Error::file("look at", folder))?;
    if free < needed {
        let folder = folder.to_owned();
        return Err(ArchiveError::NoSpace {
            folder,
            needed,
            free,
        }
        .into());
    }
    Ok(())
}
