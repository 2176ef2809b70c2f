//! Mails.

use emulator::mail::MailSummary;
use serde::Serialize;
use specta::Type;

use super::failure::Failure;

/// What is told of the mails to who follows them.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum MailUpdate {
    /// All that there are, newest first.
    Mails { mails: Vec<MailSummary> },
    /// Nothing follows: the mails cannot be read.
    Failed { failure: Failure },
}
