//! Why an image cannot be pulled, whichever step failed.

use failure::{Code, Remedy, is_no_room};

use crate::fetch::{ClaimError, FetchError};
use crate::github::ApiError;
use crate::source::ResolveError;

/// Why an image cannot be pulled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    /// GitHub cannot be asked.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// There is no such image.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// It cannot be received or verified.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Unfinished downloads cannot be looked at or removed.
    #[error(transparent)]
    Claim(#[from] ClaimError),
}

impl PullError {
    /// A stable code for programs.
    pub fn code(&self) -> Code {
        match self {
            Self::Api(error) => error.code(),
            Self::Resolve(error) => error.code(),
            Self::Fetch(error) => error.code(),
            Self::Claim(error) if is_no_room(error) => Code::DiskFull,
            Self::Claim(_) => Code::File,
        }
    }

    /// What to do about it, if anything helps.
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Api(error) => error.remedy(),
            Self::Resolve(error) => error.remedy(),
            Self::Fetch(error) => error.remedy(),
            Self::Claim(error) => is_no_room(error).then(Remedy::free_disk_space),
        }
    }
}
