//! Why settings and the folders that they are about cannot be used.

use std::path::Path;

use failure::{Code, FileError, Remedy};
use record::RecordError;

use super::paths::FolderError;
use super::preferences::InvalidPreference;
use super::variables::SettingsError;
use crate::fault;

/// Why settings and the folders that they are about cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A folder cannot be created, or is not the user's alone.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// What the user has set cannot be read or written.
    #[error("the settings cannot be read or written")]
    Preferences {
        /// What is wrong with them.
        #[source]
        source: RecordError,
    },
    /// An environment variable has a value that cannot be used.
    #[error(transparent)]
    Environment(#[from] SettingsError),
    /// A setting cannot have that value.
    #[error(transparent)]
    Preference(#[from] InvalidPreference),
    /// The settings name no valid repository.
    #[error("invalid value {0:?} for setting `repository`: expected owner/name")]
    Repository(String),
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
}

impl ConfigError {
    /// A stable code for programs.
    pub fn code(&self) -> Code {
        match self {
            Self::Folder(error) => error.code(),
            Self::Preferences { source } => fault::record_code(source),
            Self::Environment(_) => Code::Environment,
            Self::Preference(_) | Self::Repository(_) => Code::Setting,
            Self::File(error) => error.code(),
        }
    }

    /// What to do about it, if anything helps.
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Folder(error) => Some(error.remedy()),
            Self::Preferences { source } => Some(fault::record_remedy(source)),
            // The message says it.
            Self::Environment(_) => None,
            Self::Preference(_) => Some(Remedy::ReadSettings),
            Self::Repository(_) => Some(Remedy::SetRepository),
            Self::File(error) => error.remedy(),
        }
    }

    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let failed = FileError::of(action, path);
        move |source| failed(source).into()
    }
}
