//! `stop` and `reset`: end the machine, keeping the session or not.
//!
//! Keeping it is *save* (the guest's disk synced, its memory written beside that disk), *end* (QEMU
//! gone), *commit* (the record that the memory can be loaded). A machine whose memory cannot be
//! saved is shut down instead, and its disk alone is kept.

use std::time::Duration;

use host::{FileStamp, IdentityError, now_ms};
use qemu::stop::StopLimits;
use qemu::{Monitor, ProcessIdentity, Sockets};
use record::Durability;
use serde::Serialize;

use super::recover::drop_session;
use super::{Emulator, LockedInstance};
use crate::config::paths::{SessionPaths, SlotName};
use crate::instance::error::InstanceError as Error;
use crate::machine::error::MachineError;
use crate::machine::guest::{self, Guest};
use crate::machine::run_record::{Purpose, RunRecord, RunningVm};
use crate::machine::slot::{kill, live_processes};
use crate::machine::{CHANNELS, MIGRATION_LIMIT, MONITOR_LIMIT, folders};
use crate::state::prepared;
use crate::state::session::{self, SavedRecord};
use crate::state::snapshot::{KnownDamage, Sealed};
use failure::chain;
use progress::{Event, Phase, PhaseTime, Reporter, Stopwatch};

/// How long the agent may take to be reached at a stop: it runs already.
const AGENT_LIMIT: Duration = Duration::from_secs(10);
/// How long a guest may take to write its caches to its disk.
const SYNC_LIMIT: Duration = Duration::from_secs(60);
/// How long a guest may take to power down, where its memory cannot be saved.
const POWERDOWN_LIMIT: Duration = Duration::from_secs(60);
/// How a QEMU is ended whose guest stands still.
pub(crate) const QUIT: StopLimits = StopLimits {
    powerdown: None,
    quit: Some(Duration::from_secs(20)),
    kill: Duration::from_secs(20),
};

/// What became of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionFate {
    /// Memory and disk are kept; the next start continues.
    Saved,
    /// The disk alone is kept; the next start boots it.
    DiskKept,
    /// Nothing is kept; the next start is a clean one.
    Discarded,
}

/// What a stop reports.
#[derive(Clone, Debug, Serialize)]
pub struct StopReport {
    /// Always `stopped`.
    pub state: &'static str,
    /// True if nothing ran.
    pub already_stopped: bool,
    /// What became of the session; `null` if there was none.
    pub session: Option<SessionFate>,
    /// Why its memory could not be kept; `null` if it could.
    pub reason: Option<String>,
    /// Milliseconds.
    pub total_ms: f64,
    /// The phases, in order.
    pub phases: Vec<PhaseTime>,
}

impl StopReport {
    fn new(watch: &Stopwatch<'_>, session: Option<SessionFate>, reason: Option<String>) -> Self {
        Self {
            state: "stopped",
            already_stopped: false,
            session,
            reason,
            total_ms: watch.total_ms(),
            phases: watch.times(),
        }
    }
}

impl Emulator {
    /// Ends the machine, keeping the session for the next start.
    pub async fn stop(&self, reporter: &dyn Reporter) -> Result<StopReport, Error> {
        let held = self.hold("stop", reporter).await?;
        let mut watch = Stopwatch::new(reporter);
        match &held.running {
            Some((record, vm)) => {
                let target = held.slot.paths.session();
                held.put_away(record, vm, &target, &mut watch).await
            }
            None => Ok(StopReport {
                already_stopped: true,
                ..StopReport::new(&watch, None, None)
            }),
        }
    }

    /// Ends the machine and discards its session, or discards the saved one: the next start is from
    /// the clean snapshot. `command` is what others see this instance busy with.
    pub async fn discard(
        &self,
        command: &str,
        reporter: &dyn Reporter,
    ) -> Result<StopReport, Error> {
        let held = self.hold(command, reporter).await?;
        let mut watch = Stopwatch::new(reporter);
        let slot = &held.slot;
        let had_session = slot.paths.session().root().exists();
        if let Some((record, _)) = &held.running {
            let alive = live_processes(&slot.paths, record)?;
            // Nothing of it is wanted, so there is nothing to be gentle about.
            watch.phase(Phase::Quit, kill(&alive)).await?;
        }
        let drop = async {
            let ahead = self.paths.slot(SlotName::Ahead);
            prepared::remove_used(&ahead).map_err(Error::file("remove", &ahead.used()))?;
            self.drop_prepared(reporter).await?;
            drop_session(&slot.paths)?;
            slot.forget()?;
            self.remove_secrets(&slot.runtime_folder, reporter).await?;
            self.tidy_snapshots()
        };
        watch.phase(Phase::Commit, drop).await?;
        let session = had_session.then_some(SessionFate::Discarded);
        Ok(StopReport {
            already_stopped: held.running.is_none(),
            ..StopReport::new(&watch, session, None)
        })
    }
}

impl LockedInstance<'_> {
    /// Saves the machine into `target`, which holds the disk that it runs on, and ends it.
    async fn put_away(
        &self,
        record: &RunRecord,
        vm: &RunningVm,
        target: &SessionPaths,
        watch: &mut Stopwatch<'_>,
    ) -> Result<StopReport, Error> {
        let Some(process) = record.process.clone() else {
            return Err(MachineError::QemuDied {
                log: self.slot.paths.qemu_log(),
            }
            .into());
        };
        let sockets = Sockets::in_dir(&record.runtime_folder)?;
        let (monitor, _) = Monitor::connect(&sockets, MONITOR_LIMIT)
            .await
            .map_err(|source| MachineError::Monitor {
                action: "answer",
                source,
            })?;
        // Kept until QEMU has ended: who waits in the guest is saved in the
        // middle of a conversation, and is at once there when continued.
        let guest = self.sync(vm, &monitor, &sockets, watch).await;
        self.slot.write(&RunRecord {
            purpose: Purpose::Saving(Box::new(vm.clone())),
            ..record.clone()
        })?;
        let saved = self.save(&monitor, target, watch).await;
        let reason = match saved {
            Ok(()) => {
                let quit = qemu::stop::stop(Some(&monitor), &process, &QUIT);
                watch.phase(Phase::Quit, quit).await?;
                let commit = async { commit(target, vm) };
                let committed = watch.phase(Phase::Commit, commit).await;
                committed.err().map(|error| chain(&error))
            }
            Err(error) => {
                let reason = chain(&error);
                let text = format!(
                    "The session's memory could not be saved: {reason}. Shutting the guest down instead."
                );
                watch.reporter().report(Event::Warning(&text));
                // On a disk that is full the guest needs that room to go down.
                if let Err(error) = session::drop_memory(target) {
                    tracing::debug!(error = %chain(&error), "half a save is left");
                }
                shut_down(&monitor, &process, watch).await?;
                Some(reason)
            }
        };
        drop(guest);
        let fate = if reason.is_none() {
            SessionFate::Saved
        } else {
            session::consume(target)?;
            session::drop_memory(target)?;
            SessionFate::DiskKept
        };
        self.slot.forget()?;
        Ok(StopReport::new(watch, Some(fate), reason))
    }

    /// Takes the folders of the host back, and has the guest write its caches to its disk: that must
    /// be worth booting by itself, whatever becomes of the memory.
    ///
    /// A guest that cannot be asked is saved all the same: its memory holds what its disk lacks.
    async fn sync(
        &self,
        vm: &RunningVm,
        monitor: &Monitor,
        sockets: &Sockets,
        watch: &mut Stopwatch<'_>,
    ) -> Option<Guest> {
        let reporter = watch.reporter();
        // Mounted, they would keep the memory from being saved, and the save
        // says so; the guest is shut down then.
        let detached = match folders::read(&self.slot.paths) {
            Ok(shared) if shared.is_empty() => Ok(()),
            _ => {
                let detach = folders::detach_all(&self.slot.paths, monitor, sockets);
                watch.phase(Phase::Folders, detach).await
            }
        };
        if let Err(error) = detached {
            let text = format!("A folder could not be taken back: {}.", chain(&error));
            reporter.report(Event::Warning(&text));
        }
        let sync = async {
            let mut guest = guest::reach(sockets, vm.rotation_port, AGENT_LIMIT, reporter).await?;
            guest.sync_disk(SYNC_LIMIT).await?;
            Ok::<_, guest::GuestError>(guest)
        };
        match watch.phase(Phase::Sync, sync).await {
            Ok(guest) => Some(guest),
            Err(error) => {
                let text = format!("The guest's disk could not be synced: {}.", chain(&error));
                watch.reporter().report(Event::Warning(&text));
                None
            }
        }
    }

    /// Writes memory and devices into `target`. The guest stands still from then on.
    async fn save(
        &self,
        monitor: &Monitor,
        target: &SessionPaths,
        watch: &mut Stopwatch<'_>,
    ) -> Result<(), Error> {
        let file = target.ram();
        let reporter = watch.reporter();
        let progress = |progress: qemu::migration::Progress| {
            reporter.report(Event::Bytes {
                phase: Phase::Save,
                done: progress.done_bytes,
                total: progress.total_bytes,
            });
        };
        let save = async {
            private_file(&file).map_err(MachineError::file("create", &file))?;
            monitor
                .stop(MONITOR_LIMIT)
                .await
                .map_err(|source| MachineError::Monitor {
                    action: "stop the guest",
                    source,
                })?;
            qemu::migration::save_mapped_ram(monitor, &file, CHANNELS, MIGRATION_LIMIT, progress)
                .await
                .map_err(|source| {
                    self.slot.or_disk_full(MachineError::Migration {
                        action: "save",
                        source,
                    })
                })
        };
        watch.phase(Phase::Save, save).await?;
        Ok(())
    }
}

/// Writes down, last of all, that the memory in `target` can be loaded.
fn commit(target: &SessionPaths, vm: &RunningVm) -> Result<(), Error> {
    let (ram, disk) = (target.ram(), target.disk());
    let saved = SavedRecord {
        fingerprint: vm.fingerprint.clone(),
        ram: Sealed::of(&ram).map_err(Error::file("read", &ram))?,
        disk: FileStamp::of(&disk).map_err(Error::file("look at", &disk))?,
        boot_id: host::boot_id().map_err(IdentityError::BootId)?,
        saved_at_ms: now_ms(),
    };
    // What was found of an earlier save says nothing of this one.
    KnownDamage::note(&target.known_damage(), None)?;
    Ok(record::write(
        &target.saved(),
        &saved,
        Durability::PowerCut,
    )?)
}

/// Powers the guest down, so that its disk is clean.
async fn shut_down(
    monitor: &Monitor,
    process: &ProcessIdentity,
    watch: &mut Stopwatch<'_>,
) -> Result<(), Error> {
    let reporter = watch.reporter();
    let quiet = async {
        // A guest that stands still cannot power down, and one whose save
        // is still under way cannot go on.
        let goes_on = async {
            let failed = |action| move |source| MachineError::Monitor { action, source };
            qemu::migration::wait_ended(monitor, MONITOR_LIMIT)
                .await
                .map_err(failed("say whether it still saves"))?;
            monitor
                .cont(MONITOR_LIMIT)
                .await
                .map_err(failed("let the guest run"))
        };
        let powerdown = match goes_on.await {
            Ok(()) => Some(POWERDOWN_LIMIT),
            Err(error) => {
                let text = format!("The guest cannot be powered down: {}.", chain(&error));
                reporter.report(Event::Warning(&text));
                None
            }
        };
        let limits = StopLimits { powerdown, ..QUIT };
        qemu::stop::stop(Some(monitor), process, &limits).await
    };
    watch.phase(Phase::Quit, quiet).await?;
    Ok(())
}

/// QEMU would make the file readable by others.
fn private_file(path: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    record::remove_file(path)?;
    std::fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map(drop)
}
