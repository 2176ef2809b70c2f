//! Checkpoints: saved states with a name, which are not used up.
//!
//! ```text
//! checkpoints/<name>/disk.qcow2       the session's disk at that moment
//! checkpoints/<name>/ram.raw          memory, to be mapped privately
//! checkpoints/<name>/device.state     devices
//! checkpoints/<name>/checkpoint.json  written last: all of it is whole, and what it lies on
//! ```
//!
//! The files are never written to again. A restore makes a session of them: the disk is copied,
//! the memory has the same files by further names, and [`put_in_place`] exchanges that session for
//! the user's. The snapshot or image under the disk is kept as long as the checkpoint is.

use std::io;

use host::FileStamp;
use record::{Durability, Record, RecordError};
use serde::{Deserialize, Serialize};

use super::session::{SavedRecord, SessionRecord, backing, snapshot_with_disk};
use super::snapshot::{KnownDamage, Sealed};
use crate::config::paths::{CheckpointName, CheckpointPaths, InstancePaths, SlotPaths};
use crate::machine::fingerprint::Fingerprint;

/// Which values a guest holds, and since when: never the values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HeldSecrets {
    /// [`secrets::SecretSet::mark`].
    pub mark: String,
    /// The start that made them, by its time in milliseconds since the Unix epoch.
    pub made_at_ms: u64,
}

/// `checkpoint.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CheckpointRecord {
    /// Milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    pub fingerprint: Fingerprint,
    /// What the disk lies on.
    pub base: SessionRecord,
    /// `None` if the values in force were not known.
    pub secrets: Option<HeldSecrets>,
    pub disk: Sealed,
    pub ram: Sealed,
    pub device_state: Sealed,
    /// The boot of the host in which it was made, or read in full last: the memory is not synced,
    /// so after another boot it is read before it is trusted.
    pub boot_id: String,
}

impl Record for CheckpointRecord {
    const FORMAT: &'static str = "stack-emulator-checkpoint";
    const VERSION: u32 = 1;
}

/// A committed checkpoint.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoint {
    pub name: CheckpointName,
    pub paths: CheckpointPaths,
    pub record: CheckpointRecord,
}

impl Checkpoint {
    /// Names of all checkpoints, whole or not, in order.
    pub(crate) fn names(instance: &InstancePaths) -> io::Result<Vec<CheckpointName>> {
        let entries = match std::fs::read_dir(instance.checkpoints()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                names.extend(
                    entry
                        .file_name()
                        .to_str()
                        .and_then(|name| name.parse().ok()),
                );
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Reads the record of the checkpoint called `name`.
    pub(crate) fn open(
        instance: &InstancePaths,
        name: &CheckpointName,
    ) -> Result<Self, RecordError> {
        let paths = instance.checkpoint(name);
        let record = record::read(&paths.record())?;
        Ok(Self {
            name: name.clone(),
            paths,
            record,
        })
    }

    /// The first damage found in the files of the memory: lengths always, contents where a stamp has
    /// changed, after another boot, or if `full` asks for it.
    pub(crate) fn memory_damage(&self, boot_id: &str, full: bool) -> Option<String> {
        let (paths, record) = (&self.paths, &self.record);
        if !full && let Some(known) = KnownDamage::at(&paths.known_damage()) {
            return Some(known);
        }
        let full = full || record.boot_id != boot_id;
        let devices = record.device_state.damage(&paths.device_state(), true);
        devices.or_else(|| record.ram.damage(&paths.ram(), full))
    }

    /// What is wrong with the disk, which is all that a checkpoint cannot do without.
    pub(crate) fn disk_damage(&self, full: bool) -> Option<String> {
        self.record.disk.damage(&self.paths.disk(), full)
    }

    /// Reads all its files, and notes what is wrong with the memory: a restore does not try in vain
    /// what has been found out once.
    pub(crate) fn examine(&self, boot_id: &str) -> Result<Option<String>, RecordError> {
        let memory = self.memory_damage(boot_id, true);
        KnownDamage::note(&self.paths.known_damage(), memory.as_deref())?;
        Ok(self.disk_damage(true).or(memory))
    }

    /// Writes down that the memory was read in full in this boot, so that the next restore need not.
    pub(crate) fn trust(&mut self, boot_id: &str) -> Result<(), RecordError> {
        if self.record.boot_id == boot_id {
            return Ok(());
        }
        boot_id.clone_into(&mut self.record.boot_id);
        record::write(&self.paths.record(), &self.record, Durability::ThisBoot)
    }

    /// `saved.json` of a session whose memory is its memory and whose disk is `disk`.
    pub(crate) fn saved(&self, disk: FileStamp) -> SavedRecord {
        SavedRecord {
            fingerprint: self.record.fingerprint.clone(),
            ram: self.record.ram.clone(),
            device_state: Some(self.record.device_state.clone()),
            disk,
            boot_id: self.record.boot_id.clone(),
            saved_at_ms: self.record.created_at_ms,
        }
    }

    /// Makes the finished checkpoint one called `name`. Its disk must be synced already.
    pub(crate) fn commit(
        instance: &InstancePaths,
        name: &CheckpointName,
        record: CheckpointRecord,
    ) -> Result<Self, RecordError> {
        let from = instance.checkpoint_in_progress();
        let paths = instance.checkpoint(name);
        record::write(&from.record(), &record, Durability::PowerCut)?;
        let commit = || -> io::Result<()> {
            std::fs::rename(from.root(), paths.root())?;
            record::sync_folder(&instance.checkpoints())
        };
        commit().map_err(|source| RecordError::Write {
            path: paths.root().to_owned(),
            source,
        })?;
        Ok(Self {
            name: name.clone(),
            paths,
            record,
        })
    }
}

/// The snapshots that disks of checkpoints lie on, also of those whose records are lost. `None` if
/// one of them does not tell: it may be any.
pub(crate) fn snapshots_under(instance: &InstancePaths) -> io::Result<Option<Vec<String>>> {
    let mut found = Vec::new();
    for name in Checkpoint::names(instance)? {
        if let Ok(checkpoint) = Checkpoint::open(instance, &name) {
            found.extend(checkpoint.record.base.snapshot);
            continue;
        }
        let disk = instance.checkpoint(&name).disk();
        if !disk.try_exists()? {
            continue;
        }
        match backing(&disk) {
            Some(under) => found.extend(snapshot_with_disk(&under)),
            None => return Ok(None),
        }
    }
    Ok(Some(found))
}

/// Puts the restored session in the place of the user's, which is gone when this returns.
///
/// Cut short, it leaves one of the two whole, and [`finish_replacing`] makes that the session.
pub(crate) fn put_in_place(main: &SlotPaths) -> io::Result<()> {
    let (session, replaced) = (main.session(), main.replaced());
    if session.root().try_exists()? {
        std::fs::rename(session.root(), replaced.root())?;
    }
    std::fs::rename(main.restored().root(), session.root())?;
    record::sync_folder(main.root())?;
    record::remove_folder(replaced.root())
}

/// Finishes or undoes what was cut short of [`put_in_place`] and before it.
pub(crate) fn finish_replacing(main: &SlotPaths) -> io::Result<()> {
    let (session, restored, replaced) = (main.session(), main.restored(), main.replaced());
    if replaced.root().try_exists()? {
        if !session.root().try_exists()? {
            // The restored one was whole before the other was moved.
            let whole = restored.root().try_exists()?;
            let from = if whole { &restored } else { &replaced };
            std::fs::rename(from.root(), session.root())?;
            record::sync_folder(main.root())?;
        }
        record::remove_folder(replaced.root())?;
    }
    record::remove_folder(restored.root())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::paths::{Home, InstanceName};

    fn instance(home: &std::path::Path) -> InstancePaths {
        Home::new(home.to_owned()).instance(&InstanceName::default())
    }

    #[test]
    fn a_session_takes_the_place_of_another_whatever_cuts_it_short() {
        let session = |root: &std::path::Path, text: &str| {
            std::fs::create_dir_all(root).unwrap();
            std::fs::write(root.join("disk.qcow2"), text).unwrap();
        };
        let disk = |main: &SlotPaths| std::fs::read_to_string(main.session().disk()).ok();
        for user in [true, false] {
            // So many of the steps are done before it is killed.
            for steps in 0..=3 {
                let dir = tempfile::tempdir().unwrap();
                let main = instance(dir.path()).main();
                if user {
                    session(main.session().root(), "user");
                }
                session(main.restored().root(), "restored");
                if steps > 0 && user {
                    std::fs::rename(main.session().root(), main.replaced().root()).unwrap();
                }
                if steps > 1 {
                    std::fs::rename(main.restored().root(), main.session().root()).unwrap();
                }
                if steps > 2 {
                    record::remove_folder(main.replaced().root()).unwrap();
                }
                finish_replacing(&main).unwrap();
                let expected = match (steps, user) {
                    (0, true) => Some("user"),
                    // Nothing of the user's is lost without it.
                    (0 | 1, false) => None,
                    _ => Some("restored"),
                };
                assert_eq!(disk(&main).as_deref(), expected, "{user} {steps}");
                assert!(!main.restored().root().exists() && !main.replaced().root().exists());
                finish_replacing(&main).unwrap();
            }
            let dir = tempfile::tempdir().unwrap();
            let main = instance(dir.path()).main();
            if user {
                session(main.session().root(), "user");
            }
            session(main.restored().root(), "restored");
            put_in_place(&main).unwrap();
            assert_eq!(disk(&main).as_deref(), Some("restored"));
            assert!(!main.replaced().root().exists());
        }
    }

    #[test]
    fn what_a_checkpoint_lies_on_is_known_without_its_record() {
        const ID: &str = "0123456789abcdef";
        let dir = tempfile::tempdir().unwrap();
        let paths = instance(dir.path());
        assert_eq!(snapshots_under(&paths).unwrap(), Some(vec![]));
        let checkpoint = paths.checkpoint(&"seeded".parse().unwrap());
        std::fs::create_dir_all(checkpoint.root()).unwrap();
        // Not one of ours.
        std::fs::create_dir_all(paths.checkpoints().join(".unfinished")).unwrap();
        assert_eq!(snapshots_under(&paths).unwrap(), Some(vec![]), "no disk");
        let under = paths.snapshot(ID);
        std::fs::create_dir_all(under.root()).unwrap();
        let image = dir.path().join("image.qcow2");
        std::fs::write(&image, "an image").unwrap();
        images::qcow2::create_overlay(&under.disk(), &image, 1 << 20).unwrap();
        images::qcow2::create_overlay(&checkpoint.disk(), &under.disk(), 1 << 20).unwrap();
        assert_eq!(snapshots_under(&paths).unwrap(), Some(vec![ID.to_owned()]));
        std::fs::write(checkpoint.disk(), "no overlay").unwrap();
        assert_eq!(snapshots_under(&paths).unwrap(), None);
    }
}
