//! Ending a machine: ask the guest, then QEMU, then the kernel, each with a time limit.

use std::time::{Duration, Instant};

use crate::monitor::Monitor;
use crate::process::{IdentityError, ProcessIdentity};
use crate::qmp::QmpError;

/// How long each step may take; `None` leaves a step out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopLimits {
    /// For the guest to shut down once its power button is pressed.
    pub powerdown: Option<Duration>,
    /// For QEMU to flush its images and exit once told to.
    pub quit: Option<Duration>,
    /// For the kernel to end a killed process. Killing is never left out.
    pub kill: Duration,
}

impl StopLimits {
    /// A guest that should save what it has in mind.
    pub const GRACEFUL: Self = Self {
        powerdown: Some(Duration::from_secs(30)),
        quit: Some(Duration::from_secs(10)),
        kill: Duration::from_secs(10),
    };

    /// A machine whose state is saved, or not wanted.
    pub const QUICK: Self = Self {
        powerdown: None,
        quit: Some(Duration::from_secs(5)),
        kill: Duration::from_secs(10),
    };
}

/// Which step ended the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It was not running.
    AlreadyGone,
    /// The guest shut down.
    PoweredDown,
    /// QEMU was told to quit; its images are flushed.
    Quit,
    /// QEMU was killed. Its images are as after a power cut.
    Killed,
}

/// How a machine ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopReport {
    /// The step that did it.
    pub ending: Ending,
    /// How long it took in all.
    pub took: Duration,
}

/// The machine could not be stopped, or it cannot be told whether it was.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// The process.
    #[error("cannot stop the machine")]
    Process(#[from] IdentityError),
}

/// Ends the machine and waits until its process is gone.
///
/// Without a monitor (nobody could connect) it goes straight to killing. A monitor that fails on
/// the way is logged and the next step taken; only the process's end counts.
///
/// # Errors
///
/// [`StopError::Process`] if the process cannot be killed or outlives it.
pub async fn stop(
    monitor: Option<&Monitor>,
    identity: &ProcessIdentity,
    limits: &StopLimits,
) -> Result<StopReport, StopError> {
    let started = Instant::now();
    let report = |ending| StopReport {
        ending,
        took: started.elapsed(),
    };
    if !identity.is_alive()? {
        // One that is exiting still has its ports and the locks of its disks.
        identity.wait_gone(limits.kill).await?;
        return Ok(report(Ending::AlreadyGone));
    }
    if let (Some(monitor), Some(limit)) = (monitor, limits.powerdown)
        && told(monitor.powerdown(limit).await, "system_powerdown")
        && gone(identity, left(limit, started)).await?
    {
        return Ok(report(Ending::PoweredDown));
    }
    if let (Some(monitor), Some(limit)) = (monitor, limits.quit) {
        let asked = Instant::now();
        if told(monitor.quit(limit).await, "quit") && gone(identity, left(limit, asked)).await? {
            return Ok(report(Ending::Quit));
        }
    }
    identity.kill(limits.kill).await?;
    Ok(report(Ending::Killed))
}

fn told(answer: Result<(), QmpError>, command: &'static str) -> bool {
    match answer {
        Ok(()) => true,
        // QEMU may be on its way out already: then waiting for it is right.
        Err(error) if error.is_disconnect() => true,
        Err(error) => {
            tracing::warn!(%error, command, "QEMU does not obey; going further");
            false
        }
    }
}

fn left(limit: Duration, since: Instant) -> Duration {
    limit.saturating_sub(since.elapsed())
}

async fn gone(identity: &ProcessIdentity, limit: Duration) -> Result<bool, StopError> {
    match identity.wait_gone(limit).await {
        Ok(()) => Ok(true),
        Err(IdentityError::StillThere { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
