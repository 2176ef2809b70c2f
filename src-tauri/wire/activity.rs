//! One long operation and how far it has come.

use progress::Phase;
use serde::Serialize;
use specta::Type;
use specta_typescript::Number;

use super::failure::Failure;
use super::images::ImageSource;

/// One long operation of this app, from its beginning until it is dismissed or the next one begins.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
pub(crate) struct Activity {
    /// Identifies it for `cancel` and `dismiss`.
    pub(crate) id: u32,
    /// What was asked for.
    pub(crate) task: Task,
    /// What it works on, for people: an image's name.
    pub(crate) subject: Option<String>,
    /// Where the image is from that it gets, so that it can be tried again.
    pub(crate) source: Option<ImageSource>,
    /// The parts of the task, in order; one for most.
    pub(crate) stages: Vec<Stage>,
    /// Phases begun so far, in order.
    pub(crate) phases: Vec<PhaseProgress>,
    /// Things to read that are no failure.
    pub(crate) notices: Vec<Notice>,
    /// When it began, in milliseconds since the Unix epoch.
    #[specta(type = Number)]
    pub(crate) began_at_ms: u64,
    /// The time that its present part has, if that is limited.
    pub(crate) limit: Option<TimeLimit>,
    /// How it stands.
    pub(crate) outcome: Outcome,
}

/// A time that something has.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
pub(crate) struct TimeLimit {
    /// When it began, in milliseconds since the Unix epoch.
    #[specta(type = Number)]
    pub(crate) began_at_ms: u64,
    /// How long it may take, in milliseconds.
    #[specta(type = Number)]
    pub(crate) limit_ms: u64,
}

/// A long operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Task {
    Start,
    Stop,
    Restart,
    Reset,
    Capture,
    Pull,
    SetUp,
    Rotate,
    /// A checkpoint is created.
    Checkpoint,
    /// A checkpoint is restored.
    Restore,
}

/// A part of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    Pull,
    Capture,
    Start,
    Stop,
    Rotate,
    Reset,
    Checkpoint,
}

/// How far a phase has come.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
pub(crate) struct PhaseProgress {
    pub(crate) stage: Stage,
    pub(crate) phase: Phase,
    /// How long it took, in milliseconds; null while it runs.
    #[specta(type = Option<Number>)]
    pub(crate) ms: Option<f64>,
    /// Bytes, where that is what it works on.
    pub(crate) bytes: Option<Transfer>,
}

/// How far a transfer has come.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
pub(crate) struct Transfer {
    #[specta(type = Number)]
    pub(crate) done: u64,
    #[specta(type = Number)]
    pub(crate) total: u64,
    /// Over the last seconds.
    #[specta(type = Option<Number>)]
    pub(crate) bytes_per_second: Option<u64>,
    #[specta(type = Option<Number>)]
    pub(crate) seconds_left: Option<u64>,
}

/// A thing to read.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
pub(crate) struct Notice {
    /// Whether the user should act on it.
    pub(crate) warning: bool,
    pub(crate) text: String,
}

/// How an activity stands.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Outcome {
    Running,
    /// It is being cancelled: what it leaves is cleaned up.
    Cancelling,
    Finished,
    Cancelled,
    Failed {
        failure: Failure,
    },
}
