//! The files of checkpoints, and their names.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a clone can be made from besides a checkpoint, by the same option.
const RESERVED: [&str; 2] = ["session", "snapshot"];

/// The name of a checkpoint: like that of an instance, 1 to 32 characters of `a-z`, `0-9`, `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CheckpointName(String);

impl CheckpointName {
    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text cannot be the name of a checkpoint.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidCheckpointName {
    /// It is not of the right form.
    #[error(
        "{0:?} cannot be the name of a checkpoint: use 1 to 32 of a-z, 0-9 and '-', and start with a letter"
    )]
    Form(String),
    /// `clone --from` takes it for something else.
    #[error("{0:?} cannot be the name of a checkpoint: `clone --from {0}` means something else")]
    Reserved(String),
}

impl FromStr for CheckpointName {
    type Err = InvalidCheckpointName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.parse::<super::InstanceName>().is_err() {
            return Err(InvalidCheckpointName::Form(text.to_owned()));
        }
        if RESERVED.contains(&text) {
            return Err(InvalidCheckpointName::Reserved(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for CheckpointName {
    type Error = InvalidCheckpointName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<CheckpointName> for String {
    fn from(name: CheckpointName) -> Self {
        name.0
    }
}

impl fmt::Display for CheckpointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The files of one checkpoint.
#[derive(Clone, Debug)]
pub struct CheckpointPaths {
    pub(super) root: PathBuf,
}

impl CheckpointPaths {
    /// The checkpoint's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The guest's memory; sparse, mapped privately by each restore.
    pub fn ram(&self) -> PathBuf {
        self.root.join("ram.raw")
    }

    /// The devices' state.
    pub fn device_state(&self) -> PathBuf {
        self.root.join("device.state")
    }

    /// The session's disk as it was at that moment.
    pub fn disk(&self) -> PathBuf {
        self.root.join("disk.qcow2")
    }

    /// What a full look has found to be wrong with it, if anything.
    pub fn known_damage(&self) -> PathBuf {
        self.root.join("damage.json")
    }

    /// Written last: a folder without it is no checkpoint.
    pub fn record(&self) -> PathBuf {
        self.root.join("checkpoint.json")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_and_an_error_names_the_rule() {
        for good in ["seeded", "a", "two-users-2"] {
            assert_eq!(good.parse::<CheckpointName>().unwrap().as_str(), good);
        }
        for bad in ["", "2nd", ".unfinished", "A", "a/b", "..", &"x".repeat(33)] {
            let error = bad.parse::<CheckpointName>().unwrap_err().to_string();
            assert!(error.contains("1 to 32 of a-z"), "{error}");
        }
        for reserved in RESERVED {
            let error = reserved.parse::<CheckpointName>().unwrap_err().to_string();
            assert!(error.contains("--from"), "{error}");
        }
    }
}
