//! Why the store cannot be read or changed.

use std::path::{Path, PathBuf};

use failure::Remedy;

use crate::source::Arch;
use crate::{ImageError, Sha256Digest};

/// Why the store cannot be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A record cannot be read or written.
    #[error(transparent)]
    Record(#[from] record::RecordError),
    /// The image is not fit to be given to QEMU.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The image is for other machines.
    #[error("the image is for {found}, not for {expected}")]
    Architecture {
        /// What was asked for.
        expected: Arch,
        /// What its manifest says.
        found: String,
    },
    /// The manifest speaks of another image.
    #[error(
        "the image has SHA-256 {found}, but its manifest is for an image with SHA-256 {expected}"
    )]
    OtherManifest {
        /// The digest in the manifest.
        expected: Sha256Digest,
        /// The digest of the content.
        found: Sha256Digest,
    },
}

impl StoreError {
    /// What to do about it, if anything helps.
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Image(error) => error.remedy(),
            Self::Architecture { .. } => Some(Remedy::ChooseArchitecture),
            Self::OtherManifest { .. } => Some(Remedy::PullAgain),
            Self::File { .. } | Self::Record(_) => None,
        }
    }

    pub(super) fn file(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }
}
