//! Lines of logs.

use serde::{Deserialize, Serialize};
use specta::Type;
use specta_typescript::Number;

use super::failure::Failure;

/// Which log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, Type)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogSource {
    Serial,
    Qemu,
    App,
}

/// Lines that were added to a log.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LogChunk {
    /// Identifies the first line; later lines count on from it.
    #[specta(type = Number)]
    pub(crate) first_line: u64,
    /// Without control characters.
    pub(crate) lines: Vec<String>,
    /// Whether the log was begun anew, so that what came before is of an earlier machine.
    pub(crate) restarted: bool,
    /// Why nothing follows: the log cannot be read further.
    pub(crate) failure: Option<Failure>,
}
