//! Why something failed, as the page is told.

use serde::Serialize;
use specta::Type;

/// What was asked for, or why there is none.
pub(crate) type Answer<T = ()> = Result<T, Failure>;

/// Why something failed.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
pub(crate) struct Failure {
    /// Stable, the same as in the command line's JSON.
    pub(crate) code: String,
    /// What happened and why.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

impl Failure {
    /// One of the app itself.
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            hint: None,
        }
    }

    pub(crate) fn with_hint(mut self, hint: &str) -> Self {
        self.hint = Some(hint.to_owned());
        self
    }

    /// What the app could not do, and what the error says of it.
    pub(crate) fn of(code: &str, what: &str, error: &dyn std::error::Error) -> Self {
        Self::new(code, format!("{what}: {}", emulator::chain(error)))
    }

    /// An operation that the user ended.
    pub(crate) fn cancelled() -> Self {
        Self::new("cancelled", "it was cancelled")
    }
}

impl From<emulator::Error> for Failure {
    fn from(error: emulator::Error) -> Self {
        Self {
            code: error.code().to_owned(),
            message: emulator::chain(&error),
            hint: error.hint(),
        }
    }
}
