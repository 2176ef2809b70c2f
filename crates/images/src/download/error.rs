//! Why a file could not be downloaded.

use std::io;
use std::path::{Path, PathBuf};

use failure::{Code, Remedy, is_no_room};

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
    #[error("{host} sent an invalid response for {what}: {problem}")]
    Answer {
        /// The host.
        host: String,
        /// The file.
        what: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// Not of the length that was announced.
    #[error("{what} has {found} bytes, expected {expected}")]
    Length {
        /// The file.
        what: String,
        /// Bytes announced.
        expected: u64,
        /// Bytes that came, or would have.
        found: u64,
    },
    /// More than is ever taken.
    #[error("{what} is larger than the {limit} bytes that an image may have")]
    TooLarge {
        /// The file.
        what: String,
        /// The most that is taken.
        limit: u64,
    },
    /// Not of the digest that was announced.
    #[error(
        "{what} has SHA-256 {found}, expected {expected}: it was damaged on the way or replaced"
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
    #[error("{what} kept changing while it was being downloaded")]
    Unstable {
        /// The file.
        what: String,
    },
    /// The disk is too full.
    #[error("not enough disk space for {}: {needed} bytes needed, {available} free", path.display())]
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

    /// A stable code for programs.
    pub fn code(&self) -> Code {
        match self {
            Self::Http(error) => error.code(),
            Self::Answer { .. } => Code::DownloadAnswer,
            Self::Length { .. } => Code::DownloadLength,
            Self::TooLarge { .. } => Code::DownloadTooLarge,
            Self::Digest { .. } => Code::DownloadDigest,
            Self::Unstable { .. } => Code::DownloadUnstable,
            Self::Space { .. } => Code::DiskFull,
            Self::File { .. } if is_no_room(self) => Code::DiskFull,
            Self::File { .. } => Code::File,
        }
    }

    /// What to do about it, if anything helps.
    pub fn remedy(&self) -> Option<Remedy> {
        let continues = || Remedy::FreeDiskSpace {
            folder: None,
            continues: true,
        };
        match self {
            Self::Http(error) => error.remedy(),
            Self::Answer { .. } => Some(Remedy::CheckProxy),
            Self::Length { .. } | Self::Digest { .. } => Some(Remedy::DownloadAgain),
            Self::Unstable { .. } => Some(Remedy::WaitForPublication),
            Self::Space { .. } => Some(continues()),
            Self::File { .. } => is_no_room(self).then(continues),
            Self::TooLarge { .. } => None,
        }
    }
}
