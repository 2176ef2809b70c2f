//! Saving a machine's state to files and loading it again, or copying it into another machine, by
//! QEMU's migration.
//!
//! Three ways:
//!
//! - *ignore-shared*: the guest's RAM is a file of ours already, so only device state (under 1 MiB)
//!   is written or read. For capture (RAM file mapped shared) and resume (mapped privately).
//! - *mapped-ram*: RAM goes to its place in a file, by several threads. For a session whose RAM is
//!   mapped privately or not backed by a file.
//! - *stream*: RAM and device state go through a socket to another QEMU that waits for them. For a
//!   copy of a machine that itself goes on: where the other one's RAM is a file mapped shared, the
//!   copy can then be saved by ignore-shared.
//!
//! Stop the vCPUs before saving ([`Monitor::stop`]), let them run after loading
//! ([`Monitor::cont`]). After saving, QEMU has let go of its disks: either `cont` takes them back,
//! or `quit` ends the process, and in both cases the images are flushed.
//!
//! Progress and outcome come from `MIGRATION` events and from `query-migrate`, never from text.
//! Every call sets all of the capabilities it depends on, and takes them back in the end.

mod copy;
mod error;
mod wire;

pub use copy::{Copied, copy_machine};
pub use error::{MigrationError, Operation};

use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use qapi_qmp::{
    FileMigrationArgs, MigrationAddress, MigrationCapability, MigrationCapabilityStatus,
    MigrationChannel, MigrationChannelType, SocketAddress, UnixSocketAddress,
};
use qapi_spec::Command;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};

use self::wire::{Phase, QueryMigrate, QueryYank, SetParameters};
use crate::monitor::Monitor;
use crate::qmp::{EventStream, QmpError};
use crate::version::Version;

/// How long QEMU may take to answer a single command of a migration.
const COMMAND_LIMIT: Duration = Duration::from_secs(10);
/// How often progress is reported. Nothing is decided by it.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);
/// Between two looks at a migration that is over but not put away; that takes under a millisecond.
const CLEAN_UP_PAUSE: Duration = Duration::from_micros(500);
/// No limit, in bytes per second. QEMU's default of 128 MiB/s is meant for networks.
const BANDWIDTH: u64 = 1 << 40;
/// The first QEMU that can report a failed load instead of exiting.
const REPORTS_LOAD_ERRORS: Version = Version::new(9, 1, 0);

/// What is about to be or was moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Guest memory dealt with, in bytes.
    pub done_bytes: u64,
    /// Guest memory in all, in bytes.
    pub total_bytes: u64,
}

/// What a finished migration says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// How long it took, by our clock.
    pub took: Duration,
    /// What was written, in bytes; 0 after loading, where QEMU does not count.
    pub transferred_bytes: u64,
}

/// Saves device state only; RAM must be a file mapped shared, and is complete when this returns.
///
/// # Errors
///
/// See [`MigrationError`]. The machine stays as it was, stopped; `cont` lets it run again.
pub async fn capture_ignore_shared(
    monitor: &Monitor,
    device_state: &Path,
    limit: Duration,
    progress: impl FnMut(Progress),
) -> Result<Summary, MigrationError> {
    let way = Way::IgnoreShared;
    Migration::new(monitor, Operation::Save, device_state, limit)?
        .save(way, progress)
        .await
}

/// Loads device state saved by [`capture_ignore_shared`]; RAM must be that capture's file.
///
/// `version` is that of the QEMU this is asked of.
///
/// # Errors
///
/// See [`MigrationError`]. The machine cannot be used after one.
pub async fn incoming_ignore_shared(
    monitor: &Monitor,
    version: Version,
    device_state: &Path,
    limit: Duration,
) -> Result<Summary, MigrationError> {
    let way = Way::IgnoreShared;
    Migration::new(monitor, Operation::Load, device_state, limit)?
        .load(way, version)
        .await
}

/// Saves RAM and device state to one file, by `channels` threads.
///
/// # Errors
///
/// See [`MigrationError`]. The machine stays as it was, stopped; `cont` lets it run again.
pub async fn save_mapped_ram(
    monitor: &Monitor,
    file: &Path,
    channels: u8,
    limit: Duration,
    progress: impl FnMut(Progress),
) -> Result<Summary, MigrationError> {
    let way = Way::MappedRam { channels };
    Migration::new(monitor, Operation::Save, file, limit)?
        .save(way, progress)
        .await
}

/// Loads what [`save_mapped_ram`] saved, by `channels` threads.
///
/// `version` is that of the QEMU this is asked of.
///
/// # Errors
///
/// See [`MigrationError`]. The machine cannot be used after one.
pub async fn load_mapped_ram(
    monitor: &Monitor,
    version: Version,
    file: &Path,
    channels: u8,
    limit: Duration,
) -> Result<Summary, MigrationError> {
    let way = Way::MappedRam { channels };
    Migration::new(monitor, Operation::Load, file, limit)?
        .load(way, version)
        .await
}

/// Cancels a save that is under way, and waits until it has ended one way or the other.
///
/// Harmless if nothing is under way. The last resort, for a save that goes nowhere: QEMU 10.0.2
/// has been seen to crash when a mapped-ram save that was making progress was cancelled. See
/// [`wait_ended`].
///
/// # Errors
///
/// Those of the monitor; [`QmpError::NoEvent`] if it does not end within `limit`.
pub async fn cancel(monitor: &Monitor, limit: Duration) -> Result<(), QmpError> {
    monitor.execute(qapi_qmp::migrate_cancel {}, limit).await?;
    wait_ended(monitor, limit).await
}

/// Waits until a save that is under way has ended, well or not.
///
/// For after a dropped future or a killed program, neither of which stops QEMU. Returns at once if
/// nothing is under way.
///
/// # Errors
///
/// Those of the monitor; [`QmpError::NoEvent`] if it does not end within `limit`.
pub async fn wait_ended(monitor: &Monitor, limit: Duration) -> Result<(), QmpError> {
    let deadline = Instant::now() + limit;
    let mut events = monitor.subscribe();
    loop {
        if monitor.execute(QueryMigrate {}, limit).await?.phase() != Phase::UnderWay
            && put_away(monitor).await?
        {
            return Ok(());
        }
        let Ok(event) = timeout_at(deadline, next_migration_event(&mut events)).await else {
            let event = "MIGRATION";
            return Err(QmpError::NoEvent { event, limit });
        };
        event?;
    }
}

/// Waits until QEMU has put away what a migration used, which is a moment after it reports the
/// end, and which no event marks. Until then `cont` is refused, and taking `multifd` back makes
/// QEMU forget to end its threads and abort at the next save. False if it takes too long.
async fn put_away(monitor: &Monitor) -> Result<bool, QmpError> {
    let deadline = Instant::now() + COMMAND_LIMIT;
    loop {
        let busy = monitor.execute(QueryYank {}, COMMAND_LIMIT).await?;
        if !busy.iter().any(|instance| instance.kind == "migration") {
            return Ok(true);
        }
        if Instant::now() > deadline {
            return Ok(false);
        }
        sleep(CLEAN_UP_PAUSE).await;
    }
}

/// How RAM travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    IgnoreShared,
    MappedRam { channels: u8 },
    Stream { channels: u8 },
}

impl Way {
    fn capabilities(self) -> [(MigrationCapability, bool); 4] {
        let mapped = matches!(self, Self::MappedRam { .. });
        let shared = matches!(self, Self::IgnoreShared);
        [
            (MigrationCapability::events, true),
            (MigrationCapability::x_ignore_shared, shared),
            (MigrationCapability::mapped_ram, mapped),
            (MigrationCapability::multifd, !shared),
        ]
    }
}

/// One save or load, or one end of a copy.
struct Migration<'a> {
    monitor: &'a Monitor,
    operation: Operation,
    file: &'a Path,
    name: &'a str,
    limit: Duration,
    started: Instant,
}

impl<'a> Migration<'a> {
    fn new(
        monitor: &'a Monitor,
        operation: Operation,
        file: &'a Path,
        limit: Duration,
    ) -> Result<Self, MigrationError> {
        let name = file.to_str().ok_or_else(|| MigrationError::PathNotUtf8 {
            file: file.to_owned(),
        })?;
        Ok(Self {
            monitor,
            operation,
            file,
            name,
            limit,
            started: Instant::now(),
        })
    }

    async fn save(
        &self,
        way: Way,
        progress: impl FnMut(Progress),
    ) -> Result<Summary, MigrationError> {
        // Made by us, so that nobody else may read the guest's memory: QEMU would leave that to
        // the umask.
        std::fs::File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(self.file)
            .map_err(|source| self.file_error(source))?;
        let command = qapi_qmp::migrate {
            channels: Some(self.channels()),
            detach: None,
            resume: None,
            uri: None,
        };
        self.run(way, command, || {}, progress).await
    }

    async fn send(
        &self,
        way: Way,
        progress: impl FnMut(Progress),
    ) -> Result<Summary, MigrationError> {
        let command = qapi_qmp::migrate {
            channels: Some(self.channels()),
            detach: None,
            resume: None,
            uri: None,
        };
        self.run(way, command, || {}, progress).await
    }

    /// Says by `listening` when there is somebody to send to.
    async fn receive(
        &self,
        way: Way,
        version: Version,
        listening: oneshot::Sender<()>,
    ) -> Result<Summary, MigrationError> {
        let command = qapi_qmp::migrate_incoming {
            channels: Some(self.channels()),
            exit_on_error: (version >= REPORTS_LOAD_ERRORS).then_some(false),
            uri: None,
        };
        let begun = || {
            if listening.send(()).is_err() {
                tracing::debug!("the sender of a copied machine is gone");
            }
        };
        self.run(way, command, begun, |_| {}).await
    }

    async fn load(&self, way: Way, version: Version) -> Result<Summary, MigrationError> {
        // Some versions end when they cannot open it, so find out here.
        std::fs::File::open(self.file).map_err(|source| self.file_error(source))?;
        let command = qapi_qmp::migrate_incoming {
            channels: Some(self.channels()),
            exit_on_error: (version >= REPORTS_LOAD_ERRORS).then_some(false),
            uri: None,
        };
        self.run(way, command, || {}, |_| {}).await
    }

    /// `begun` is called once QEMU has taken the command.
    async fn run<C: Command>(
        &self,
        way: Way,
        command: C,
        begun: impl FnOnce(),
        progress: impl FnMut(Progress),
    ) -> Result<Summary, MigrationError> {
        // One whose future was dropped may still be on its way out.
        self.put_away().await?;
        // Before the command: its events must not be missed.
        let mut events = self.monitor.subscribe();
        self.set_capabilities(&way.capabilities()).await?;
        let outcome = self
            .carry_out(way, command, &mut events, begun, progress)
            .await;
        // A load that failed is not worth waiting for: that QEMU is of no further use.
        if self.operation.is_incoming() && outcome.is_err() {
            return outcome;
        }
        if let Err(error) = self.put_away().await {
            return outcome.and(Err(error));
        }
        let off = way
            .capabilities()
            .map(|(capability, _)| (capability, false));
        if let Err(error) = self.set_capabilities(&off).await {
            // Harmless: the next migration sets all of them. After a failure QEMU may be gone.
            tracing::debug!(%error, "capabilities stay set");
        }
        outcome
    }

    async fn put_away(&self) -> Result<(), MigrationError> {
        match put_away(self.monitor).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(MigrationError::NotCleanedUp {
                operation: self.operation,
                file: self.file.to_owned(),
                limit: COMMAND_LIMIT,
            }),
            Err(source) => Err(self.qmp_error(source)),
        }
    }

    async fn carry_out<C: Command>(
        &self,
        way: Way,
        command: C,
        events: &mut EventStream,
        begun: impl FnOnce(),
        progress: impl FnMut(Progress),
    ) -> Result<Summary, MigrationError> {
        self.execute(SetParameters {
            max_bandwidth: BANDWIDTH,
            multifd_channels: match way {
                Way::IgnoreShared => None,
                Way::MappedRam { channels } | Way::Stream { channels } => Some(channels),
            },
        })
        .await?;
        self.execute(command).await.map_err(|error| match error {
            // It never began, for a reason that is QEMU's to give.
            MigrationError::Qmp {
                source: QmpError::Refused { desc, .. },
                ..
            } => self.failed(Some(desc)),
            error => error,
        })?;
        begun();

        let deadline = self.started + self.limit;
        if let Ok(outcome) = timeout_at(deadline, self.outcome(events, progress)).await {
            return outcome;
        }
        // Loading cannot be cancelled; the caller ends that QEMU.
        if !self.operation.is_incoming() {
            cancel(self.monitor, COMMAND_LIMIT)
                .await
                .map_err(|source| self.qmp_error(source))?;
        }
        Err(MigrationError::Timeout {
            operation: self.operation,
            file: self.file.to_owned(),
            limit: self.limit,
        })
    }

    /// Waits for events, but believes `query-migrate`: an event may be left over from an earlier
    /// migration, or be lost.
    async fn outcome(
        &self,
        events: &mut EventStream,
        mut progress: impl FnMut(Progress),
    ) -> Result<Summary, MigrationError> {
        loop {
            // While RAM is loaded QEMU's main loop may be busy for as long as that takes.
            let info = self.monitor.execute(QueryMigrate {}, self.limit).await;
            let info = info.map_err(|source| self.qmp_error(source))?;
            let ram = info.ram.as_ref();
            if let Some(ram) = ram {
                progress(Progress {
                    done_bytes: ram.total.saturating_sub(ram.remaining),
                    total_bytes: ram.total,
                });
            }
            match info.phase() {
                Phase::Completed => {
                    return Ok(Summary {
                        took: self.started.elapsed(),
                        transferred_bytes: ram.map_or(0, |ram| ram.transferred),
                    });
                }
                Phase::Failed => return Err(self.failed(info.error_desc)),
                Phase::Cancelled => {
                    return Err(MigrationError::Cancelled {
                        operation: self.operation,
                        file: self.file.to_owned(),
                    });
                }
                Phase::UnderWay | Phase::Idle => {}
            }
            let tick = Instant::now() + PROGRESS_EVERY;
            if let Ok(event) = timeout_at(tick, next_migration_event(events)).await {
                event.map_err(|source| self.qmp_error(source))?;
            }
        }
    }

    async fn set_capabilities(
        &self,
        capabilities: &[(MigrationCapability, bool)],
    ) -> Result<(), MigrationError> {
        let capabilities = capabilities
            .iter()
            .map(|&(capability, state)| MigrationCapabilityStatus { capability, state })
            .collect();
        self.execute(qapi_qmp::migrate_set_capabilities { capabilities })
            .await
            .map(drop)
    }

    async fn execute<C: Command>(&self, command: C) -> Result<C::Ok, MigrationError> {
        self.monitor
            .execute(command, COMMAND_LIMIT)
            .await
            .map_err(|source| self.qmp_error(source))
    }

    /// The file or socket as structured arguments: a URI would give commas in a path a meaning.
    fn channels(&self) -> Vec<MigrationChannel> {
        let addr = match self.operation {
            Operation::Save | Operation::Load => MigrationAddress::file(FileMigrationArgs {
                filename: self.name.to_owned(),
                offset: 0,
            }),
            Operation::Send | Operation::Receive => {
                MigrationAddress::socket(SocketAddress::unix(UnixSocketAddress {
                    path: self.name.to_owned(),
                    abstract_: None,
                    tight: None,
                }))
            }
        };
        vec![MigrationChannel {
            channel_type: MigrationChannelType::main,
            addr,
        }]
    }

    fn failed(&self, reason: Option<String>) -> MigrationError {
        MigrationError::Failed {
            operation: self.operation,
            file: self.file.to_owned(),
            reason: reason.unwrap_or_else(|| "QEMU gives no reason".to_owned()),
        }
    }

    fn file_error(&self, source: io::Error) -> MigrationError {
        MigrationError::File {
            operation: self.operation,
            file: self.file.to_owned(),
            source,
        }
    }

    fn qmp_error(&self, source: QmpError) -> MigrationError {
        let operation = self.operation;
        let file = self.file.to_owned();
        if source.is_disconnect() {
            MigrationError::QemuGone {
                operation,
                file,
                source,
            }
        } else {
            MigrationError::Qmp {
                operation,
                file,
                source,
            }
        }
    }
}

async fn next_migration_event(events: &mut EventStream) -> Result<(), QmpError> {
    loop {
        match events.next().await {
            Ok(event) if event.name == "MIGRATION" => return Ok(()),
            Ok(_) => {}
            // The state is asked for after each event, so a lost one only has to wake us.
            Err(QmpError::EventsLost { .. }) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
