//! Why a file could not be downloaded.

use std::io;
use std::path::{Path, PathBuf};

use crate::Sha256Digest;
use crate::http::HttpError;

/// A file could not be downloaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// The server did not give it.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The answer contradicts itself or the request.
    #[error("{host} gave an answer about {what} that makes no sense: {problem}")]
    Answer {
        /// The host.
        host: String,
        /// The file.
        what: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// Not of the length that was announced.
    #[error("{what} has {found} bytes, not the {expected} announced")]
    Length {
        /// The file.
        what: String,
        /// Bytes announced.
        expected: u64,
        /// Bytes that came, or would have.
        found: u64,
    },
    /// More than is ever taken.
    #[error("{what} has more than the {limit} bytes that are allowed")]
    TooLarge {
        /// The file.
        what: String,
        /// The most that is taken.
        limit: u64,
    },
    /// Not of the digest that was announced.
    #[error(
        "{what} has SHA-256 {found}, not the {expected} announced: it was damaged on the way, or is not what it claims to be"
    )]
    Digest {
        /// The file.
        what: String,
        /// The digest announced.
        expected: Sha256Digest,
        /// The digest of what came.
        found: Sha256Digest,
    },
    /// Too often another file at the same address.
    #[error("{what} changed again and again while it was downloaded")]
    Unstable {
        /// The file.
        what: String,
    },
    /// The disk is too full.
    #[error("{} needs {needed} more bytes on a disk that has {available} free", path.display())]
    Space {
        /// The file.
        path: PathBuf,
        /// Bytes needed.
        needed: u64,
        /// Bytes free.
        available: u64,
    },
    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl DownloadError {
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// A stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Http(error) => error.code(),
            Self::Answer { .. } => "download-answer",
            Self::Length { .. } => "download-length",
            Self::TooLarge { .. } => "download-too-large",
            Self::Digest { .. } => "download-digest",
            Self::Unstable { .. } => "download-unstable",
            Self::Space { .. } => "disk_full",
            Self::File { source, .. } if source.kind() == io::ErrorKind::StorageFull => "disk_full",
            Self::File { .. } => "file",
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Http(error) => error.hint(),
            Self::Answer { .. } => Some(
                "A proxy or mirror may be in the way; check HTTPS_PROXY and STACK_EMULATOR_GITHUB_API.",
            ),
            Self::Length { .. } | Self::Digest { .. } => Some(
                "Nothing of it was kept. Run the command again; if it stays, tell whoever published the image.",
            ),
            Self::Unstable { .. } => {
                Some("It may be in the middle of being published; try again later.")
            }
            Self::Space { .. } => Some(
                "Free some space, for instance with `stack-emulator images prune`, then try again: it continues where it stopped.",
            ),
            Self::File { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("Free some space, then try again: it continues where it stopped.")
            }
            Self::TooLarge { .. } | Self::File { .. } => None,
        }
    }
}
