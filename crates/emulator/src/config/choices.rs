//! Settings of which one of a few values is chosen.

use serde::{Deserialize, Serialize};

/// How much of the next start is done ahead of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
#[serde(rename_all = "snake_case")]
pub enum Ahead {
    /// Nothing.
    Off,
    /// The machine of the next start gets its secrets when this one has been put away, and waits on
    /// the disk.
    #[default]
    Disk,
    /// It waits in memory as well, where there is room for it.
    Memory,
}

impl Ahead {
    /// What users write.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Disk => "disk",
            Self::Memory => "memory",
        }
    }

    /// What a user wrote.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Off, Self::Disk, Self::Memory]
            .into_iter()
            .find(|one| one.name() == name)
    }
}

/// Whose the instance is that commands act on where none is named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstancePer {
    /// Everybody's: the default instance.
    #[default]
    None,
    /// That of the project's folder, as with `--here`.
    Folder,
}

impl InstancePer {
    /// What users write.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Folder => "folder",
        }
    }

    /// What a user wrote.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::None, Self::Folder]
            .into_iter()
            .find(|one| one.name() == name)
    }
}
