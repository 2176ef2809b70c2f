//! Snapshots of an instance that are of no use any more.

use std::collections::BTreeSet;

use super::Emulator;
use super::archive::compressed;
use crate::config::paths::InstancePaths;
use crate::instance::error::InstanceError as Error;
use crate::state::checkpoint;
use crate::state::instance_record::InstanceRecord;
use crate::state::retention::{Kept, obsolete_snapshots};
use crate::state::session::Base;
use crate::state::snapshot::Snapshot;
use failure::chain;

impl Emulator {
    /// Removes snapshots of this instance that are of no use any more. Its lock
    /// must be held.
    pub(crate) fn tidy_snapshots(&self) -> Result<(), Error> {
        let paths = &self.paths;
        let list = |ids: std::io::Result<Vec<String>>| {
            ids.map_err(Error::file("list", &paths.snapshots()))
        };
        let mut lain_on: BTreeSet<String> = match Base::of(&self.home, &self.name) {
            Ok(base) => base.and_then(|base| base.snapshot).into_iter().collect(),
            // Any of them may be what it lies on; its start says what is wrong.
            Err(error) => {
                tracing::warn!(error = %chain(&error), "no snapshot is tidied away");
                return Ok(());
            }
        };
        let checkpoints = checkpoint::snapshots_under(paths)
            .map_err(Error::file("list", &paths.checkpoints()))?;
        let Some(under) = checkpoints else {
            tracing::warn!("no snapshot is tidied away: a checkpoint may lie on any");
            return Ok(());
        };
        lain_on.extend(under);
        let current = Snapshot::current_id(paths);
        let contents = self.home.image_store().contents()?;
        let mut installed: BTreeSet<_> = contents.images.iter().map(|image| image.digest).collect();
        // One that was put there by hand is in no store.
        let remembered = record::read_optional::<InstanceRecord>(&paths.instance_record())?;
        installed.extend(remembered.and_then(|remembered| remembered.image_digest(&self.home)));
        let kept: Vec<Kept> = list(Snapshot::ids(paths))?
            .into_iter()
            .map(|id| {
                let manifest = Snapshot::open(paths, &id).ok().map(|open| open.manifest);
                Kept {
                    image: manifest.as_ref().map(|m| m.fingerprint.image.sha256),
                    captured_at_ms: manifest.map_or(0, |manifest| manifest.captured_at_ms),
                    id,
                }
            })
            .collect();
        for id in obsolete_snapshots(&kept, current.as_deref(), &lain_on, &installed) {
            remove_snapshot(paths, id, false)?;
        }
        for id in list(Snapshot::archived_ids(paths))? {
            // There is a snapshot of the same image again, or no such image.
            let wanted = compressed::look(paths, &id).is_some_and(|(image, _)| {
                installed.contains(&image) && kept.iter().all(|kept| kept.image != Some(image))
            });
            if !wanted {
                remove_snapshot(paths, &id, true)?;
            }
        }
        Ok(())
    }
}

/// Removes one snapshot, or what it was compressed to.
pub(crate) fn remove_snapshot(
    paths: &InstancePaths,
    id: &str,
    archived: bool,
) -> Result<(), Error> {
    if archived {
        let path = paths.snapshot_archive(id);
        record::remove_file(&path).map_err(Error::file("remove", &path))
    } else {
        Ok(Snapshot::remove(paths, id)?)
    }
}

#[cfg(test)]
mod tests {
    use images::qcow2;

    use super::*;
    use crate::config::paths::InstanceName;
    use crate::config::variables::{HOME, Settings};

    const ID: &str = "0123456789abcdef";

    #[test]
    fn a_snapshot_is_kept_for_a_session_whose_records_are_lost() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings::from_variables([(HOME.into(), dir.path().into())]).unwrap();
        let emulator = Emulator::new(settings, InstanceName::default(), None);
        let image = dir.path().join("image.qcow2");
        std::fs::write(&image, "an image").unwrap();
        let (session, snapshot) = (emulator.paths.main().session(), emulator.paths.snapshot(ID));
        for folder in [session.root(), snapshot.root()] {
            std::fs::create_dir_all(folder).unwrap();
        }
        qcow2::create_overlay(&snapshot.disk(), &image, 1 << 20).unwrap();
        qcow2::create_overlay(&session.disk(), &snapshot.disk(), 1 << 20).unwrap();
        emulator.tidy_snapshots().unwrap();
        assert!(snapshot.disk().exists());
        // Nor where not even the disk tells.
        std::fs::write(session.disk(), "no overlay").unwrap();
        emulator.tidy_snapshots().unwrap();
        assert!(snapshot.disk().exists());
        crate::state::session::remove(&session).unwrap();
        // Nor for a checkpoint.
        let checkpoint = emulator.paths.checkpoint(&"seeded".parse().unwrap());
        std::fs::create_dir_all(checkpoint.root()).unwrap();
        for on_it in [true, false] {
            record::remove_file(&checkpoint.disk()).unwrap();
            if on_it {
                qcow2::create_overlay(&checkpoint.disk(), &snapshot.disk(), 1 << 20).unwrap();
            } else {
                std::fs::write(checkpoint.disk(), "no overlay").unwrap();
            }
            emulator.tidy_snapshots().unwrap();
            assert!(snapshot.disk().exists());
        }
        record::remove_folder(checkpoint.root()).unwrap();
        emulator.tidy_snapshots().unwrap();
        assert!(!snapshot.root().exists());
    }
}
