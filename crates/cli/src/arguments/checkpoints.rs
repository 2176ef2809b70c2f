//! `checkpoint …`, and what a clone can be made from.

use std::str::FromStr;

use clap::Subcommand;
use emulator::CloneFrom;
use emulator::paths::CheckpointName;

/// What is wanted of the checkpoints.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum CheckpointArguments {
    /// Keep the running emulator under a name; it continues to run
    #[command(
        long_about = "Keep the running emulator under a name; it continues to run.\n\n\
            Keeps memory, devices and disk of this moment, for which the virtual machine is paused for less \
            than a second. Shared folders are detached for it and attached again."
    )]
    Create {
        /// Name of the new checkpoint
        #[arg(value_name = "NAME")]
        name: CheckpointName,
    },
    /// List the checkpoints with their age, size, and whether they can be resumed
    List,
    /// Run from a checkpoint, in place of what is running or saved
    #[command(
        long_about = "Run from a checkpoint, in place of what is running or saved.\n\n\
            Ends the running emulator without saving its session, or replaces the saved session: everything \
            created since the checkpoint is gone. The checkpoint itself is kept and can be restored any number \
            of times.\n\n\
            Restored into the start in which it was created, the secrets stay the same; otherwise they are \
            rotated. A checkpoint of another QEMU, or of other settings, is booted from its disk, without the \
            programs that were running.\n\n\
            On a terminal, asks first if anything would be lost, unless `--yes` is given. Scripts are not asked."
    )]
    Restore {
        /// Checkpoint to restore
        #[arg(value_name = "NAME")]
        name: CheckpointName,
        /// Skip the confirmation
        #[arg(short, long)]
        yes: bool,
    },
    /// Delete a checkpoint
    #[command(long_about = "Delete a checkpoint.\n\n\
            The running emulator is not affected, even if it was restored from it. Asks first, unless `--yes` \
            is given.")]
    Delete {
        /// Checkpoint to delete
        #[arg(value_name = "NAME")]
        name: CheckpointName,
        /// Skip the confirmation
        #[arg(short, long)]
        yes: bool,
    },
}

/// `clone --from`, as it is typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CloneSource(pub CloneFrom);

impl FromStr for CloneSource {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, Self::Err> {
        Ok(Self(match typed {
            "snapshot" => CloneFrom::Snapshot,
            "session" => CloneFrom::Session,
            name => CloneFrom::Checkpoint(name.parse().map_err(|error| {
                format!("expected `snapshot`, `session` or a checkpoint; {error}")
            })?),
        }))
    }
}
