//! Why saved state cannot be used.

use std::path::{Path, PathBuf};

use failure::{Code, FileError, Remedy};
use record::RecordError;

use crate::fault;

/// Why saved state cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The session belongs to another image than the one asked for.
    #[error("the saved session belongs to the image {}, not to {}", session.display(), asked.display())]
    OtherImage {
        /// The session's image.
        session: PathBuf,
        /// The image asked for.
        asked: PathBuf,
    },
    /// The image under the session is gone or changed.
    #[error("the saved session's disk cannot be used: its image {} was replaced or removed", path.display())]
    SessionImage {
        /// Where it was.
        path: PathBuf,
    },
    /// What the session's disk lies on is damaged.
    #[error("the saved session's disk cannot be used: {problem}")]
    SessionBase {
        /// What is missing.
        problem: String,
    },
    /// The memory of the saved session is damaged.
    #[error("the saved session's memory is damaged: {damage}")]
    SessionDamaged {
        /// What is wrong.
        damage: String,
    },
    /// There is no snapshot.
    #[error("there is no snapshot")]
    NoSnapshot,
    /// The snapshot is damaged.
    #[error("the snapshot is damaged: {damage}")]
    SnapshotDamaged {
        /// What is wrong.
        damage: String,
    },
    /// One of the records cannot be read or written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
}

impl StateError {
    /// A stable code for programs.
    pub fn code(&self) -> Code {
        match self {
            Self::OtherImage { .. } => Code::OtherImage,
            Self::SessionImage { .. } | Self::SessionBase { .. } => Code::SessionBase,
            Self::SessionDamaged { .. } => Code::SessionDamaged,
            Self::NoSnapshot => Code::NoSnapshot,
            Self::SnapshotDamaged { .. } => Code::SnapshotDamaged,
            Self::Record(error) => fault::record_code(error),
            Self::File(error) => error.code(),
        }
    }

    /// What to do about it, if anything helps.
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::OtherImage { .. } => Some(Remedy::StartWithoutImage),
            Self::SessionImage { .. } => Some(Remedy::RestoreImageOrDiscard),
            Self::SessionBase { .. } => Some(Remedy::RestoreFileOrDiscard),
            Self::SessionDamaged { .. } => Some(Remedy::BootSessionDisk),
            Self::NoSnapshot | Self::SnapshotDamaged { .. } => Some(Remedy::TakeSnapshot),
            Self::Record(error) => Some(fault::record_remedy(error)),
            Self::File(error) => error.remedy(),
        }
    }

    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let failed = FileError::of(action, path);
        move |source| failed(source).into()
    }
}
