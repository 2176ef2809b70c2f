//! Bringing a machine up in a slot: from a spawned QEMU to a guest with fresh secrets whose
//! services are proved healthy.
//!
//! ```text
//! spawn ─► load ─► (before_running) ─► wake ─► rotate ─► prove ─► clock
//! ```
//!
//! What the caller makes of the machine that is up, such as the record that it runs, the ports and
//! the folders of the user, is decided elsewhere.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use qemu::{Launch, Ram, Running, Sockets, Spawn};
use secrets::{SecretSet, Slot as Kept};

use super::boot;
use super::config_disk::TOLD_SERVICES;
use super::fresh_secrets::{prove, replace, rotate};
use super::guest::{self, Guest, GuestError, Resumed};
use super::limits;
use super::log_files;
use super::ports::{self, ServicePort};
use super::readiness::{Endpoint, Prober, Proof};
use super::run_record::RunRecord;
use super::slot::{DEATH_LIMIT, FOREVER, Slot};
use super::spec::MachineSpec;
use super::{CHANNELS, MIGRATION_LIMIT, MONITOR_LIMIT};
use crate::config::paths::SlotPaths;
use crate::config::variables::Settings;
use crate::logs::Follower;
use crate::machine::error::MachineError as Error;
use crate::vault::places::Vault;
use progress::{Event, Phase, Reporter, Stopwatch};

/// How long QEMU may take to answer once started, cold page cache included.
const SPAWN_LIMIT: Duration = Duration::from_secs(30);
/// How long a resumed guest's agent may take for its first answer. It was
/// running when the snapshot was taken, so silence means that the resume failed.
const RESUMED_AGENT_LIMIT: Duration = Duration::from_secs(30);

/// Where a machine's memory comes from and how it is let run.
pub(crate) enum Origin {
    /// Power on; with a memory file if it is to be captured.
    Boot(Ram),
    /// A snapshot's memory file, mapped privately, and device state.
    Snapshot { ram: PathBuf, device_state: PathBuf },
    /// A session's memory file.
    Session { ram: PathBuf },
    /// The memory file of a session, or the device state beside the copy of a snapshot's memory, into
    /// a file of its own that then holds all of the memory: such a machine is saved in no time.
    Ahead { ram: PathBuf, from: Saved },
}

/// Saved state that is loaded into a machine whose memory is a file.
pub(crate) enum Saved {
    /// A session's memory file.
    Session(PathBuf),
    /// Device state of a machine whose memory the file holds already.
    DeviceState(PathBuf),
    /// None: the state of another machine is copied into it, by somebody else.
    OtherMachine,
}

/// What becomes of the secrets of a machine that comes up.
pub(crate) enum Secrets<'a> {
    /// The guest keeps those that it has.
    Keep,
    /// It gets fresh ones, which are in force from then on.
    Replace(&'a Vault),
    /// It gets fresh ones, which will be in force when a start takes it.
    ReplaceAhead(&'a Vault),
    /// It got these ahead, and is proved to have them; they are not in force yet.
    Hold(&'a Vault, &'a SecretSet),
    /// It got these ahead; they are in force once they are proved.
    TakeOver(&'a Vault, &'a SecretSet),
    /// It has these, which are in force and stay so.
    Prove(&'a Vault, &'a SecretSet),
}

/// One machine that comes up in a slot.
pub(crate) struct BringUp<'a> {
    pub slot: &'a Slot,
    /// The slot whose logs QEMU and the guest's console write.
    pub logs: &'a SlotPaths,
    pub settings: &'a Settings,
    pub spec: &'a MachineSpec,
    /// The services, at the ports of the host that this machine binds.
    pub endpoints: &'a [Endpoint],
    pub origin: &'a Origin,
    /// Whether the guest is booting, and has not answered yet.
    pub boots: AtomicBool,
}

/// A machine that is up: its guest has fresh secrets, proved, and its services are healthy.
pub(crate) struct Up {
    pub running: Running,
    pub record: RunRecord,
    /// By how many milliseconds the guest's clock is still off, if that is too many.
    pub clock_off_ms: Option<i64>,
    /// The ports that the guest takes for those of its services, as far as they are not.
    pub told_ports: Vec<ServicePort>,
}

impl BringUp<'_> {
    /// Brings `machine` up, by the record that was written for it.
    ///
    /// `before_running` is called once its memory is loaded and before the guest may change its
    /// disk.
    ///
    /// On an error the process may still be there: the record tells which it is.
    pub(crate) async fn bring_up(
        &self,
        machine: &qemu::Machine,
        record: RunRecord,
        secrets: Secrets<'_>,
        before_running: impl FnOnce() -> Result<(), Error>,
        watch: &mut Stopwatch<'_>,
    ) -> Result<Up, Error> {
        let up = self.bring_up_and_hold(machine, record, secrets, before_running, watch);
        Ok(up.await?.0)
    }

    /// The same, with the conversation with the guest still open: a guest that is paused in it answers
    /// at once when it goes on. Of the guest agent, which looks for a host ten times a second while
    /// there is none, that saves a tenth of a second.
    pub(crate) async fn bring_up_and_hold(
        &self,
        machine: &qemu::Machine,
        record: RunRecord,
        secrets: Secrets<'_>,
        before_running: impl FnOnce() -> Result<(), Error>,
        watch: &mut Stopwatch<'_>,
    ) -> Result<(Up, Guest), Error> {
        let (running, record) = self.spawn(machine, record, watch).await?;
        let work = async {
            self.load(&running, watch).await?;
            before_running()
        };
        // On the heap: every operation on the way here would be as large.
        self.while_alive(&running, Box::pin(work)).await?;
        self.wake_up(running, record, secrets, watch).await
    }

    /// The rest for a machine that is in memory and stands still: lets it run, and sees to its clock,
    /// ports and secrets.
    pub(crate) async fn wake_up(
        &self,
        running: Running,
        record: RunRecord,
        secrets: Secrets<'_>,
        watch: &mut Stopwatch<'_>,
    ) -> Result<(Up, Guest), Error> {
        let work = async {
            let (mut guest, off_ms) = self.wake(&running, watch).await?;
            let told_ports = self.move_ports(&mut guest, watch).await?;
            self.rotate_and_prove(&mut guest, secrets, watch).await?;
            let off_ms = settle_clock(&mut guest, off_ms, watch).await?;
            Ok((off_ms, told_ports, guest))
        };
        let work = self.without_reset(&running, work);
        let (clock_off_ms, told_ports, guest) = self.while_alive(&running, Box::pin(work)).await?;
        let up = Up {
            running,
            record,
            clock_off_ms,
            told_ports,
        };
        Ok((up, guest))
    }

    /// Tells a guest that was told the ports of another instance its own. Returns what it goes on
    /// believing.
    async fn move_ports(
        &self,
        guest: &mut Guest,
        watch: &mut Stopwatch<'_>,
    ) -> Result<Vec<ServicePort>, Error> {
        let fingerprint = &self.spec.fingerprint;
        // A guest that boots finds them on its config disk.
        if !fingerprint.ports_of_another || matches!(self.origin, Origin::Boot(_)) {
            return Ok(Vec::new());
        }
        let tell = async {
            let mut believed = Vec::new();
            for endpoint in &self.spec.endpoints {
                let told = fingerprint.ports.get(&endpoint.id);
                let told = told.filter(|_| TOLD_SERVICES.contains(&endpoint.id.as_str()));
                let Some(told) = told else { continue };
                // Also where it is the same: since the snapshot it may have been told yet another.
                let moved = guest.move_port(&endpoint.id, endpoint.port).await?;
                if !moved && *told != endpoint.port {
                    believed.push(ServicePort {
                        service: endpoint.id.clone(),
                        port: *told,
                    });
                }
            }
            Ok::<_, Error>(believed)
        };
        watch.phase(Phase::Agent, tell).await
    }

    /// Starts QEMU, having written down that it is about to exist.
    pub(crate) async fn spawn(
        &self,
        machine: &qemu::Machine,
        mut record: RunRecord,
        watch: &mut Stopwatch<'_>,
    ) -> Result<(Running, RunRecord), Error> {
        limits::check(self.slot, self.spec, self.origin)?;
        log_files::make_way(self.logs)?;
        record.network = Some(self.spec.network);
        let (ram, launch) = match self.origin {
            Origin::Boot(ram) => (ram.clone(), Launch::Boot),
            Origin::Snapshot { ram, .. } => (Ram::PrivateFile(ram.clone()), Launch::Incoming),
            Origin::Session { .. } => (Ram::Private, Launch::Incoming),
            Origin::Ahead { ram, .. } => (Ram::SharedFile(ram.clone()), Launch::Incoming),
        };
        let keeper = host::process::this_program().map_err(|source| {
            let program = PathBuf::from("stack-emulator");
            qemu::SpawnError::Keeper { program, source }
        })?;
        let token = record.token.clone().unwrap_or_default();
        let spawn = Spawn {
            binary: &self.spec.binary,
            machine,
            ram,
            launch,
            run_dir: &self.slot.sockets()?,
            pid_file: &self.slot.paths.pid_file(&token),
            log: &self.logs.qemu_log(),
            serial_log: &self.logs.serial_log(),
            keeper: Some(&keeper),
            token: &token,
            limit: SPAWN_LIMIT,
        };
        spawn.run_dir.clone_into(&mut record.runtime_folder);
        self.slot.write(&record)?;
        let spawned = watch.phase(Phase::Qemu, spawn.clone().spawn()).await;
        let running = match spawned {
            // Not every file system has sockets.
            Err(error @ qemu::SpawnError::Listen { .. }) => {
                tracing::info!(%error, "the sockets are in the runtime folder");
                if let Ok(sockets) = Sockets::in_dir(spawn.run_dir) {
                    sockets.remove()?;
                }
                self.slot
                    .runtime_folder
                    .clone_into(&mut record.runtime_folder);
                self.slot.write(&record)?;
                let spawn = Spawn {
                    run_dir: &self.slot.runtime_folder,
                    ..spawn
                };
                let spawned = watch.phase(Phase::Qemu, spawn.spawn()).await;
                spawned.map_err(|error| self.why_not_spawned(error))?
            }
            spawned => spawned.map_err(|error| self.why_not_spawned(error))?,
        };
        record.process = Some(running.identity.clone());
        self.slot.write(&record)?;
        Ok((running, record))
    }

    /// A QEMU that does not get a port ends at once.
    fn why_not_spawned(&self, error: qemu::SpawnError) -> Error {
        match &error {
            qemu::SpawnError::Died { said, .. } => {
                let taken = ports::lost(self.endpoints, said);
                if taken.is_empty() {
                    error.into()
                } else {
                    Error::PortsTaken { taken }
                }
            }
            _ => error.into(),
        }
    }

    /// Loads saved state into a machine that waits for it, without running it.
    pub(crate) async fn load(
        &self,
        running: &Running,
        watch: &mut Stopwatch<'_>,
    ) -> Result<(), Error> {
        let (monitor, version) = (&running.monitor, running.greeting.version);
        let loaded = match self.origin {
            Origin::Boot(_)
            | Origin::Ahead {
                from: Saved::OtherMachine,
                ..
            } => return Ok(()),
            Origin::Snapshot { device_state, .. }
            | Origin::Ahead {
                from: Saved::DeviceState(device_state),
                ..
            } => {
                let load = qemu::migration::incoming_ignore_shared(
                    monitor,
                    version,
                    device_state,
                    MIGRATION_LIMIT,
                );
                watch.phase(Phase::Load, load).await
            }
            Origin::Session { ram }
            | Origin::Ahead {
                from: Saved::Session(ram),
                ..
            } => {
                let load = qemu::migration::load_mapped_ram(
                    monitor,
                    version,
                    ram,
                    CHANNELS,
                    MIGRATION_LIMIT,
                );
                watch.phase(Phase::Load, load).await
            }
        };
        loaded.map(drop).map_err(|source| Error::Migration {
            action: "load",
            source,
        })
    }

    /// Lets a loaded machine run, then sets its clock. Says by how many
    /// milliseconds that is still off, if it is too many.
    pub(crate) async fn wake(
        &self,
        running: &Running,
        watch: &mut Stopwatch<'_>,
    ) -> Result<(Guest, Option<i64>), Error> {
        let ready = self.limit(watch);
        let mut guest = match self.origin {
            Origin::Boot(_) => {
                let console = Follower::new(self.slot.paths.serial_log(), 0);
                let booted = boot::answered(running, console, ready, watch.reporter());
                self.boots.store(true, Ordering::Relaxed);
                let agent = watch.phase(Phase::Boot, booted).await?;
                self.boots.store(false, Ordering::Relaxed);
                Guest::Agent(agent)
            }
            Origin::Snapshot { .. } | Origin::Session { .. } | Origin::Ahead { .. } => {
                let limit = ready.min(RESUMED_AGENT_LIMIT);
                let resumed = self.resume(running, limit, watch.reporter());
                watch.phase(Phase::Agent, resumed).await?
            }
        };
        let off_ms = watch.phase(Phase::Clock, guest.set_clock()).await?;
        Ok((guest, off_ms))
    }

    /// Lets a machine with loaded state run, gives its guest new random numbers
    /// and waits for its first answer, by the fastest way that the image offers.
    async fn resume(
        &self,
        running: &Running,
        limit: Duration,
        reporter: &dyn Reporter,
    ) -> Result<Guest, Error> {
        let resumed = Resumed::new(qemu::Machine::has_generation_id(self.spec.arch));
        let resumed = resumed.map_err(Error::Random)?;
        // Before the guest runs: it then need not be told that somebody is there.
        let by_port = self.spec.image.has_rotation_port();
        let greeted = guest::greet(&running.sockets, by_port, limit, Some(resumed)).await;
        running
            .monitor
            .cont(MONITOR_LIMIT)
            .await
            .map_err(|source| Error::Monitor {
                action: "let the guest run",
                source,
            })?;
        Ok(guest::answered(greeted, &running.sockets, limit, reporter).await?)
    }

    /// Sees to the secrets of a guest that has just come up, and proves them with all services
    /// healthy.
    pub(crate) async fn rotate_and_prove(
        &self,
        guest: &mut Guest,
        secrets: Secrets<'_>,
        watch: &mut Stopwatch<'_>,
    ) -> Result<(), Error> {
        let endpoints = self.endpoints;
        // A guest that has just booted is still starting what rotation
        // talks to; a resumed one has it running.
        if matches!(secrets, Secrets::Keep) || matches!(self.origin, Origin::Boot(_)) {
            let prober = Prober::new()?;
            let healthy = prober.all_healthy(endpoints, self.limit(watch));
            watch.phase(Phase::Ready, healthy).await?;
        }
        let limit = self.limit(watch);
        match secrets {
            Secrets::Keep => Ok(()),
            Secrets::Replace(vault) => rotate(endpoints, guest, vault, limit, watch).await,
            Secrets::ReplaceAhead(vault) => {
                let replaced = replace(endpoints, guest, vault, Kept::Next, limit, watch);
                replaced.await.map(drop)
            }
            Secrets::Hold(vault, set) => {
                let known = vault.known(watch.reporter()).await?;
                let proof = prove(endpoints, set, &known, Proof::Again, limit);
                watch.phase(Phase::Ready, proof).await
            }
            Secrets::TakeOver(vault, set) => {
                let known = vault.known(watch.reporter()).await?;
                let proof = prove(endpoints, set, &known, Proof::Again, limit);
                watch.phase(Phase::Ready, proof).await?;
                Ok(vault.promote(set, watch.reporter()).await?)
            }
            Secrets::Prove(vault, set) => {
                let mut others = vault.known(watch.reporter()).await?;
                others.retain(|known| known != set);
                let proof = prove(endpoints, set, &others, Proof::Again, limit);
                watch.phase(Phase::Ready, proof).await
            }
        }
    }

    /// How long the guest may take from here on: what is left of the operation's time.
    fn limit(&self, watch: &Stopwatch<'_>) -> Duration {
        watch.left_or(self.settings.ready_timeout)
    }

    /// Runs `work`, but not past the end of the QEMU process, nor past the
    /// moment at which the host has no room for what the guest writes, or the
    /// accelerator cannot go on.
    pub(crate) async fn while_alive<T>(
        &self,
        running: &Running,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let mut events = running.monitor.subscribe();
        let no_room =
            |event: &qemu::Event| event.name == "BLOCK_IO_ERROR" && event.data["nospace"] == true;
        let stalled = async {
            match events.wait_for("BLOCK_IO_ERROR", FOREVER, no_room).await {
                Ok(_) => {}
                // The end of the events is the end of QEMU, which is seen below.
                Err(_) => std::future::pending().await,
            }
        };
        let broken = async {
            let failed = running.monitor.accelerator_failed(MONITOR_LIMIT);
            if let Err(error) = failed.await {
                // A monitor that does not answer fails `work` as well.
                tracing::debug!(%error, "whether the accelerator works is not known");
                std::future::pending::<()>().await;
            }
        };
        let process = &running.identity;
        let (begun, before) = (Instant::now(), process.cpu_time());
        let result = tokio::select! {
            biased;
            result = work => result,
            () = stalled => return Err(self.slot.disk_full()),
            () = broken => return Err(Error::AcceleratorFailed {
                accelerator: self.spec.accelerator,
                log: self.slot.paths.qemu_log(),
            }),
            _ = process.wait_gone(FOREVER) => return Err(self.why_it_died()),
        };
        match result {
            Ok(value) => Ok(value),
            // A connection that broke is seen before the end of the process
            // that broke it.
            Err(error) => match process.wait_gone(DEATH_LIMIT).await {
                Ok(()) => Err(self.why_it_died()),
                Err(_) => Err(with_meanwhile(error, running, begun, before).await),
            },
        }
    }

    /// Of a QEMU whose process has ended.
    fn why_it_died(&self) -> Error {
        match self.slot.why_qemu_died() {
            Error::QemuDied { log } if self.boots.load(Ordering::Relaxed) => {
                Error::QemuDiedBooting { log }
            }
            error => error,
        }
    }

    /// Runs `work`; a resumed machine has failed if its guest begins anew,
    /// which it may do for no reason of its own: memory that makes no sense
    /// ends in a reset.
    async fn without_reset<T>(
        &self,
        running: &Running,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        if matches!(self.origin, Origin::Boot(_)) {
            return work.await;
        }
        // Before the guest runs, so that none is missed.
        let mut events = running.monitor.subscribe();
        let by_guest = |event: &qemu::Event| event.name == "RESET" && event.data["guest"] == true;
        let reset = async {
            match events.wait_for("RESET", FOREVER, by_guest).await {
                Ok(_) => {}
                // The end of the events is the end of QEMU, which is seen elsewhere.
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            result = work => result,
            () = reset => Err(Error::GuestReset),
        }
    }
}

/// Sets a clock again that was `off_ms` off while the guest came up, when it
/// was too busy to answer at once; says so if it still is.
pub(super) async fn settle_clock(
    guest: &mut Guest,
    off_ms: Option<i64>,
    watch: &mut Stopwatch<'_>,
) -> Result<Option<i64>, Error> {
    if off_ms.is_none() {
        return Ok(None);
    }
    let off_ms = watch.phase(Phase::Clock, guest.set_clock()).await?;
    if let Some(off_ms) = off_ms {
        watch.reporter().report(Event::Warning(&format!(
            "The virtual machine's clock is {off_ms} ms off: this host is too busy to set it more precisely."
        )));
    }
    Ok(off_ms)
}

/// Adds to a guest's silence what QEMU did since `begun`, when it had used
/// `before` of the processor.
async fn with_meanwhile(
    error: Error,
    running: &Running,
    begun: Instant,
    before: Option<Duration>,
) -> Error {
    let Error::Guest(source @ GuestError::NoAgent { .. }) = error else {
        return error;
    };
    let used = running.identity.cpu_time().zip(before);
    Error::Guest(GuestError::Silent {
        state: running
            .monitor
            .status(MONITOR_LIMIT)
            .await
            .ok()
            .map(|status| status.state),
        used: used.map(|(after, before)| after.saturating_sub(before)),
        waited: begun.elapsed(),
        source: Box::new(source),
    })
}
