//! Progress is a parameter: the engine reports, a shell draws.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// A stretch of work that takes long enough to be worth a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Waiting for another command on the same instance.
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
    /// Until the guest is warm and quiet.
    Settle,
    /// Making the guest write its caches to its disk.
    Sync,
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
            Self::Settle => "Waiting until the virtual machine is idle",
            Self::Sync => "Syncing the disk",
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
            Self::Settle => "settle",
            Self::Sync => "sync",
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
#[derive(Clone, Debug)]
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
pub struct PhaseTime {
    /// The phase's name.
    pub name: String,
    /// Milliseconds.
    pub ms: f64,
}

/// Times the phases of one operation, one after the other, and reports them.
pub(crate) struct Stopwatch<'a> {
    reporter: &'a dyn Reporter,
    begun: Instant,
    times: Vec<PhaseTime>,
}

impl<'a> Stopwatch<'a> {
    pub(crate) fn new(reporter: &'a dyn Reporter) -> Self {
        Self {
            reporter,
            begun: Instant::now(),
            times: Vec::new(),
        }
    }

    pub(crate) fn reporter(&self) -> &'a dyn Reporter {
        self.reporter
    }

    /// Runs `work` as `phase`. A phase that occurs again adds to its time.
    pub(crate) async fn phase<T>(&mut self, phase: Phase, work: impl Future<Output = T>) -> T {
        let guard = PhaseGuard {
            reporter: self.reporter,
            phase,
            begun: Instant::now(),
        };
        self.reporter.report(Event::Begin(phase));
        let result = work.await;
        let ms = milliseconds(guard.begun.elapsed());
        match self.times.iter_mut().find(|time| time.name == phase.name()) {
            Some(time) => time.ms += ms,
            None => self.times.push(PhaseTime {
                name: phase.name().to_owned(),
                ms,
            }),
        }
        result
    }

    pub(crate) fn total_ms(&self) -> f64 {
        milliseconds(self.begun.elapsed())
    }

    pub(crate) fn times(&self) -> Vec<PhaseTime> {
        self.times.clone()
    }
}

/// Reports the end of a phase also when the operation is dropped in its middle.
struct PhaseGuard<'a> {
    reporter: &'a dyn Reporter,
    phase: Phase,
    begun: Instant,
}

impl Drop for PhaseGuard<'_> {
    fn drop(&mut self) {
        self.reporter
            .report(Event::End(self.phase, self.begun.elapsed()));
    }
}

/// Milliseconds, to the microsecond.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
