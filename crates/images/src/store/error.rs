//! Why the store cannot be read or changed.

use std::path::{Path, PathBuf};

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
    #[error(
        "the image is for {found}, not for {expected}; choose another one, or set the architecture by --arch"
    )]
    Architecture {
        /// What was asked for.
        expected: Arch,
        /// What its manifest says.
        found: String,
    },
    /// The manifest speaks of another image.
    #[error(
        "the image has SHA-256 {found}, its manifest says {expected}: they do not belong together; get the image again"
    )]
    OtherManifest {
        /// The digest in the manifest.
        expected: Sha256Digest,
        /// The digest of the content.
        found: Sha256Digest,
    },
}

impl StoreError {
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
