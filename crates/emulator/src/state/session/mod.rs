//! Sessions: what the user did since the last clean start.
//!
//! ```text
//! session/disk.qcow2    overlay on a snapshot's disk, or on the image
//! session/session.json  what it lies on; written before QEMU opens the disk
//! session/ram.mapped    memory and devices at the last stop; or, of a restored checkpoint,
//! session/ram.raw       memory alone, in the form that is mapped privately, and
//! session/device.state  devices
//! session/saved.json    written last at a stop, removed before the guest runs again
//! ```
//!
//! The disk alone is always worth booting: the guest is synced before a save,
//! and a database survives a power cut. Memory is only ever loaded onto the
//! very disk it was saved with, so `saved.json` is gone, durably, before the
//! guest executes its first instruction and may change that disk.

mod base;

use host::FileStamp;
use serde::{Deserialize, Serialize};

pub(crate) use self::base::{Base, backing, check_disk, snapshot_with_disk};

use crate::config::paths::SessionPaths;
use crate::machine::fingerprint::{Content, Fingerprint, Mismatch};
use crate::state::snapshot::{KnownDamage, Sealed};
use record::{self, Durability, Record, RecordError};

/// `session.json`: what the session's disk lies on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SessionRecord {
    /// The snapshot under the disk; `None` if it lies on the image itself.
    pub snapshot: Option<String>,
    /// The image at the bottom.
    pub image: Content,
    /// Where the image was.
    pub image_path: std::path::PathBuf,
    /// Milliseconds since the Unix epoch.
    pub created_at_ms: u64,
}

impl Record for SessionRecord {
    const FORMAT: &'static str = "stack-emulator-session";
    const VERSION: u32 = 1;
}

/// `saved.json`: that the session's memory can be loaded, and where.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SavedRecord {
    pub fingerprint: Fingerprint,
    /// `ram.mapped`, or `ram.raw` if the devices' state is apart from it.
    pub ram: Sealed,
    /// The devices' state, if it is apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_state: Option<Sealed>,
    /// The disk at the same moment. Only its stamp: its content is the
    /// guest's business, and any write changes the stamp.
    pub disk: FileStamp,
    /// The boot of the host in which it was saved: the memory file is not
    /// synced, so after another boot it is read in full before it is trusted.
    pub boot_id: String,
    /// Milliseconds since the Unix epoch.
    pub saved_at_ms: u64,
}

impl Record for SavedRecord {
    const FORMAT: &'static str = "stack-emulator-saved-session";
    const VERSION: u32 = 1;
}

impl SavedRecord {
    /// Whether the memory is in the form that is mapped, with the devices apart.
    pub(crate) const fn is_mapped(&self) -> bool {
        self.device_state.is_some()
    }

    /// The first damage found in the files of the memory; `full` reads them all.
    pub(crate) fn damage(&self, paths: &SessionPaths, full: bool) -> Option<String> {
        match &self.device_state {
            // It is small.
            Some(state) => state
                .damage(&paths.device_state(), true)
                .or_else(|| self.ram.damage(&paths.prepared_ram(), full)),
            None => self.ram.damage(&paths.ram(), full),
        }
    }
}

/// What lies in an instance's session folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SessionOnDisk {
    /// Nothing.
    None,
    /// A disk alone: the VM ended without being saved.
    Disk,
    /// A disk with memory and devices of the same moment.
    Saved {
        /// What keeps the memory from being loaded here; empty if nothing.
        mismatches: Vec<Mismatch>,
    },
    /// A disk, with saved memory that is damaged.
    SavedDamaged {
        /// What is wrong with it.
        damage: String,
    },
}

/// Looks at what lies in the session folder beside a disk on `base`, for
/// the plan of a start.
pub(crate) fn look(
    paths: &SessionPaths,
    base: Option<&Base>,
    now: &Fingerprint,
    boot_id: &str,
) -> SessionOnDisk {
    let Some(base) = base else {
        return SessionOnDisk::None;
    };
    let saved: SavedRecord = match record::read_optional(&paths.saved()) {
        Ok(None) => return SessionOnDisk::Disk,
        Ok(Some(saved)) => saved,
        Err(error) => {
            return SessionOnDisk::SavedDamaged {
                damage: error.to_string(),
            };
        }
    };
    if let Some(doubt) = &base.doubt {
        let damage = format!("what its disk lies on is not known for sure ({doubt})");
        return SessionOnDisk::SavedDamaged { damage };
    }
    let disk_unchanged = FileStamp::of(&paths.disk()).is_ok_and(|stamp| stamp == saved.disk);
    if !disk_unchanged {
        let damage = "its disk was changed after the save".to_owned();
        return SessionOnDisk::SavedDamaged { damage };
    }
    if let Some(damage) = KnownDamage::at(&paths.known_damage()) {
        return SessionOnDisk::SavedDamaged { damage };
    }
    let full = saved.boot_id != boot_id;
    match saved.damage(paths, full) {
        Some(damage) => SessionOnDisk::SavedDamaged { damage },
        None => SessionOnDisk::Saved {
            mismatches: saved.fingerprint.mismatches(now),
        },
    }
}

/// What is left of a session whose disk is gone, in words; `None` if nothing is.
pub(crate) fn lost_disk(paths: &SessionPaths) -> Option<String> {
    let left = [paths.saved(), paths.ram()]
        .into_iter()
        .find(|path| path.try_exists().unwrap_or(true))?;
    Some(format!(
        "a session was kept, but its disk {} is gone; {} is of no use without it",
        paths.disk().display(),
        left.file_name().unwrap_or_default().to_string_lossy(),
    ))
}

/// Takes back that the memory can be loaded. Durable when it returns.
pub(crate) fn consume(paths: &SessionPaths) -> Result<(), RecordError> {
    let remove = || -> std::io::Result<()> {
        record::remove_file(&paths.saved())?;
        record::sync_folder(paths.root())
    };
    remove().map_err(|source| RecordError::Write {
        path: paths.saved(),
        source,
    })
}

/// Removes the files of the memory, which are of no use without `saved.json`.
///
/// Their names alone: a clone or a checkpoint may have the same file, so that it is not cut short
/// either.
pub(crate) fn drop_memory(paths: &SessionPaths) -> Result<(), RecordError> {
    for path in [paths.ram(), paths.prepared_ram(), paths.device_state()] {
        record::remove_file(&path).map_err(|source| RecordError::Write { path, source })?;
    }
    Ok(())
}

/// Writes `session.json` for a new disk.
pub(crate) fn begin(paths: &SessionPaths, record: &SessionRecord) -> Result<(), RecordError> {
    record::write(&paths.record(), record, Durability::PowerCut)
}

/// Removes the session.
///
/// The memory's record goes first: a session whose removal is cut short must
/// not look loadable.
pub(crate) fn remove(paths: &SessionPaths) -> std::io::Result<()> {
    record::remove_file(&paths.saved())?;
    record::remove_folder(paths.root())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::paths::{Home, InstanceName};

    #[test]
    fn memory_is_gone_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path().to_owned());
        let session = home.instance(&InstanceName::default()).main().session();
        std::fs::create_dir_all(session.root()).unwrap();
        std::fs::write(session.ram(), "memory").unwrap();
        for _ in 0..2 {
            drop_memory(&session).unwrap();
            assert!(!session.ram().exists());
        }
    }
}
