//! Progress is a parameter: an operation reports to a [`Reporter`], a shell draws.
//!
//! Phases can lie within one another, as the download of a file does within a
//! pull; each is told when it begins and when it ends, also when the operation
//! is dropped in its middle.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod deadline;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

pub use deadline::Deadline;

/// A stretch of work that takes long enough to be worth a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Waiting for another command: for an instance, or for a download of the same image.
    Lock,
    /// Looking at settings, image, snapshot and ports; making the overlay.
    Prepare,
    /// From starting the QEMU process to its first answer.
    Qemu,
    /// Loading the saved state.
    Load,
    /// From letting the guest run to the guest agent's first answer.
    Agent,
    /// Setting the guest's clock.
    Clock,
    /// Replacing the secrets inside the guest.
    Rotate,
    /// From power-on to the guest agent's first answer.
    Boot,
    /// Until every service is healthy and the new keys are proved.
    Ready,
    /// Attaching the shared folders to the guest, or taking them back.
    Folders,
    /// Until the guest is warm and quiet.
    Settle,
    /// Making the guest write its caches to its disk.
    Sync,
    /// Freeing the ports and having the guest stand still.
    Pause,
    /// Writing memory and devices.
    Save,
    /// Writing the manifest.
    Commit,
    /// Ending the QEMU process.
    Quit,
    /// Reading saved state in full, for its digest.
    Verify,
    /// Compressing or decompressing.
    Archive,
    /// Asking which image there is to get.
    Resolve,
    /// Reading again what an interrupted download has left.
    Reread,
    /// Receiving an image.
    Download,
    /// Taking an image out of an artifact.
    Extract,
    /// Copying an image from this machine.
    Copy,
}

impl Phase {
    /// What is going on, for people.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Lock => "Waiting for another command",
            Self::Prepare => "Preparing",
            Self::Qemu => "Starting QEMU",
            Self::Load => "Loading the saved state",
            Self::Agent => "Waking the virtual machine",
            Self::Clock => "Setting the clock",
            Self::Rotate => "Rotating the secrets",
            Self::Boot => "Booting the virtual machine",
            Self::Ready => "Waiting for the services",
            Self::Folders => "Updating the shared folders",
            Self::Settle => "Waiting until the virtual machine is idle",
            Self::Sync => "Syncing the disk",
            Self::Pause => "Pausing the virtual machine",
            Self::Save => "Saving memory and devices",
            Self::Commit => "Committing",
            Self::Quit => "Stopping QEMU",
            Self::Verify => "Verifying",
            Self::Archive => "Archiving",
            Self::Resolve => "Looking for the image",
            Self::Reread => "Checking the interrupted download",
            Self::Download => "Downloading",
            Self::Extract => "Extracting",
            Self::Copy => "Copying",
        }
    }

    /// The name used in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::Prepare => "prepare",
            Self::Qemu => "qemu",
            Self::Load => "load",
            Self::Agent => "agent",
            Self::Clock => "clock",
            Self::Rotate => "rotate",
            Self::Boot => "boot",
            Self::Ready => "ready",
            Self::Folders => "folders",
            Self::Settle => "settle",
            Self::Sync => "sync",
            Self::Pause => "pause",
            Self::Save => "save",
            Self::Commit => "commit",
            Self::Quit => "quit",
            Self::Verify => "verify",
            Self::Archive => "archive",
            Self::Resolve => "resolve",
            Self::Reread => "reread",
            Self::Download => "download",
            Self::Extract => "extract",
            Self::Copy => "copy",
        }
    }
}

/// What a shell is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A phase begins.
    Begin(Phase),
    /// A phase has come this far; bytes, of a total that may grow. What the
    /// first of these has done already was done before the phase began.
    Bytes {
        /// The phase.
        phase: Phase,
        /// Bytes done.
        done: u64,
        /// Bytes in all, as far as known; 0 if that is not known at all.
        total: u64,
    },
    /// A phase has ended, well or not.
    End(Phase, Duration),
    /// Phases from here on share a deadline, or have none any more.
    Limit(Option<Deadline>),
    /// Something that the user should read, and that is no failure.
    Notice(&'a str),
    /// Something that the user should act on.
    Warning(&'a str),
}

/// Where an operation reports to.
pub trait Reporter: Send + Sync {
    /// Takes one event; must not block.
    fn report(&self, event: Event<'_>);
}

/// Reports to nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Reporter for Silent {
    fn report(&self, _: Event<'_>) {}
}

/// One phase and how long it took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
pub struct PhaseTime {
    /// The phase's name.
    pub name: String,
    /// Milliseconds.
    #[cfg_attr(feature = "specta", specta(type = specta_typescript::Number))]
    pub ms: f64,
}

/// A phase that has begun. Its end is reported when this is dropped, which
/// includes that the future it lives in is dropped.
#[must_use = "the phase ends when this is dropped"]
pub struct Running<'a> {
    reporter: &'a dyn Reporter,
    phase: Phase,
    begun: Instant,
}

impl<'a> Running<'a> {
    /// Reports that `phase` begins.
    pub fn begin(reporter: &'a dyn Reporter, phase: Phase) -> Self {
        reporter.report(Event::Begin(phase));
        Self {
            reporter,
            phase,
            begun: Instant::now(),
        }
    }

    /// Reports how far the phase has come; a `total` of 0 is not known.
    pub fn bytes(&self, done: u64, total: u64) {
        self.reporter.report(Event::Bytes {
            phase: self.phase,
            done,
            total,
        });
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.reporter
            .report(Event::End(self.phase, self.begun.elapsed()));
    }
}

/// Hands on what one operation reports, and keeps the times of its phases.
pub struct Stopwatch<'a> {
    reporter: &'a dyn Reporter,
    begun: Instant,
    deadline: Option<Deadline>,
    times: Mutex<Vec<PhaseTime>>,
}

impl<'a> Stopwatch<'a> {
    /// Begins now.
    pub fn new(reporter: &'a dyn Reporter) -> Self {
        Self {
            reporter,
            begun: Instant::now(),
            deadline: None,
            times: Mutex::default(),
        }
    }

    /// Begins now, and the operation has to be done within `limit`, which is reported.
    pub fn within(reporter: &'a dyn Reporter, limit: Duration) -> Self {
        let deadline = Some(Deadline::within(limit));
        reporter.report(Event::Limit(deadline));
        Self {
            deadline,
            ..Self::new(reporter)
        }
    }

    /// Until when the operation has to be done, if there is a limit.
    pub fn deadline(&self) -> Option<Deadline> {
        self.deadline
    }

    /// Has what follows be done by another deadline.
    pub fn set_deadline(&mut self, deadline: Option<Deadline>) {
        self.deadline = deadline;
    }

    /// What is left of the operation's time; `usual` if it has no limit.
    pub fn left_or(&self, usual: Duration) -> Duration {
        self.deadline.map_or(usual, |deadline| deadline.left())
    }

    /// Where it hands on to: for what is not to be timed as a part of the operation.
    pub fn reporter(&self) -> &'a dyn Reporter {
        self.reporter
    }

    /// Runs `work` as `phase`; one at a time, so that their times can be added up.
    pub async fn phase<T>(&mut self, phase: Phase, work: impl Future<Output = T>) -> T {
        let _running = Running::begin(self, phase);
        work.await
    }

    /// Milliseconds since the beginning.
    pub fn total_ms(&self) -> f64 {
        milliseconds(self.begun.elapsed())
    }

    /// The phases that have ended, in order. One that occurred again has all of its time.
    pub fn times(&self) -> Vec<PhaseTime> {
        self.kept().clone()
    }

    fn kept(&self) -> MutexGuard<'_, Vec<PhaseTime>> {
        // Times are whole at any moment.
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reporter for Stopwatch<'_> {
    fn report(&self, event: Event<'_>) {
        if let Event::End(phase, took) = event {
            let ms = milliseconds(took);
            let mut times = self.kept();
            match times.iter_mut().find(|time| time.name == phase.name()) {
                Some(time) => time.ms += ms,
                None => times.push(PhaseTime {
                    name: phase.name().to_owned(),
                    ms,
                }),
            }
        }
        self.reporter.report(event);
    }
}

/// Milliseconds, to the microsecond.
pub fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Lines(Mutex<Vec<String>>);

    impl Reporter for Lines {
        fn report(&self, event: Event<'_>) {
            let line = match event {
                Event::Begin(phase) => format!("begin {}", phase.name()),
                Event::End(phase, _) => format!("end {}", phase.name()),
                Event::Bytes { done, total, .. } => format!("{done} of {total}"),
                Event::Limit(_) => "limit".to_owned(),
                Event::Notice(text) | Event::Warning(text) => text.to_owned(),
            };
            self.0.lock().unwrap().push(line);
        }
    }

    #[tokio::test]
    async fn what_is_reported_below_is_handed_on_and_timed() {
        let lines = Lines::default();
        let mut watch = Stopwatch::new(&lines);
        {
            let below = Running::begin(&watch, Phase::Download);
            below.bytes(1, 2);
        }
        watch.phase(Phase::Copy, async {}).await;
        drop(Running::begin(&watch, Phase::Download));
        watch.report(Event::Notice("so"));
        let names: Vec<_> = watch.times().into_iter().map(|time| time.name).collect();
        assert_eq!(
            names,
            ["download", "copy"],
            "one that occurs again has one entry"
        );
        let expected = [
            "begin download",
            "1 of 2",
            "end download",
            "begin copy",
            "end copy",
            "begin download",
            "end download",
            "so",
        ];
        assert_eq!(*lines.0.lock().unwrap(), expected);
    }

    #[tokio::test]
    async fn a_phase_that_is_dropped_in_its_middle_ends() {
        let lines = Lines::default();
        let mut watch = Stopwatch::new(&lines);
        let work = watch.phase(Phase::Boot, std::future::pending::<()>());
        let first = tokio::time::timeout(Duration::ZERO, work).await;
        assert!(first.is_err());
        assert_eq!(*lines.0.lock().unwrap(), ["begin boot", "end boot"]);
    }
}
