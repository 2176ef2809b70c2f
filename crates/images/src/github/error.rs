//! Why a question to GitHub has no answer.

use crate::http::HttpError;

/// A question to GitHub failed.
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
    /// A stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Http(error) => error.code(),
            Self::Base { .. } => "github-api-address",
            Self::TooLarge { .. } | Self::Parse { .. } | Self::NotACommit { .. } => "github-answer",
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Http(error) => error.hint(),
            Self::Base { .. } => Some("Correct STACK_EMULATOR_GITHUB_API, or unset it."),
            Self::TooLarge { .. } | Self::Parse { .. } | Self::NotACommit { .. } => Some(
                "Check that STACK_EMULATOR_GITHUB_API, if it is set, is a GitHub REST API and not a web page.",
            ),
        }
    }

    /// Whether what was asked for is not there (and nothing else is wrong).
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Http(HttpError::NotFound { .. }))
    }
}
