//! Why an operation on images failed.

use failure::{Code, FileError, Remedy};
use images::Sha256Digest;
use images::store::{NameError, StoreError};
use record::RecordError;

use super::installed::ImageUse;
use crate::config::error::ConfigError;
use crate::config::paths::FolderError;
use crate::fault::by_way_of;
use crate::instance::error::InstanceError;
use crate::machine::error::MachineError;
use crate::state::error::StateError;
use crate::vault::VaultError;

/// Why an operation on images failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LibraryError {
    /// The image is in use.
    #[error("the image {} is in use: {}", digest.short(), uses.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    ImageInUse {
        /// The image.
        digest: Sha256Digest,
        /// By whom.
        uses: Vec<ImageUse>,
    },
    /// The instance that is to use the image refused or failed.
    #[error(transparent)]
    Instance(#[from] InstanceError),
}

by_way_of!(
    LibraryError,
    Instance => images::PullError,
    images::ImageError,
    StoreError,
    NameError,
    ConfigError,
    FolderError,
    MachineError,
    StateError,
    VaultError,
    RecordError,
    FileError,
);

impl LibraryError {
    /// A stable code for programs.
    pub fn code(&self) -> Code {
        match self {
            Self::ImageInUse { .. } => Code::ImageInUse,
            Self::Instance(error) => error.code(),
        }
    }

    /// What to do about it, if anything helps.
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::ImageInUse { uses, .. } => Some(Remedy::ReleaseImage {
                holds: uses.iter().map(ImageUse::hold).collect(),
            }),
            Self::Instance(error) => error.remedy(),
        }
    }
}
