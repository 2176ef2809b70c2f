//! `checkpoint list` and `checkpoint delete`.

use images::store::{bytes_on_disk, own_on_disk};
use serde::Serialize;

use crate::config::paths::{CheckpointName, SlotName};
use crate::config::quantities::span;
use crate::instance::Emulator;
use crate::instance::error::InstanceError as Error;
use crate::instance::policy::list;
use crate::state::checkpoint::Checkpoint;
use failure::chain;
use progress::{Reporter, milliseconds};

/// What `checkpoint list` reports.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckpointList {
    /// The checkpoints, in the order of their names.
    pub checkpoints: Vec<CheckpointEntry>,
}

/// One checkpoint of the list.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
pub struct CheckpointEntry {
    /// Its name.
    #[cfg_attr(feature = "specta", specta(type = String))]
    pub name: CheckpointName,
    /// When it was created, in milliseconds since the Unix epoch; `null` if its record is lost.
    #[cfg_attr(feature = "specta", specta(type = Option<specta_typescript::Number>))]
    pub created_at_ms: Option<u64>,
    /// What it takes on disk, in bytes; holes take nothing.
    #[cfg_attr(feature = "specta", specta(type = specta_typescript::Number))]
    pub bytes_on_disk: u64,
    /// Whether a restore resumes it; if not, its disk is booted. `null` if that cannot be told.
    pub fits: Option<bool>,
    /// Why it does not fit, or why that cannot be told.
    pub reason: Option<String>,
}

impl CheckpointEntry {
    /// How old it is, for people; `None` if its record is lost.
    pub fn age(&self) -> Option<String> {
        let at_ms = self.created_at_ms?;
        Some(span(host::now_ms().saturating_sub(at_ms)))
    }
}

/// What the deletion of a checkpoint reports.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeleteCheckpointReport {
    /// The checkpoint that is gone.
    pub checkpoint: CheckpointName,
    /// What that freed, in bytes on disk.
    pub freed_bytes: u64,
    /// Milliseconds.
    pub total_ms: f64,
}

impl Emulator {
    /// Names of the instance's checkpoints, in order.
    pub fn checkpoint_names(&self) -> Result<Vec<CheckpointName>, Error> {
        let names = Checkpoint::names(&self.paths);
        names.map_err(Error::file("list", &self.paths.checkpoints()))
    }

    /// The checkpoints of the instance. Takes no lock.
    pub async fn checkpoints(&self) -> Result<CheckpointList, Error> {
        let mut checkpoints = Vec::new();
        for name in self.checkpoint_names()? {
            checkpoints.push(self.checkpoint_entry(name).await);
        }
        Ok(CheckpointList { checkpoints })
    }

    async fn checkpoint_entry(&self, name: CheckpointName) -> CheckpointEntry {
        let checkpoint = Checkpoint::open(&self.paths, &name);
        let root = self.paths.checkpoint(&name).root().to_owned();
        let (fits, reason) = match &checkpoint {
            Ok(checkpoint) => self.fits(checkpoint).await,
            Err(lost) => (Some(false), Some(chain(lost))),
        };
        CheckpointEntry {
            name,
            created_at_ms: checkpoint.ok().map(|found| found.record.created_at_ms),
            bytes_on_disk: bytes_on_disk(&root),
            fits,
            reason,
        }
    }

    /// Whether a restore would resume `checkpoint`, as far as costs next to nothing, and why not.
    async fn fits(&self, checkpoint: &Checkpoint) -> (Option<bool>, Option<String>) {
        let fingerprint = &checkpoint.record.fingerprint;
        let same = self.with_image_of(checkpoint);
        let spec = match same.prepare_for(fingerprint).await {
            Ok(prepared) => prepared.spec,
            Err(error) => return (None, Some(chain(&error))),
        };
        // Nobody waits here for what a restore reads after another boot.
        let boot_id = &checkpoint.record.boot_id;
        let damage = checkpoint.disk_damage(false);
        let damage = damage.or_else(|| checkpoint.memory_damage(boot_id, false));
        let mismatches = fingerprint.mismatches(&spec.fingerprint);
        match damage {
            Some(damage) => (Some(false), Some(damage)),
            None if mismatches.is_empty() => (Some(true), None),
            None => (Some(false), Some(list(&mismatches))),
        }
    }

    /// Removes the checkpoint called `name`, also one that is damaged.
    pub async fn delete_checkpoint(
        &self,
        name: &CheckpointName,
        reporter: &dyn Reporter,
    ) -> Result<DeleteCheckpointReport, Error> {
        let begun = std::time::Instant::now();
        self.check_checkpoint(name)?;
        let _held = self.hold("checkpoint delete", reporter).await?;
        self.check_checkpoint(name)?;
        let checkpoint = self.paths.checkpoint(name);
        let freed_bytes = own_on_disk(checkpoint.root());
        // It is gone by one rename, to where any command removes what it finds.
        let old = self.paths.slot(SlotName::Checkpoint);
        let remove = || Error::file("remove", checkpoint.root());
        std::fs::rename(checkpoint.root(), old.root()).map_err(remove())?;
        record::sync_folder(&self.paths.checkpoints()).map_err(remove())?;
        record::remove_folder(old.root()).map_err(remove())?;
        self.tidy_snapshots()?;
        Ok(DeleteCheckpointReport {
            checkpoint: name.clone(),
            freed_bytes,
            total_ms: milliseconds(begun.elapsed()),
        })
    }

    /// Refuses if there is no such checkpoint, before the user is asked.
    pub fn check_checkpoint(&self, name: &CheckpointName) -> Result<(), Error> {
        if self.paths.checkpoint(name).root().is_dir() {
            return Ok(());
        }
        Err(Error::NoCheckpoint {
            checkpoint: name.clone(),
        })
    }
}
