//! Why a request to the GitHub API failed.

use failure::{Code, Remedy};

use crate::http::HttpError;

/// A request to the GitHub API failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// No usable answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The base of the API cannot be one.
    #[error("{url} cannot be the address of a REST API")]
    Base {
        /// The address.
        url: String,
    },
    /// The answer is larger than any should be.
    #[error("{host} answered with more than {limit} bytes when asked for {what}")]
    TooLarge {
        /// The host.
        host: String,
        /// What was asked for.
        what: String,
        /// The most that is read.
        limit: usize,
    },
    /// The answer is not of the expected shape.
    #[error("the answer of {host} about {what} cannot be understood")]
    Parse {
        /// The host.
        host: String,
        /// What was asked for.
        what: String,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// The answer is not a commit.
    #[error("the answer of {host} about {what} is not the name of a commit")]
    NotACommit {
        /// The host.
        host: String,
        /// What was asked for.
        what: String,
    },
}

impl ApiError {
    /// A stable code for programs.
    pub fn code(&self) -> Code {
        match self {
            Self::Http(error) => error.code(),
            Self::Base { .. } => Code::GithubApiAddress,
            Self::TooLarge { .. } | Self::Parse { .. } | Self::NotACommit { .. } => {
                Code::GithubAnswer
            }
        }
    }

    /// What to do about it, if anything helps.
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Http(error) => error.remedy(),
            Self::Base { .. }
            | Self::TooLarge { .. }
            | Self::Parse { .. }
            | Self::NotACommit { .. } => Some(Remedy::CorrectApiAddress),
        }
    }

    /// Whether what was asked for is not there (and nothing else is wrong).
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Http(HttpError::NotFound { .. }))
    }
}
