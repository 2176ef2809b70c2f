//! Putting a machine away, in steps that need not be taken by one process.
//!
//! ```text
//! sync ─► save ─► end                         a stop that waits for all of it
//! sync ─► set aside │ save ─► (…) ─► end      a stop that answers at once
//!                   └ by the process that works ahead, or by the next command
//! ```
//!
//! *Set aside*, the machine stands still in memory: its disk is synced, its ports are free, and nobody
//! waits for it. Until it is ended a start lets it go on, as if it had not been stopped
//! ([`PutAway::take_back`]); every other command takes the steps that are left ([`PutAway::finish`]).
//!
//! Each step may be cut off by a kill. What tells how far it got are QEMU itself and `saved.json`,
//! which is written once the memory is whole and removed before the guest runs again.

use std::time::Duration;

use host::{FileStamp, IdentityError, now_ms};
use qemu::stop::StopLimits;
use qemu::{Forward, Monitor, ProcessIdentity, Sockets};
use record::Durability;

use crate::config::paths::SessionPaths;
use crate::instance::Emulator;
use crate::instance::error::InstanceError as Error;
use crate::machine::error::MachineError;
use crate::machine::guest::{self, Guest};
use crate::machine::ports::{Taken, owner};
use crate::machine::run_record::{Purpose, RunRecord, RunningVm};
use crate::machine::slot::{Slot, check_disk, live_processes};
use crate::machine::{CHANNELS, MIGRATION_LIMIT, MONITOR_LIMIT, folders};
use crate::state::session::{self, SavedRecord};
use crate::state::snapshot::{KnownDamage, Sealed};
use failure::chain;
use progress::{Event, Phase, Stopwatch};

/// How long the agent may take to be reached at a stop: it runs already.
const AGENT_LIMIT: Duration = Duration::from_secs(10);
/// How long a guest may take to write its caches to its disk.
const SYNC_LIMIT: Duration = Duration::from_secs(60);
/// How long a guest may take to power down, where its memory cannot be saved.
const POWERDOWN_LIMIT: Duration = Duration::from_secs(60);
/// How long a guest may take to be reached where QEMU cannot.
const LAST_WORDS_LIMIT: Duration = Duration::from_secs(3);
/// How long QEMU may take to write to its disks and exit.
const TERMINATE_LIMIT: Duration = Duration::from_secs(30);
/// How a QEMU is ended whose guest stands still.
pub(crate) const QUIT: StopLimits = StopLimits {
    powerdown: None,
    quit: Some(Duration::from_secs(20)),
    kill: Duration::from_secs(20),
};

/// A machine of the user's that is being put away.
pub(super) struct PutAway<'a> {
    emulator: &'a Emulator,
    slot: &'a Slot,
    record: &'a RunRecord,
    vm: &'a RunningVm,
    process: ProcessIdentity,
    sockets: Sockets,
    monitor: Monitor,
}

impl<'a> PutAway<'a> {
    /// Connects to the machine of `record`, which runs or was set aside. One that cannot be reached is
    /// ended, and its disk is kept.
    pub(super) async fn connect(
        emulator: &'a Emulator,
        slot: &'a Slot,
        record: &'a RunRecord,
        vm: &'a RunningVm,
        watch: &mut Stopwatch<'_>,
    ) -> Result<Connected<'a>, Error> {
        let Some(process) = record.process.clone() else {
            let log = slot.paths.qemu_log();
            return Err(MachineError::QemuDied { log }.into());
        };
        match record.connect(&slot.paths, MONITOR_LIMIT).await {
            Ok((sockets, monitor)) => Ok(Connected::Reached(Box::new(Self {
                emulator,
                slot,
                record,
                vm,
                process,
                sockets,
                monitor,
            }))),
            Err(error @ MachineError::Unreachable { .. }) => {
                let ended = end_unreachable(slot, record, vm, &error, watch).await?;
                Ok(Connected::Ended(ended))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Refuses if the session's disk is not the one that the machine runs on.
    pub(super) fn check_disk(&self) -> Result<(), MachineError> {
        check_disk(&self.process, &self.session().disk())
    }

    /// The files of its session.
    pub(super) fn session(&self) -> SessionPaths {
        self.slot.paths.session()
    }

    /// Takes the folders of the host back, and has the guest write its caches to its disk: that must
    /// be worth booting by itself, whatever becomes of the memory.
    ///
    /// A guest that cannot be asked is saved all the same: its memory holds what its disk lacks. One
    /// that finds no room for what it writes is not waited for: it stands still until there is some.
    pub(super) async fn sync(&self, watch: &mut Stopwatch<'_>) -> Synced {
        let mut full = self.disk_fills();
        if let Err(error) = self.go_on_if_there_is_room().await {
            // What it is asked next says so again.
            tracing::debug!(error = %chain(&error), "the guest stands still");
        }
        tokio::select! {
            biased;
            guest = Box::pin(self.sync_guest(watch)) => Synced { _guest: guest, disk_full: false },
            () = full.found() => {
                watch.reporter().report(Event::Warning(&format!(
                    "{}: what the virtual machine has not yet written to its disk is only in its memory.",
                    chain(&self.slot.disk_full())
                )));
                Synced { _guest: None, disk_full: true }
            }
        }
    }

    /// Has a guest go on that found no room for what it wrote: it tries again at once.
    async fn go_on_if_there_is_room(&self) -> Result<(), MachineError> {
        let status = self.monitor.status(MONITOR_LIMIT).await;
        if status.map_err(failed("say how it is"))?.state == "io-error" {
            let goes_on = self.monitor.cont(MONITOR_LIMIT).await;
            goes_on.map_err(failed("let the guest run"))?;
        }
        Ok(())
    }

    /// Tells of writes from now on that find no room.
    fn disk_fills(&self) -> DiskFills {
        DiskFills(self.monitor.subscribe())
    }

    /// Whether the disk has room for what the guest has in memory, as far as can be told.
    pub(super) fn has_room(&self) -> bool {
        let memory = self.process.memory().map(|memory| memory.resident);
        let free = host::disk::free_bytes(self.slot.paths.root()).ok();
        memory.zip(free).is_none_or(|(memory, free)| memory <= free)
    }

    async fn sync_guest(&self, watch: &mut Stopwatch<'_>) -> Option<Guest> {
        let reporter = watch.reporter();
        // Mounted, they would keep the memory from being saved, and the save
        // says so; the guest is shut down then.
        let detached = match folders::read(&self.slot.paths) {
            Ok(shared) if shared.is_empty() => Ok(()),
            _ => {
                let detach = folders::detach_all(&self.slot.paths, &self.monitor, &self.sockets);
                watch.phase(Phase::Folders, detach).await
            }
        };
        if let Err(error) = detached {
            let text = format!("A folder could not be taken back: {}.", chain(&error));
            reporter.report(Event::Warning(&text));
        }
        let sync = async {
            let mut guest =
                guest::reach(&self.sockets, self.vm.rotation_port, AGENT_LIMIT, reporter).await?;
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

    /// Frees its ports and has it stand still, and records that nobody waits for the rest.
    pub(super) async fn set_aside(&self, watch: &mut Stopwatch<'_>) -> Result<(), Error> {
        let aside = async {
            // First, so that a kill leaves no machine that is recorded as running and is not.
            self.note(Purpose::SetAside(Box::new(self.vm.clone())))?;
            for forward in self.forwards() {
                self.monitor
                    .remove_forward(&forward, MONITOR_LIMIT)
                    .await
                    .map_err(failed("free its ports"))?;
            }
            let paused = self.monitor.stop(MONITOR_LIMIT).await;
            Ok::<_, Error>(paused.map_err(failed("stop the guest"))?)
        };
        watch.phase(Phase::Pause, aside).await
    }

    /// Has the session kept by all that is possible: with its memory, or where that cannot be saved,
    /// by its disk alone, and then says why. The machine has ended in that case.
    pub(super) async fn keep(&self, watch: &mut Stopwatch<'_>) -> Result<Option<String>, Error> {
        let Err(error) = self.save(watch).await else {
            return Ok(None);
        };
        if let Error::Machine(MachineError::OtherDisk { .. }) = error {
            return Err(error);
        }
        let reason = chain(&error);
        let text = format!(
            "The session's memory could not be saved: {reason}. Shutting the guest down instead."
        );
        watch.reporter().report(Event::Warning(&text));
        let session = self.session();
        // On a disk that is full the guest needs that room to go down.
        if let Err(error) = session::drop_memory(&session) {
            tracing::debug!(error = %chain(&error), "half a save is left");
        }
        self.shut_down(watch).await?;
        session::consume(&session)?;
        session::drop_memory(&session)?;
        self.slot.forget()?;
        Ok(Some(reason))
    }

    /// Writes memory and devices, and that they can be loaded. The guest stands still from then on.
    async fn save(&self, watch: &mut Stopwatch<'_>) -> Result<(), Error> {
        let session = self.session();
        let file = session.ram();
        let reporter = watch.reporter();
        let progress = |progress: qemu::migration::Progress| {
            reporter.report(Event::Bytes {
                phase: Phase::Save,
                done: progress.done_bytes,
                total: progress.total_bytes,
            });
        };
        let save = async {
            self.check_disk()?;
            private_file(&file).map_err(MachineError::file("create", &file))?;
            self.monitor
                .stop(MONITOR_LIMIT)
                .await
                .map_err(failed("stop the guest"))?;
            qemu::migration::save_mapped_ram(
                &self.monitor,
                &file,
                CHANNELS,
                MIGRATION_LIMIT,
                progress,
            )
            .await
            .map_err(|source| {
                self.slot.or_disk_full(MachineError::Migration {
                    action: "save",
                    source,
                })
            })
        };
        watch.phase(Phase::Save, save).await?;
        let commit = async { self.commit() };
        watch.phase(Phase::Commit, commit).await
    }

    /// Writes down, last of all, that the memory can be loaded.
    fn commit(&self) -> Result<(), Error> {
        let session = self.session();
        let (ram, disk) = (session.ram(), session.disk());
        let saved = SavedRecord {
            fingerprint: self.vm.fingerprint.clone(),
            ram: Sealed::of(&ram).map_err(Error::file("read", &ram))?,
            device_state: None,
            disk: FileStamp::of(&disk).map_err(Error::file("look at", &disk))?,
            boot_id: host::boot_id().map_err(IdentityError::BootId)?,
            saved_at_ms: now_ms(),
        };
        // What was found of an earlier save says nothing of this one.
        KnownDamage::note(&session.known_damage(), None)?;
        Ok(record::write(
            &session.saved(),
            &saved,
            Durability::PowerCut,
        )?)
    }

    /// Ends a machine whose session is kept.
    pub(super) async fn end(&self, watch: &mut Stopwatch<'_>) -> Result<(), Error> {
        let quit = async {
            qemu::stop::stop(Some(&self.monitor), &self.process, &QUIT).await?;
            confirm_saved(&self.session())?;
            Ok::<_, Error>(self.slot.forget()?)
        };
        watch.phase(Phase::Quit, quit).await
    }

    /// Takes the steps that are left for a machine that was set aside, whatever happened since. Says
    /// why, if only the disk could be kept.
    pub(super) async fn finish(&self, watch: &mut Stopwatch<'_>) -> Result<Option<String>, Error> {
        let reason = self.secure(watch).await?;
        if reason.is_none() {
            self.end(watch).await?;
        }
        Ok(reason)
    }

    /// The same without ending it; if its memory cannot be saved, that has ended it, and this says why.
    pub(super) async fn secure(&self, watch: &mut Stopwatch<'_>) -> Result<Option<String>, Error> {
        self.check_disk()?;
        if !self.is_saved().await? {
            // A machine that has been saved cannot be saved again before it has run.
            let state = self.monitor.status(MONITOR_LIMIT).await;
            if state.map_err(failed("say how it is"))?.state == "postmigrate" {
                self.monitor
                    .cont(MONITOR_LIMIT)
                    .await
                    .map_err(failed("let the guest run"))?;
            }
            return self.keep(watch).await;
        }
        Ok(None)
    }

    /// Whether its session is saved, once a save that is under way has ended.
    async fn is_saved(&self) -> Result<bool, Error> {
        // Not cancelled: QEMU can crash over that, and would take the guest with it.
        qemu::migration::wait_ended(&self.monitor, MIGRATION_LIMIT)
            .await
            .map_err(failed("finish saving"))?;
        let saved = self.session().saved();
        saved.try_exists().map_err(Error::file("look at", &saved))
    }

    /// Lets the machine go on where it was, with its folders and its ports. Returns by how many
    /// milliseconds its clock is off, if that is too many.
    pub(super) async fn take_back(&self, watch: &mut Stopwatch<'_>) -> Result<Option<i64>, Error> {
        let session = self.session();
        let reporter = watch.reporter();
        let goes_on = async {
            // What a killed command began goes on in QEMU.
            self.is_saved().await?;
            if matches!(self.record.purpose, Purpose::SetAside(_)) {
                // Before the saved memory is given up: a port can be taken.
                self.add_ports().await?;
            }
            session::consume(&session)?;
            self.monitor
                .cont(MONITOR_LIMIT)
                .await
                .map_err(failed("let the guest run on"))?;
            self.emulator.put_memory_aside()
        };
        watch.phase(Phase::Agent, goes_on).await?;
        let off_ms = self.set_clock(watch).await;
        if !folders::read(&self.slot.paths)?.is_empty() {
            let (monitor, sockets) = (&self.monitor, &self.sockets);
            let settings = &self.emulator.settings;
            let attach =
                folders::attach_all(&self.slot.paths, settings, monitor, sockets, reporter);
            watch.phase(Phase::Folders, attach).await?;
        }
        self.note(Purpose::Running(Box::new(self.vm.clone())))?;
        Ok(off_ms)
    }

    /// Sets the clock of a guest that stood still. One that does not answer goes on all the same.
    async fn set_clock(&self, watch: &mut Stopwatch<'_>) -> Option<i64> {
        let reporter = watch.reporter();
        let set = async {
            let by_port = self.vm.rotation_port;
            let mut guest = guest::reach(&self.sockets, by_port, AGENT_LIMIT, reporter).await?;
            guest.set_clock().await
        };
        watch
            .phase(Phase::Clock, set)
            .await
            .unwrap_or_else(|error| {
                let text = format!(
                    "The virtual machine's clock could not be set: {}.",
                    chain(&error)
                );
                reporter.report(Event::Warning(&text));
                None
            })
    }

    async fn add_ports(&self) -> Result<(), Error> {
        for forward in self.forwards() {
            // Left by a stop that was killed before it had removed all.
            let removed = self.monitor.remove_forward(&forward, MONITOR_LIMIT).await;
            removed.map_err(failed("free a port"))?;
        }
        for (index, forward) in self.forwards().iter().enumerate() {
            let Err(error) = self.monitor.add_forward(forward, MONITOR_LIMIT).await else {
                continue;
            };
            for added in &self.forwards()[..index] {
                let removed = self.monitor.remove_forward(added, MONITOR_LIMIT).await;
                removed.map_err(failed("free a port"))?;
            }
            return Err(port_error(error, &self.vm.endpoints));
        }
        Ok(())
    }

    fn forwards(&self) -> Vec<Forward> {
        self.vm.forwards()
    }

    /// Powers the guest down, so that its disk is clean; where it finds no room for what it writes to that
    /// end, QEMU is ended, and the disk is as after a power cut.
    async fn shut_down(&self, watch: &mut Stopwatch<'_>) -> Result<(), Error> {
        let reporter = watch.reporter();
        let mut full = self.disk_fills();
        let quiet = async {
            // A guest that stands still cannot power down, and one whose save
            // is still under way cannot go on.
            let goes_on = async {
                qemu::migration::wait_ended(&self.monitor, MONITOR_LIMIT)
                    .await
                    .map_err(failed("say whether it still saves"))?;
                self.monitor
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
            tokio::select! {
                biased;
                stopped = qemu::stop::stop(Some(&self.monitor), &self.process, &limits) => stopped,
                () = full.found() => {
                    let text = "The virtual machine cannot shut down, because the disk is full. Ending it.";
                    reporter.report(Event::Warning(text));
                    qemu::stop::stop(Some(&self.monitor), &self.process, &QUIT).await
                }
            }
        };
        watch.phase(Phase::Quit, quiet).await?;
        Ok(())
    }

    /// Writes down what the machine is for now.
    pub(super) fn note(&self, purpose: Purpose) -> Result<(), Error> {
        Ok(self.slot.write(&RunRecord {
            purpose,
            ..self.record.clone()
        })?)
    }

    /// Lets others talk to the machine.
    pub(super) async fn close(self) {
        self.monitor.close().await;
    }
}

/// What a guest that was asked to write its caches to its disk has come to.
pub(super) struct Synced {
    /// Keep it until the machine is saved: who waits in the guest is then saved in the middle of a
    /// conversation, and is at once there when continued.
    _guest: Option<Guest>,
    /// It found no room for what it wrote.
    pub disk_full: bool,
}

/// Writes of a guest that find no room.
struct DiskFills(qemu::EventStream);

impl DiskFills {
    /// Returns at the first one.
    async fn found(&mut self) {
        loop {
            match self.0.next().await {
                Ok(event) if event.name == "BLOCK_IO_ERROR" && event.data["nospace"] == true => {
                    return;
                }
                Ok(_) | Err(qemu::QmpError::EventsLost { .. }) => {}
                // The end of the events is the end of QEMU, which is seen elsewhere.
                Err(_) => std::future::pending().await,
            }
        }
    }
}

/// A machine that is to be put away, once it was tried to reach it.
pub(super) enum Connected<'a> {
    /// It does what it is told.
    Reached(Box<PutAway<'a>>),
    /// It was ended. Why only its disk is kept, unless its memory had been saved.
    Ended(Option<String>),
}

/// Ends a QEMU whose monitors cannot be connected to: their sockets were removed, or somebody else keeps
/// them. On SIGTERM it writes to its disks what it has, closes them and exits.
pub(super) async fn end_unreachable(
    slot: &Slot,
    record: &RunRecord,
    vm: &RunningVm,
    error: &MachineError,
    watch: &mut Stopwatch<'_>,
) -> Result<Option<String>, Error> {
    let reason = chain(error);
    let reporter = watch.reporter();
    let text = format!("{reason}. Ending the virtual machine; the session's disk is kept.");
    reporter.report(Event::Warning(&text));
    let (session, processes) = (slot.paths.session(), live_processes(&slot.paths, record)?);
    if record.running().is_some()
        && let Ok(sockets) = record.sockets(&slot.paths)
    {
        // It may still be reached by the other sockets.
        let sync = async {
            let mut guest =
                guest::reach(&sockets, vm.rotation_port, LAST_WORDS_LIMIT, reporter).await?;
            guest.sync_disk(SYNC_LIMIT).await
        };
        if let Err(error) = watch.phase(Phase::Sync, sync).await {
            tracing::info!(error = %chain(&error), "the guest's disk was not synced");
        }
    }
    let end = async {
        for process in &processes {
            match process.terminate(TERMINATE_LIMIT).await {
                Err(IdentityError::StillThere { .. }) => process.kill(QUIT.kill).await?,
                ended => ended?,
            }
        }
        Ok::<_, IdentityError>(())
    };
    let ended = watch.phase(Phase::Quit, end).await;
    ended.map_err(MachineError::from)?;
    let saved = session.saved();
    let saved = matches!(record.purpose, Purpose::SetAside(_))
        && saved.try_exists().map_err(Error::file("look at", &saved))?;
    if saved {
        confirm_saved(&session)?;
    } else {
        session::consume(&session)?;
        session::drop_memory(&session)?;
    }
    slot.forget()?;
    Ok((!saved).then_some(reason))
}

/// QEMU let go of the disk when it had saved; should it have written at its end all the same, what was
/// written belongs to the save.
fn confirm_saved(session: &SessionPaths) -> Result<(), Error> {
    let saved: SavedRecord = record::read(&session.saved())?;
    let disk = session.disk();
    let now = FileStamp::of(&disk).map_err(Error::file("look at", &disk))?;
    if now != saved.disk {
        let saved = SavedRecord { disk: now, ..saved };
        record::write(&session.saved(), &saved, Durability::PowerCut)?;
    }
    Ok(())
}

/// QEMU's refusal of a port, by the name of the service that it is for.
pub(super) fn port_error(
    error: qemu::ForwardError,
    endpoints: &[crate::machine::readiness::Endpoint],
) -> Error {
    match error {
        qemu::ForwardError::Monitor(source) => failed("forward a port")(source).into(),
        qemu::ForwardError::NotAdded { port, said } => {
            tracing::debug!(port, said, "QEMU did not get a port");
            let wanted = endpoints.iter().filter(|endpoint| endpoint.port == port);
            let taken = wanted.map(|endpoint| Taken {
                port,
                service: endpoint.id.clone(),
                owner: owner(port),
            });
            let taken = taken.collect();
            MachineError::PortsTaken { taken }.into()
        }
    }
}

fn failed(action: &'static str) -> impl FnOnce(qemu::QmpError) -> MachineError {
    move |source| MachineError::Monitor { action, source }
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
