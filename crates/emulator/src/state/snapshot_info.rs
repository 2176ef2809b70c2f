//! A snapshot, as people and programs are told of it.

use serde::Serialize;

use super::snapshot::Snapshot;
use crate::config::paths::InstancePaths;
use crate::config::quantities::{bytes, span};

/// A snapshot, for people and programs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
pub struct SnapshotInfo {
    /// Its identifier.
    pub id: String,
    /// When it was taken, in milliseconds since the Unix epoch.
    #[cfg_attr(feature = "specta", specta(type = specta_typescript::Number))]
    pub captured_at_ms: u64,
    /// How long the cold boot took that was captured, in milliseconds.
    #[cfg_attr(feature = "specta", specta(type = specta_typescript::Number))]
    pub cold_boot_ms: f64,
    /// What it takes on disk in bytes; holes take nothing.
    #[cfg_attr(feature = "specta", specta(type = specta_typescript::Number))]
    pub bytes_on_disk: u64,
}

impl SnapshotInfo {
    pub(crate) fn new(snapshot: &Snapshot) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        let paths = &snapshot.paths;
        let files = [
            paths.ram(),
            paths.device_state(),
            paths.disk(),
            paths.config_iso(),
        ];
        let bytes_on_disk = files
            .iter()
            .filter_map(|path| std::fs::metadata(path).ok())
            .map(|meta| meta.blocks() * 512)
            .sum();
        Self {
            id: snapshot.manifest.id.clone(),
            captured_at_ms: snapshot.manifest.captured_at_ms,
            cold_boot_ms: snapshot.manifest.cold_boot_ms,
            bytes_on_disk,
        }
    }

    /// One line for people: how old it is and what it takes on disk.
    pub fn summary(&self) -> String {
        let age = span(host::now_ms().saturating_sub(self.captured_at_ms));
        let size = bytes(self.bytes_on_disk);
        format!("taken {age} ago, {size} on disk")
    }

    /// That of the snapshot called `id`.
    pub(crate) fn of(paths: &InstancePaths, id: &str) -> Result<Self, record::RecordError> {
        Ok(Self::new(&Snapshot::open(paths, id)?))
    }
}
