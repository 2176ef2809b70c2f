//! What a campaign may find.

use std::fmt;

/// Which promise was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// A command hangs.
    Stuck,
    /// Data that was confirmed is gone.
    Lost,
    /// A process or a file is left.
    Left,
    /// Something is not as it says, or nobody has said it.
    Wrong,
    /// What has to work does not.
    Broken,
    /// `status` takes its time.
    Slow,
    /// The campaign itself.
    Panic,
}

/// A promise that was not kept.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) fault: Fault,
    pub(super) text: String,
}

impl Failure {
    pub(super) fn new(fault: Fault, text: impl Into<String>) -> Self {
        Self {
            fault,
            text: text.into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.fault, self.text)
    }
}
