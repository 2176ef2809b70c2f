//! Bringing a virtual machine up: from a spawned QEMU to a guest with fresh
//! secrets whose services are proved healthy.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use qemu::{Disk, Launch, Machine, Ram, Running, Spawn};
use secrets::{SecretName, SecretSet, Slot};

use super::boot;
use crate::error::Error;
use crate::instance::{Held, MONITOR_LIMIT, Prepared};
use crate::logs::LogSource;
use crate::machine::guest::{self, Guest, GuestError, Resident};
use crate::machine::readiness::{Endpoint, Prober};
use crate::machine::run_record::{Purpose, RunRecord};
use crate::progress::{Event, Phase, Reporter, Stopwatch};

/// How long QEMU may take to answer once started, cold page cache included.
const SPAWN_LIMIT: Duration = Duration::from_secs(30);
/// How long loading or saving a machine may take: 64 GiB at 200 MB/s.
pub(crate) const MIGRATION_LIMIT: Duration = Duration::from_secs(330);
/// How long a resumed guest's agent may take for its first answer. It was
/// running when the snapshot was taken, so silence means that the resume failed.
const RESUMED_AGENT_LIMIT: Duration = Duration::from_secs(30);
/// How long a process that dies may take to be gone once its sockets are.
const DEATH_LIMIT: Duration = Duration::from_millis(200);
/// For what ends by itself, or with what it is waited beside.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);
/// Parallel streams for saved memory; more than the cores of a laptop gains nothing.
pub(crate) const CHANNELS: u8 = 4;

/// Where a machine's memory comes from and how it is let run.
pub(crate) enum Origin {
    /// Power on; with a memory file if it is to be captured.
    Boot(Ram),
    /// A snapshot's memory file, mapped privately, and device state.
    Snapshot { ram: PathBuf, device_state: PathBuf },
    /// A session's memory file.
    Session { ram: PathBuf },
}

impl Held<'_> {
    /// Starts QEMU, having written down that it is about to exist.
    pub(crate) async fn spawn(
        &self,
        prepared: &Prepared,
        machine: &Machine,
        origin: &Origin,
        purpose: Purpose,
        watch: &mut Stopwatch<'_>,
    ) -> Result<(Running, RunRecord), Error> {
        let mut record = RunRecord {
            process: None,
            runtime_folder: self.runtime_folder.clone(),
            purpose,
        };
        self.write_run(&record)?;
        let (ram, launch) = match origin {
            Origin::Boot(ram) => (ram.clone(), Launch::Boot),
            Origin::Snapshot { ram, .. } => (Ram::PrivateFile(ram.clone()), Launch::Incoming),
            Origin::Session { .. } => (Ram::Private, Launch::Incoming),
        };
        let paths = &self.emulator.paths;
        let spawn = Spawn {
            binary: &prepared.binary,
            machine,
            ram,
            launch,
            run_dir: &self.runtime_folder,
            log: &paths.qemu_log(),
            serial_log: &paths.serial_log(),
            token: &self.token,
            limit: SPAWN_LIMIT,
        };
        let running = watch.phase(Phase::Qemu, spawn.spawn()).await?;
        record.process = Some(running.identity.clone());
        self.write_run(&record)?;
        Ok((running, record))
    }

    /// Loads saved state into a machine that waits for it, without running it.
    pub(crate) async fn load(
        &self,
        running: &Running,
        origin: &Origin,
        watch: &mut Stopwatch<'_>,
    ) -> Result<(), Error> {
        let failed = |source| Error::Migration {
            action: "load",
            source,
        };
        let (monitor, version) = (&running.monitor, running.greeting.version);
        match origin {
            Origin::Boot(_) => Ok(()),
            Origin::Snapshot { device_state, .. } => {
                let load = qemu::migration::incoming_ignore_shared(
                    monitor,
                    version,
                    device_state,
                    MIGRATION_LIMIT,
                );
                watch
                    .phase(Phase::Load, load)
                    .await
                    .map(drop)
                    .map_err(failed)
            }
            Origin::Session { ram } => {
                let load = qemu::migration::load_mapped_ram(
                    monitor,
                    version,
                    ram,
                    CHANNELS,
                    MIGRATION_LIMIT,
                );
                watch
                    .phase(Phase::Load, load)
                    .await
                    .map(drop)
                    .map_err(failed)
            }
        }
    }

    /// Lets a loaded machine run, then sets its clock. Says by how many
    /// milliseconds that is still off, if it is too many.
    pub(crate) async fn wake(
        &self,
        prepared: &Prepared,
        running: &Running,
        origin: &Origin,
        watch: &mut Stopwatch<'_>,
    ) -> Result<(Guest, Option<i64>), Error> {
        let ready = self.emulator.settings.ready_timeout;
        let mut guest = match origin {
            Origin::Boot(_) => {
                let console = self.emulator.follow_log(LogSource::Serial, 0);
                let booted = boot::answered(running, console, ready, watch.reporter());
                Guest::Agent(watch.phase(Phase::Boot, booted).await?)
            }
            Origin::Snapshot { .. } | Origin::Session { .. } => {
                let limit = ready.min(RESUMED_AGENT_LIMIT);
                let resumed = self.resume(prepared, running, limit, watch.reporter());
                watch.phase(Phase::Agent, resumed).await?
            }
        };
        let off_ms = watch.phase(Phase::Clock, guest.set_clock()).await?;
        Ok((guest, off_ms))
    }

    /// Sets a clock again that was `off_ms` off while the guest came up, when it
    /// was too busy to answer at once; says so if it still is.
    pub(crate) async fn settle_clock(
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
                "The guest's clock is {off_ms} ms off; this machine is too busy to set it better."
            )));
        }
        Ok(off_ms)
    }

    /// Lets a machine with loaded state run and waits for its first answer, by
    /// the fastest way that the image offers.
    async fn resume(
        &self,
        prepared: &Prepared,
        running: &Running,
        limit: Duration,
        reporter: &dyn Reporter,
    ) -> Result<Guest, Error> {
        // Before the guest runs: it then need not be told that somebody is there.
        let resident = if prepared.image.has_rotation_port() {
            Some(Resident::greet(&running.sockets.rotate()).await)
        } else {
            None
        };
        running
            .monitor
            .cont(MONITOR_LIMIT)
            .await
            .map_err(|source| Error::Monitor {
                action: "let the guest run",
                source,
            })?;
        Ok(guest::reach(resident, &running.sockets.agent(), limit, reporter).await?)
    }

    /// Gives a guest that has just come up fresh secrets and proves them, with
    /// all services healthy.
    pub(crate) async fn rotate_and_prove(
        &self,
        prepared: &Prepared,
        origin: &Origin,
        guest: &mut Guest,
        watch: &mut Stopwatch<'_>,
    ) -> Result<(), Error> {
        let limit = self.emulator.settings.ready_timeout;
        let prober = Prober::new()?;
        if self.emulator.settings.no_rotation {
            return Ok(watch
                .phase(Phase::Ready, prober.all_healthy(&prepared.endpoints, limit))
                .await?);
        }
        if matches!(origin, Origin::Boot(_)) {
            // A guest that has just booted is still starting what rotation
            // talks to; a resumed one has it running.
            watch
                .phase(Phase::Ready, prober.all_healthy(&prepared.endpoints, limit))
                .await?;
        }
        self.rotate_now(&prepared.endpoints, guest, watch).await
    }

    /// Gives a running guest fresh secrets and proves them, with all services healthy.
    ///
    /// The new values are in the store before the guest holds them, and the
    /// previous ones stay there until the proof: a crash at any point leaves a
    /// store that has what the guest has.
    pub(crate) async fn rotate_now(
        &self,
        endpoints: &[Endpoint],
        guest: &mut Guest,
        watch: &mut Stopwatch<'_>,
    ) -> Result<(), Error> {
        let limit = self.emulator.settings.ready_timeout;
        let prober = Prober::new()?;
        let reporter = watch.reporter();
        let vault = self.vault()?;
        let fresh = SecretSet::generate().map_err(Error::Random)?;
        let known = vault.known(reporter).await?;
        vault.save(Slot::Pending, &fresh, reporter).await?;
        watch
            .phase(Phase::Rotate, guest.rotate(&fresh, limit))
            .await?;
        let placeholder = SecretName::Pck.placeholder();
        let mut old = vec![&placeholder];
        old.extend(known.iter().map(|set| set.get(SecretName::Pck)));
        let backend = endpoints.iter().find(|endpoint| endpoint.id == "backend");
        let prove = async {
            let keys = async {
                match backend {
                    Some(backend) => {
                        prober
                            .keys_rotated(backend.port, fresh.get(SecretName::Pck), &old, limit)
                            .await
                    }
                    None => Ok(()),
                }
            };
            // The keys first: a restarting service must not count as healthy
            // by the answers of its predecessor.
            keys.await?;
            prober.all_healthy(endpoints, limit).await
        };
        watch.phase(Phase::Ready, prove).await?;
        Ok(vault.promote(&fresh, reporter).await?)
    }

    /// Runs `work`, but not past the end of the QEMU process, nor past the
    /// moment at which the host has no room for what the guest writes, or the
    /// accelerator cannot go on.
    pub(crate) async fn while_alive<T>(
        &self,
        prepared: &Prepared,
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
            () = stalled => return Err(self.disk_full()),
            () = broken => return Err(Error::AcceleratorFailed {
                accelerator: prepared.accelerator,
                log: self.emulator.paths.qemu_log(),
            }),
            _ = process.wait_gone(FOREVER) => return Err(self.why_qemu_died()),
        };
        match result {
            Ok(value) => Ok(value),
            // A connection that broke is seen before the end of the process
            // that broke it.
            Err(error) => match process.wait_gone(DEATH_LIMIT).await {
                Ok(()) => Err(self.why_qemu_died()),
                Err(_) => Err(with_meanwhile(error, running, begun, before).await),
            },
        }
    }

    /// Runs `work` on a machine from `origin`; a resumed one has failed if its
    /// guest begins anew, which it may do for no reason of its own: memory that
    /// makes no sense ends in a reset.
    pub(crate) async fn without_reset<T>(
        running: &Running,
        origin: &Origin,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        if matches!(origin, Origin::Boot(_)) {
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

    /// QEMU's own writes fail in its words alone, so the disk is looked at.
    pub(crate) fn or_disk_full(&self, error: Error) -> Error {
        match error {
            Error::Migration { .. } | Error::QemuDied { .. } if self.is_disk_full() => {
                self.disk_full()
            }
            error => error,
        }
    }

    fn is_disk_full(&self) -> bool {
        const NO_ROOM: u64 = 1 << 20;
        host::disk::free_bytes(self.emulator.paths.root()).is_ok_and(|free| free < NO_ROOM)
    }

    fn disk_full(&self) -> Error {
        Error::DiskFull {
            folder: self.emulator.paths.root().to_owned(),
        }
    }

    /// A write to a mapped memory file that finds no room kills QEMU without
    /// a word.
    fn why_qemu_died(&self) -> Error {
        self.or_disk_full(Error::QemuDied {
            log: self.emulator.paths.qemu_log(),
        })
    }

    /// The machine on the session's disk, with the layers under it.
    pub(crate) fn session_machine(
        &self,
        prepared: &Prepared,
        snapshot: Option<&str>,
        config_iso: PathBuf,
    ) -> Machine {
        let paths = &self.emulator.paths;
        let mut backing = vec![prepared.image.path.clone()];
        if let Some(id) = snapshot {
            backing.insert(0, paths.snapshot(id).disk());
        }
        let disk = Disk {
            path: paths.session().disk(),
            backing,
        };
        Machine {
            shares: crate::machine::folders::shares(paths),
            ..self
                .emulator
                .machine(prepared, disk, config_iso, &prepared.endpoints)
        }
    }
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
