//! Commands, the ground that they are given on, and what they may change of a user's data.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

/// What a home is like when a blow falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Ground {
    /// Stopped, without a session.
    Clean,
    /// Stopped, with a session that was saved.
    Kept,
    /// Running.
    Running,
    /// QEMU has died.
    Died,
    /// Stopped by a command that left the rest to others, of whom there are none.
    SetAside,
    /// Stopped, with the next start prepared.
    Prepared,
    /// The same, with the machine in memory.
    Standby,
}

impl Ground {
    /// The setting `ahead` for commands on it.
    pub(super) const fn ahead(self) -> &'static str {
        match self {
            Self::Clean | Self::Kept | Self::Running | Self::Died => "off",
            Self::SetAside | Self::Prepared => "disk",
            Self::Standby => "memory",
        }
    }
}

/// A command of the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Deed {
    Start,
    Stop,
    /// A stop that leaves the rest to a process behind it.
    StopBehind,
    Discard,
    Reset,
    Rotate,
    WorkAhead,
    Capture,
    Checkpoint,
    /// Of the checkpoint.
    Restore,
    DeleteCheckpoint,
    Clone,
    CloneSession,
    DeleteClone,
    Archive,
    /// The snapshot from an archive.
    Unarchive,
    Credentials,
    AddUser,
    Run,
    Pull,
    Verify,
    Diagnostics,
    Settings,
    Status,
    Instances,
}

/// What may have become of the rows when a command has ended, or was ended, however that came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All are there.
    All,
    /// All, or else what is said.
    AllOr {
        /// None at all.
        none: bool,
        /// Those of the checkpoint.
        checkpoint: bool,
    },
    /// Any, if the command that first meets the loss tells of it.
    AnyIfTold,
}

impl Outcome {
    /// What may have become of them after both.
    pub(super) const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::AnyIfTold, _) | (_, Self::AnyIfTold) => Self::AnyIfTold,
            (Self::All, other) => other,
            (one, Self::All) => one,
            (
                Self::AllOr { none, checkpoint },
                Self::AllOr {
                    none: or_none,
                    checkpoint: or_checkpoint,
                },
            ) => Self::AllOr {
                none: none || or_none,
                checkpoint: checkpoint || or_checkpoint,
            },
        }
    }
}

/// Names in a home of the campaign.
pub(super) const CHECKPOINT: &str = "seeded";
pub(super) const CLONE: &str = "extra";
pub(super) const CONFIG: &str = "app/stack.config.ts";
pub(super) const ENV_FILE: &str = "app/.env";
pub(super) const ARCHIVE: &str = "kept.savevm.zst";
pub(super) const DIAGNOSTICS: &str = "diagnostics.zip";

impl Deed {
    /// What is killed, how often, and on what ground.
    pub(super) const KILLED: [(u32, (Ground, Self)); 31] = [
        (8, (Ground::Clean, Self::Start)),
        (14, (Ground::Kept, Self::Start)),
        (3, (Ground::Died, Self::Start)),
        (5, (Ground::SetAside, Self::Start)),
        (4, (Ground::Prepared, Self::Start)),
        (2, (Ground::Standby, Self::Start)),
        (14, (Ground::Running, Self::Stop)),
        (8, (Ground::Running, Self::StopBehind)),
        (3, (Ground::Running, Self::Discard)),
        (2, (Ground::Kept, Self::Reset)),
        (2, (Ground::Running, Self::Reset)),
        (5, (Ground::Running, Self::Rotate)),
        (8, (Ground::SetAside, Self::WorkAhead)),
        (1, (Ground::Clean, Self::Capture)),
        (1, (Ground::Kept, Self::Capture)),
        (6, (Ground::Running, Self::Checkpoint)),
        (6, (Ground::Running, Self::Restore)),
        (2, (Ground::Kept, Self::Restore)),
        (2, (Ground::Running, Self::DeleteCheckpoint)),
        (3, (Ground::Running, Self::Clone)),
        (2, (Ground::Kept, Self::CloneSession)),
        (3, (Ground::Running, Self::DeleteClone)),
        (2, (Ground::Kept, Self::Archive)),
        (2, (Ground::Clean, Self::Unarchive)),
        (4, (Ground::Running, Self::Credentials)),
        (2, (Ground::Running, Self::AddUser)),
        (2, (Ground::Kept, Self::Run)),
        (2, (Ground::Kept, Self::Pull)),
        (1, (Ground::Kept, Self::Verify)),
        (1, (Ground::Running, Self::Diagnostics)),
        (1, (Ground::Kept, Self::Settings)),
    ];

    /// During what processes are stopped.
    pub(super) const FROZEN: [(u32, (Ground, Self)); 8] = [
        (3, (Ground::Kept, Self::Start)),
        (2, (Ground::Clean, Self::Start)),
        (3, (Ground::Running, Self::Stop)),
        (2, (Ground::Running, Self::StopBehind)),
        (2, (Ground::Running, Self::Rotate)),
        (2, (Ground::Running, Self::Checkpoint)),
        (2, (Ground::Running, Self::Restore)),
        (1, (Ground::SetAside, Self::WorkAhead)),
    ];

    /// What races.
    pub(super) const RACING: [(u32, Self); 18] = [
        (6, Self::Start),
        (5, Self::Stop),
        (3, Self::StopBehind),
        (1, Self::Discard),
        (1, Self::Reset),
        (3, Self::Rotate),
        (2, Self::Checkpoint),
        (2, Self::Restore),
        (1, Self::DeleteCheckpoint),
        (2, Self::Clone),
        (1, Self::DeleteClone),
        (2, Self::Credentials),
        (1, Self::AddUser),
        (1, Self::Verify),
        (1, Self::Run),
        (2, Self::WorkAhead),
        (1, Self::Instances),
        (2, Self::Status),
    ];

    /// Its words; `home` is the user's.
    pub(super) fn words(self, home: &Path, image: &Path) -> Vec<OsString> {
        let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        let and = |some: &[&str], path: &str| {
            let mut all = words(some);
            all.push(home.join(path).into());
            all
        };
        match self {
            Self::Start => words(&["start"]),
            Self::Stop | Self::StopBehind => words(&["stop"]),
            Self::Discard => words(&["stop", "--discard"]),
            Self::Reset => words(&["reset", "--yes"]),
            Self::Rotate => words(&["secrets", "rotate"]),
            Self::WorkAhead => words(&["work-ahead"]),
            Self::Capture => words(&["capture"]),
            Self::Checkpoint => words(&["checkpoint", "create", CHECKPOINT]),
            Self::Restore => words(&["checkpoint", "restore", CHECKPOINT, "--yes"]),
            Self::DeleteCheckpoint => words(&["checkpoint", "delete", CHECKPOINT, "--yes"]),
            Self::Clone => words(&["clone", CLONE]),
            Self::CloneSession => words(&["clone", CLONE, "--from", "session"]),
            Self::DeleteClone => words(&["delete", CLONE, "--yes"]),
            Self::Archive => and(&["archive"], ARCHIVE),
            Self::Unarchive => and(&["restore"], ARCHIVE),
            Self::Credentials => {
                let mut all = and(&["credentials", "--write"], ENV_FILE);
                all.extend(and(&["--config-file"], CONFIG));
                all
            }
            Self::AddUser => {
                let mut all = and(&["users", "--config-file"], CONFIG);
                // The second one of an address is refused, which is fine.
                all.extend(words(&["add", "ada@example.com"]));
                all
            }
            Self::Run => {
                let mut all = and(&["run", "--config-file"], CONFIG);
                all.extend(words(&["--", "sleep", "0.2"]));
                all
            }
            Self::Pull => {
                let mut all = words(&["pull", "--skip-snapshot", "--file"]);
                all.push(image.into());
                all
            }
            Self::Verify => words(&["verify"]),
            Self::Diagnostics => and(&["diagnostics"], DIAGNOSTICS),
            Self::Settings => words(&["settings", "set", "cache-limit", "20GB"]),
            Self::Status => words(&["status"]),
            Self::Instances => words(&["instances"]),
        }
    }

    /// The setting `ahead` for it, where that is not the ground's.
    pub(super) const fn ahead(self) -> Option<&'static str> {
        match self {
            Self::StopBehind | Self::WorkAhead => Some("disk"),
            _ => None,
        }
    }

    /// Whether there is a machine while it works.
    pub(super) const fn has_machine(self) -> bool {
        matches!(
            self,
            Self::Start
                | Self::Stop
                | Self::StopBehind
                | Self::Rotate
                | Self::WorkAhead
                | Self::Capture
                | Self::Checkpoint
                | Self::Restore
                | Self::Credentials
                | Self::Run
        )
    }

    /// What may have become of the rows.
    pub(super) const fn outcome(self) -> Outcome {
        match self {
            Self::Discard | Self::Reset => Outcome::AllOr {
                none: true,
                checkpoint: false,
            },
            Self::Restore => Outcome::AllOr {
                none: false,
                checkpoint: true,
            },
            _ => Outcome::All,
        }
    }

    /// Whether there has to be a checkpoint before it.
    pub(super) const fn needs_checkpoint(self) -> bool {
        matches!(self, Self::Restore | Self::DeleteCheckpoint)
    }

    /// What it makes and cannot make twice; it must not be there before it.
    pub(super) const fn makes(self) -> Option<Made> {
        match self {
            Self::Checkpoint => Some(Made::Checkpoint),
            Self::Clone | Self::CloneSession => Some(Made::Clone),
            _ => None,
        }
    }

    /// About how long it takes, until that was measured.
    pub(super) const fn guess(self, ground: Ground) -> Duration {
        let ms = match (self, ground) {
            (Self::Start, Ground::Died) | (Self::Capture, _) => 9000,
            (Self::Start, Ground::Standby | Ground::Prepared | Ground::SetAside) => 400,
            (Self::WorkAhead, _) => 3000,
            (Self::Stop | Self::Start | Self::Restore | Self::Checkpoint, _) => 1000,
            (Self::Archive | Self::Unarchive | Self::Verify | Self::Run, _) => 1500,
            _ => 300,
        };
        Duration::from_millis(ms)
    }
}

/// What a command can make once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    Checkpoint,
    Clone,
}
