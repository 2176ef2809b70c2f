//! The files of saved state: of a snapshot, and of a session.

use std::path::{Path, PathBuf};

/// The files of one snapshot.
#[derive(Clone, Debug)]
pub struct SnapshotPaths {
    pub(super) root: PathBuf,
}

impl SnapshotPaths {
    /// The snapshot's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The guest's memory; sparse, mapped privately by each start.
    pub fn ram(&self) -> PathBuf {
        self.root.join("ram.raw")
    }

    /// The devices' state.
    pub fn device_state(&self) -> PathBuf {
        self.root.join("device.state")
    }

    /// The disk as it was at that moment: an overlay on the image.
    pub fn disk(&self) -> PathBuf {
        self.root.join("disk.qcow2")
    }

    /// The config disk that the guest has mounted.
    pub fn config_iso(&self) -> PathBuf {
        self.root.join("config.iso")
    }

    /// What a full look has found to be wrong with it, if anything.
    pub fn known_damage(&self) -> PathBuf {
        self.root.join("damage.json")
    }

    /// Which pages a start uses, of these and other files.
    pub fn used_pages(&self) -> PathBuf {
        self.root.join("pages.json")
    }

    /// When the snapshot was used last.
    pub fn used(&self) -> PathBuf {
        self.root.join("used.json")
    }

    /// Written last: a folder without it is no snapshot.
    pub fn manifest(&self) -> PathBuf {
        self.root.join("snapshot.json")
    }
}

/// The files of a session.
#[derive(Clone, Debug)]
pub struct SessionPaths {
    pub(super) root: PathBuf,
}

impl SessionPaths {
    /// The session's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folders of the host that the guest sees.
    pub fn folders(&self) -> PathBuf {
        self.root.join("folders.json")
    }

    /// The disk: an overlay on a snapshot's disk or on the image.
    pub fn disk(&self) -> PathBuf {
        self.root.join("disk.qcow2")
    }

    /// What the disk lies on; written before QEMU opens it.
    pub fn record(&self) -> PathBuf {
        self.root.join("session.json")
    }

    /// Memory and devices at the last stop.
    pub fn ram(&self) -> PathBuf {
        self.root.join("ram.mapped")
    }

    /// The memory of a prepared machine or of a restored checkpoint; sparse, mapped privately by the
    /// start that takes it.
    pub fn prepared_ram(&self) -> PathBuf {
        self.root.join("ram.raw")
    }

    /// The devices' state beside that memory.
    pub fn device_state(&self) -> PathBuf {
        self.root.join("device.state")
    }

    /// The disk of the machine that stands by for the next start; in place of the prepared one from then
    /// on.
    pub fn standby_disk(&self) -> PathBuf {
        self.root.join("standby.qcow2")
    }

    /// Written last: this is a machine that was prepared for the next start. It stays until that start
    /// has succeeded; what the user has done is elsewhere until then.
    pub fn prepared(&self) -> PathBuf {
        self.root.join("prepared.json")
    }

    /// What a full look has found to be wrong with the memory, if anything.
    pub fn known_damage(&self) -> PathBuf {
        self.root.join("damage.json")
    }

    /// Written last at a stop, removed before the guest runs again.
    pub fn saved(&self) -> PathBuf {
        self.root.join("saved.json")
    }
}
