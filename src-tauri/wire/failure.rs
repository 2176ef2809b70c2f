//! Why something failed, as the page is told.

use emulator::{Code, Remedy};
use serde::Serialize;
use specta::Type;

/// What was asked for, or why there is none.
pub(crate) type Answer<T = ()> = Result<T, Failure>;

/// Why something failed.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
pub(crate) struct Failure {
    /// Stable, the same as in the command line's JSON.
    pub(crate) code: Code,
    /// What happened and why.
    pub(crate) message: String,
    /// What to do about it, in the app's own words.
    pub(crate) hint: Option<String>,
    /// What to do about it, which the page words.
    pub(crate) remedy: Option<Remedy>,
}

impl Failure {
    /// One of the app itself.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: None,
            remedy: None,
        }
    }

    pub(crate) fn with_hint(mut self, hint: &str) -> Self {
        self.hint = Some(hint.to_owned());
        self
    }

    /// What the app could not do, and what the error says of it.
    pub(crate) fn of(code: Code, what: &str, error: &dyn std::error::Error) -> Self {
        Self::new(code, format!("{what}: {}", emulator::chain(error)))
    }

    /// An operation that the user ended.
    pub(crate) fn cancelled() -> Self {
        Self::new(Code::Cancelled, "it was canceled")
    }
}

impl From<emulator::Error> for Failure {
    fn from(error: emulator::Error) -> Self {
        Self {
            code: error.code(),
            // It may quote QEMU, GitHub or the guest.
            message: printable::lines(&emulator::chain(&error)).into_owned(),
            hint: None,
            remedy: error.remedy(),
        }
    }
}

/// The engine's rooms have errors of their own; here they are one.
macro_rules! engine_errors {
    ($($room:ident),+ $(,)?) => {
        $(
            impl From<emulator::$room> for Failure {
                fn from(error: emulator::$room) -> Self {
                    emulator::Error::from(error).into()
                }
            }
        )+
    };
}
engine_errors!(
    ConfigError,
    MachineError,
    StateError,
    InstanceError,
    LibraryError,
    AppsError,
    ObserveError,
);
