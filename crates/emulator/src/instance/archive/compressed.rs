//! Snapshots that were not used for long: compressed where they lie, and
//! unpacked again by the start that wants them.
//!
//! The archive is whole and synced before the snapshot goes, and the snapshot
//! is committed before the archive goes. Killed in between, both are there: the
//! snapshot counts, and the archive goes with the next tidying up.

use images::Sha256Digest;

use super::{archive_snapshot, job, read_manifest, restore_snapshot};
use crate::config::paths::InstancePaths;
use crate::instance::LockedInstance;
use crate::instance::error::InstanceError as Error;
use crate::machine::spec::MachineSpec;
use crate::state::snapshot::{Snapshot, SnapshotManifest};
use failure::chain;
use progress::{Event, Phase, Reporter, Running};

/// Which image the archive called `id` is of, and when it was put there, in
/// milliseconds since the Unix epoch; `None` if it is no archive of a snapshot.
pub(crate) fn look(paths: &InstancePaths, id: &str) -> Option<(Sha256Digest, u64)> {
    let path = paths.snapshot_archive(id);
    let modified = std::fs::metadata(&path).ok()?.modified().ok()?;
    let since = modified
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    let (_, manifest) = read_manifest(&path, paths).ok()?;
    let at_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    Some((manifest.fingerprint.image.sha256, at_ms))
}

/// What the archive called `id` says of its snapshot, if it is one.
pub(crate) fn manifest(paths: &InstancePaths, id: &str) -> Option<SnapshotManifest> {
    let (_, manifest) = read_manifest(&paths.snapshot_archive(id), paths).ok()?;
    Some(manifest)
}

impl LockedInstance<'_> {
    /// Puts an archive in the place of `snapshot`. Returns the archive's length
    /// in bytes.
    ///
    /// Nothing may lie on the snapshot, and nothing may run on it.
    pub(crate) async fn compress(
        &self,
        snapshot: Snapshot,
        reporter: &dyn Reporter,
    ) -> Result<u64, Error> {
        let paths = &self.emulator.paths;
        let id = snapshot.manifest.id.clone();
        let target = paths.snapshot_archive(&id);
        let work = job::run(Phase::Archive, reporter, move |job| {
            archive_snapshot(&snapshot, &target, job)
        });
        let packed = work.await?;
        Snapshot::remove(paths, &id)?;
        Ok(packed.archive_bytes)
    }

    /// Brings back the snapshot of `spec`'s image from its archive, if there
    /// is one that fits. One that does not fit is left for the tidying up that
    /// follows the capture that now has to come.
    pub(crate) async fn unpack_compressed(
        &self,
        spec: &MachineSpec,
        reporter: &dyn Reporter,
    ) -> Result<Option<Snapshot>, Error> {
        let paths = &self.emulator.paths;
        let list =
            Snapshot::archived_ids(paths).map_err(Error::file("list", &paths.snapshots()))?;
        for id in list {
            let path = paths.snapshot_archive(&id);
            let Ok((archive, manifest)) = read_manifest(&path, paths) else {
                continue;
            };
            if !manifest
                .fingerprint
                .mismatches(&spec.fingerprint)
                .is_empty()
            {
                continue;
            }
            reporter.report(Event::Notice(
                "The snapshot was compressed because it had not been used for long. Unpacking it first.",
            ));
            let unpacking = Running::begin(reporter, Phase::Archive);
            let (places, fingerprint) = (paths.clone(), spec.fingerprint.clone());
            let work = job::run(Phase::Archive, reporter, move |job| {
                restore_snapshot(&archive, manifest, fingerprint, &places, job)
            });
            let restored = work.await;
            drop(unpacking);
            match restored {
                Ok(snapshot) => {
                    record::remove_file(&path).map_err(Error::file("remove", &path))?;
                    return Ok(Some(snapshot));
                }
                Err(error) => reporter.report(Event::Warning(&format!(
                    "The compressed snapshot cannot be used: {}.",
                    chain(&error)
                ))),
            }
        }
        Ok(None)
    }
}
