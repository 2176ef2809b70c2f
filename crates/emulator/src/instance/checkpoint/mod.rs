//! Checkpoints: create, list, restore and delete named saved states.
//!
//! ```text
//! create   the guest syncs its disk ─► its machine is copied into a second QEMU, whose memory is a
//!          file, while it runs ─► it stands still for what it has changed meanwhile and for a copy of
//!          its disk ─► it goes on ─► that QEMU saves its devices
//!
//! restore  a session is made of the checkpoint ─► the running machine ends ─► that session takes
//!          the place of the user's ─► it is continued ─► the secrets are kept or rotated, and proved
//! ```
//!
//! A second QEMU, because a machine whose memory is private to it can only save by writing all of
//! its memory to a file that a start has to read in full. The copy has its memory in a file from the
//! beginning; a restore maps that file, which takes no time.
//!
//! A restore into the running machine keeps the secrets, if that machine's start has made them and
//! they were in force when the checkpoint was created: the machine that had them ends, so that they
//! are in force in one machine at most. Any other restore rotates them.
//!
//! | module | what it is about |
//! |---|---|
//! | `create`, `memory` | making one of the running machine |
//! | `restore` | making the running machine of one |
//! | `look` | listing, and deleting |

mod create;
mod look;
mod memory;
mod restore;

pub use create::CheckpointReport;
pub use look::{CheckpointEntry, CheckpointList, DeleteCheckpointReport};
pub use restore::RestoreCheckpointReport;
pub(super) use restore::put_memory;

use super::Emulator;
use crate::config::paths::{CheckpointName, SlotName};
use crate::instance::error::InstanceError as Error;
use crate::machine::slot::{Recorded, kill, live_processes, orphans, recorded};
use crate::state::checkpoint::Checkpoint;

impl Emulator {
    /// The checkpoint called `name`, whose record must be whole.
    pub(in crate::instance) fn checkpoint(
        &self,
        name: &CheckpointName,
    ) -> Result<Checkpoint, Error> {
        if !self.paths.checkpoint(name).root().is_dir() {
            return Err(Error::NoCheckpoint {
                checkpoint: name.clone(),
            });
        }
        Ok(Checkpoint::open(&self.paths, name)?)
    }

    /// Ends the machine that a checkpoint was to be made of, and removes what there is of it. The
    /// instance's lock must be held.
    pub(in crate::instance) async fn remove_unfinished_checkpoint(&self) -> Result<(), Error> {
        let paths = self.paths.slot(SlotName::Checkpoint);
        if !paths.root().try_exists().unwrap_or(true) {
            return Ok(());
        }
        let mut alive = orphans(&paths)?;
        if let Recorded::Ours(record) = recorded(&paths)? {
            alive.extend(live_processes(&paths, &record)?);
        }
        kill(&alive).await?;
        record::remove_folder(paths.root()).map_err(Error::file("remove", paths.root()))
    }
}
