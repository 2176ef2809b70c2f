//! Lines of logs.

use emulator::logs::Chunk;
use serde::Serialize;
use specta::Type;

use super::failure::Failure;

/// What is told of a log that is followed.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum LogUpdate {
    Lines {
        chunk: Chunk,
    },
    /// Nothing follows: the log cannot be read further.
    Failed {
        failure: Failure,
    },
}
