//! Progress is a parameter: fetching reports, whoever called it draws.

use std::time::Duration;

use serde::Serialize;

/// A stretch of work that takes long enough to be worth a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Asking which file is meant.
    Resolve,
    /// Waiting for another process that fetches the same.
    Wait,
    /// Reading what an earlier try left, for its digest.
    Reread,
    /// Bytes arrive.
    Download,
    /// Unpacking a workflow's artifact.
    Extract,
    /// Copying a local file.
    Copy,
}

impl Phase {
    /// What is going on, for people.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Resolve => "Looking up",
            Self::Wait => "Waiting for another download of",
            Self::Reread => "Checking what is there of",
            Self::Download => "Downloading",
            Self::Extract => "Unpacking",
            Self::Copy => "Copying",
        }
    }

    /// The name used in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Wait => "wait",
            Self::Reread => "reread",
            Self::Download => "download",
            Self::Extract => "extract",
            Self::Copy => "copy",
        }
    }
}

/// What the caller is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A phase begins.
    Begin {
        /// The phase.
        phase: Phase,
        /// A file's or a release's name.
        object: &'a str,
    },
    /// A phase has come this far.
    Bytes {
        /// The phase.
        phase: Phase,
        /// Bytes done, those of earlier tries included. It can fall: a file
        /// that turns out to be another one now begins again.
        done: u64,
        /// Bytes in all, where that is known.
        total: Option<u64>,
        /// Bytes that were there at the beginning; `done - resumed_from` over
        /// time is the rate.
        resumed_from: u64,
    },
    /// A request failed and is made again.
    Retry {
        /// What went wrong.
        reason: &'a str,
        /// 1 for the first repetition.
        attempt: u32,
        /// How long from now.
        wait: Duration,
    },
    /// Something that the user should read, and that is no failure.
    Notice(&'a str),
    /// A phase has ended, well or not.
    End {
        /// The phase.
        phase: Phase,
    },
}

/// Where an operation reports to.
pub trait Progress: Send + Sync {
    /// Takes one event; must not block.
    fn report(&self, event: Event<'_>);
}

/// Reports to nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn report(&self, _: Event<'_>) {}
}

/// Reports the end of its phase when it goes, which includes that the future
/// it lives in is dropped.
pub(crate) struct Running<'a> {
    progress: &'a dyn Progress,
    phase: Phase,
}

impl<'a> Running<'a> {
    pub(crate) fn begin(progress: &'a dyn Progress, phase: Phase, object: &str) -> Self {
        progress.report(Event::Begin { phase, object });
        Self { progress, phase }
    }

    pub(crate) fn bytes(&self, done: u64, total: Option<u64>, resumed_from: u64) {
        self.progress.report(Event::Bytes {
            phase: self.phase,
            done,
            total,
            resumed_from,
        });
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.progress.report(Event::End { phase: self.phase });
    }
}
