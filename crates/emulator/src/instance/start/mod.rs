//! `start`: from whatever lies on disk to a running emulator with fresh secrets.

mod ground;

use images::qcow2;
use serde::Serialize;

use self::ground::{Ground, cold_fresh, cold_session, plan};
use crate::config::paths::make_private_folder;
use crate::config::preferences::NO_ROTATION_WARNING;
use crate::config::variables;
use crate::error::{Error, chain};
use crate::instance::policy::{self, Admission, Request};
use crate::instance::verify::Suspects;
use crate::instance::{Emulator, Held, MONITOR_LIMIT, Prepared, kill};
use crate::machine::bring_up::Origin;
use crate::machine::folders;
use crate::machine::run_record::{Purpose, RunRecord, RunningVm, StartKind};
use crate::observe::status::{Health, ServiceStatus, SnapshotInfo};
use crate::progress::{Event, Phase, PhaseTime, Reporter, Stopwatch};
use crate::state::session::{self, SessionRecord};
use crate::state::snapshot::KnownDamage;
use record;

/// What to do about a snapshot that no start can use any more.
const NEW_SNAPSHOT: &str =
    "Once it is stopped, `stack-emulator capture` takes a new snapshot, and starts are fast again.";

/// What a start reports.
#[derive(Clone, Debug, Serialize)]
pub struct StartReport {
    /// Always `running`: anything else is an error.
    pub state: &'static str,
    /// True if it ran already and nothing was done.
    pub already_running: bool,
    /// How this start went.
    pub start: StartDetails,
    /// The services, all healthy.
    pub services: Vec<ServiceStatus>,
    /// `kvm`, `hvf` or `tcg`.
    pub accelerator: String,
    /// The snapshot under the session's disk, if it lies on one.
    pub snapshot: Option<SnapshotInfo>,
}

/// How a start went.
#[derive(Clone, Debug, Serialize)]
pub struct StartDetails {
    /// `resumed`, `continued` or `cold`.
    pub kind: StartKind,
    /// Why it is not the fastest kind; `null` if it is.
    pub fallback_reason: Option<String>,
    /// What makes later starts fast again; `null` if nothing has to be done.
    pub remedy: Option<String>,
    /// By how many milliseconds the guest's clock is ahead of this host's, if
    /// it could not be set to within 100 of it; else `null`.
    pub clock_off_ms: Option<i64>,
    /// From the call to the proof of readiness, in milliseconds. Does not
    /// count a pull or a capture that had to come first.
    pub total_ms: f64,
    /// The phases, in order.
    pub phases: Vec<PhaseTime>,
    /// False if the placeholder secrets are in force.
    pub rotated: bool,
}

impl Emulator {
    /// Has the emulator run, by the fastest way that works.
    pub async fn start(&self, reporter: &dyn Reporter) -> Result<StartReport, Error> {
        match self.start_once(reporter).await {
            Ok(report) => Ok(report),
            Err(error) => {
                self.replace_accelerator(error, reporter).await?;
                Box::pin(self.start_once(reporter)).await
            }
        }
    }

    async fn start_once(&self, reporter: &dyn Reporter) -> Result<StartReport, Error> {
        let held = self.hold("start", reporter).await?;
        match policy::admit(held.life(), Request::Start) {
            Admission::Already => {
                return self
                    .already_running(&held, &mut Stopwatch::new(reporter))
                    .await;
            }
            Admission::Accept | Admission::RefuseRunning => {}
        }
        if self.settings.no_rotation {
            let by = if self.settings.overrides.contains(variables::NO_ROTATION) {
                variables::NO_ROTATION
            } else {
                "the setting no-rotation"
            };
            reporter.report(Event::Warning(&format!(
                "Nothing is rotated, because of {by}. {NO_ROTATION_WARNING}"
            )));
        }
        held.pull_if_none(reporter).await?;
        // Only what follows counts as the start.
        let mut watch = Stopwatch::new(reporter);
        let prepare = held.prepare_with_session();
        let (prepared, base) = watch.phase(Phase::Prepare, prepare).await?;
        // Before a snapshot is taken, which takes a while and is of no use
        // without the ports.
        Held::check_ports(&prepared.endpoints)?;
        if !self.settings.no_rotation {
            // A keychain takes its time to be opened, while QEMU loads.
            held.vault()?;
        }
        let (ground, watch) = plan(&held, &prepared, base.as_ref(), watch).await?;
        held.start_on(&prepared, ground, watch).await
    }

    async fn already_running(
        &self,
        held: &Held<'_>,
        watch: &mut Stopwatch<'_>,
    ) -> Result<StartReport, Error> {
        let Some((record, vm)) = &held.running else {
            return Err(Error::NoSnapshot);
        };
        self.unpause(record, vm, watch).await?;
        let services = crate::observe::status::probe(&vm.endpoints).await?;
        Ok(report(self, vm, services, true, watch.reporter()))
    }
}

impl Emulator {
    /// Lets a guest go on that QEMU stopped because the host's disk was full.
    async fn unpause(
        &self,
        record: &RunRecord,
        vm: &RunningVm,
        watch: &mut Stopwatch<'_>,
    ) -> Result<(), Error> {
        let failed = |action| move |source| Error::Monitor { action, source };
        let sockets = qemu::Sockets::in_dir(&record.runtime_folder)?;
        let (monitor, _) = qemu::Monitor::connect(&sockets, MONITOR_LIMIT)
            .await
            .map_err(failed("answer"))?;
        let status = monitor
            .status(MONITOR_LIMIT)
            .await
            .map_err(failed("say how it is"))?;
        if !status.running {
            watch.reporter().report(Event::Notice(
                "The guest stood still, because its disk could not be written. Letting it go on.",
            ));
            let mut events = monitor.subscribe();
            monitor
                .cont(MONITOR_LIMIT)
                .await
                .map_err(failed("let the guest run"))?;
            let prober = crate::machine::readiness::Prober::new()?;
            let limit = self.settings.ready_timeout;
            let healthy = prober.all_healthy(&vm.endpoints, limit);
            // The write that failed is tried again at once.
            let stopped_again = async {
                events
                    .wait_for("STOP", limit, |event| event.name == "STOP")
                    .await
            };
            let died = async {
                match &record.process {
                    Some(process) => process.wait_gone(limit).await,
                    None => std::future::pending().await,
                }
            };
            let ready = async {
                tokio::select! {
                    biased;
                    Ok(()) = died => Err(Error::QemuDied { log: self.paths.qemu_log() }),
                    Ok(_) = stopped_again => Err(Error::DiskFull { folder: self.paths.root().to_owned() }),
                    healthy = healthy => Ok(healthy?),
                }
            };
            watch.phase(Phase::Ready, ready).await?;
        }
        monitor.close().await;
        Ok(())
    }
}

impl Held<'_> {
    /// Starts on `ground`; if saved state turns out not to work, boots cold.
    async fn start_on(
        self,
        prepared: &Prepared,
        ground: Ground,
        mut watch: Stopwatch<'_>,
    ) -> Result<StartReport, Error> {
        let first = match self.attempt(prepared, &ground, &mut watch).await {
            Ok(vm) => return Ok(self.report(&vm, watch.reporter())),
            Err(error) => error,
        };
        self.clean_up(&ground).await?;
        let reason = self.explain(&ground, &first, &mut watch).await;
        if matches!(ground.origin, Origin::Boot(_)) {
            return Err(first);
        }
        watch
            .reporter()
            .report(Event::Warning(&format!("Booting cold instead: {reason}.")));
        // Noted just now, if the snapshot was found to be damaged.
        let found = ground.snapshot.as_ref().and_then(|id| {
            let snapshot = self.emulator.paths.snapshot(id);
            KnownDamage::at(&snapshot.known_damage())
        });
        let snapshot_damaged = ground.snapshot_damaged || found.is_some();
        let mut ground = match ground.kind {
            StartKind::Continued => cold_session(&self, prepared, reason.clone())?,
            StartKind::Resumed | StartKind::Cold => cold_fresh(&self, prepared, reason.clone())?,
        };
        ground.snapshot_damaged = snapshot_damaged;
        match self.attempt(prepared, &ground, &mut watch).await {
            Ok(vm) => Ok(self.report(&vm, watch.reporter())),
            Err(error) => {
                self.clean_up(&ground).await?;
                Err(Error::ColdFailed {
                    first: reason,
                    source: Box::new(error),
                })
            }
        }
    }

    /// Why saved state did not work: a full look at its files tells damage from
    /// bad luck.
    async fn explain(&self, ground: &Ground, error: &Error, watch: &mut Stopwatch<'_>) -> String {
        let reporter = watch.reporter();
        let suspects = Suspects {
            snapshot: ground.snapshot.clone(),
            saved: ground.saved.clone(),
        };
        let damage = if suspects.are_none() {
            None
        } else {
            let looked = watch.phase(Phase::Verify, suspects.damage(&self.emulator.paths));
            looked.await.unwrap_or_else(|error| {
                let why = chain(&error);
                reporter.report(Event::Warning(&format!(
                    "Saved state could not be verified: {why}."
                )));
                None
            })
        };
        match (damage, ground.kind) {
            (Some(damage), StartKind::Continued | StartKind::Resumed) => damage,
            (Some(damage), StartKind::Cold) => {
                // The error itself says no more than that a boot failed.
                reporter.report(Event::Warning(&format!(
                    "What the session's disk lies on is not what it was: {damage}."
                )));
                damage
            }
            (None, StartKind::Continued) => {
                format!("the saved session could not be resumed: {}", chain(error))
            }
            (None, StartKind::Resumed | StartKind::Cold) => {
                format!("the snapshot could not be resumed: {}", chain(error))
            }
        }
    }

    async fn attempt(
        &self,
        prepared: &Prepared,
        ground: &Ground,
        watch: &mut Stopwatch<'_>,
    ) -> Result<RunningVm, Error> {
        let paths = &self.emulator.paths;
        let session = paths.session();
        let purpose = Purpose::Starting {
            fresh_disk: ground.fresh_disk,
        };
        if ground.fresh_disk {
            // First, so that whoever finds the disk of a start that was killed
            // knows that there is nothing of the user's on it.
            self.write_run(&RunRecord {
                process: None,
                runtime_folder: self.runtime_folder.clone(),
                purpose: purpose.clone(),
            })?;
            watch
                .phase(Phase::Prepare, async { self.make_disk(prepared, ground) })
                .await?;
        }
        let machine = self.session_machine(
            prepared,
            ground.snapshot.as_deref(),
            ground.config_iso.clone(),
        );
        if matches!(ground.origin, Origin::Boot(_)) && !ground.fresh_disk {
            // A guest that boots runs as soon as QEMU does, and its disk is
            // then another than the one that the saved memory fits.
            session::consume(&session)?;
        }
        let (running, record) = self
            .spawn(prepared, &machine, &ground.origin, purpose, watch)
            .await?;
        let work = async {
            self.load(&running, &ground.origin, watch).await?;
            if !ground.fresh_disk {
                // From here on the guest may change its disk, and the saved
                // memory no longer fits it.
                session::consume(&session)?;
            }
            let woken = self.wake(prepared, &running, &ground.origin, watch);
            let (mut guest, off_ms) = woken.await?;
            self.rotate_and_prove(prepared, &ground.origin, &mut guest, watch)
                .await?;
            let clock_off_ms = Self::settle_clock(&mut guest, off_ms, watch).await?;
            drop(guest);
            if !ground.fresh_disk {
                folders::attach_all(
                    paths,
                    &self.emulator.settings,
                    &running.monitor,
                    &running.sockets,
                    watch.reporter(),
                )
                .await?;
            }
            Ok(clock_off_ms)
        };
        let work = Self::without_reset(&running, &ground.origin, work);
        // On the heap: every operation on the way here would be as large.
        let work = self.while_alive(prepared, &running, Box::pin(work));
        let clock_off_ms = work.await?;
        session::drop_memory(&session)?;
        let vm = RunningVm {
            kind: ground.kind,
            fallback_reason: ground.reason.clone(),
            snapshot_damaged: ground.snapshot_damaged,
            clock_off_ms,
            started_at_ms: host::now_ms(),
            total_ms: watch.total_ms(),
            phases: watch.times(),
            endpoints: prepared.endpoints.clone(),
            accelerator: prepared.accelerator.to_string(),
            snapshot: ground.snapshot.clone(),
            rotated: !self.emulator.settings.no_rotation,
            rotation_port: prepared.image.has_rotation_port(),
            fingerprint: prepared.fingerprint.clone(),
        };
        self.write_run(&RunRecord {
            purpose: Purpose::Running(Box::new(vm.clone())),
            ..record
        })?;
        running.monitor.close().await;
        Ok(vm)
    }

    /// An empty overlay, with the word of what it lies on before it.
    fn make_disk(&self, prepared: &Prepared, ground: &Ground) -> Result<(), Error> {
        let paths = &self.emulator.paths;
        self.emulator.drop_session()?;
        let session = paths.session();
        make_private_folder(session.root())?;
        let base = SessionRecord {
            snapshot: ground.snapshot.clone(),
            image: prepared.image_content.clone(),
            image_path: prepared.image.path.clone(),
            created_at_ms: host::now_ms(),
        };
        session::begin(&session, &base)?;
        let under = match &ground.snapshot {
            Some(id) => paths.snapshot(id).disk(),
            None => prepared.image.path.clone(),
        };
        Ok(qcow2::create_overlay(
            &session.disk(),
            &under,
            prepared.image.virtual_bytes,
        )?)
    }

    /// Leaves nothing of a start that failed.
    async fn clean_up(&self, ground: &Ground) -> Result<(), Error> {
        if let Some(record) = record::read_optional::<RunRecord>(&self.emulator.paths.run_record())?
        {
            kill(&record.live_processes(&self.token)?).await?;
        }
        if ground.fresh_disk {
            self.emulator.drop_session()?;
        }
        self.emulator.forget_run()
    }

    fn report(&self, vm: &RunningVm, reporter: &dyn Reporter) -> StartReport {
        let services = vm
            .endpoints
            .iter()
            .map(|endpoint| ServiceStatus::new(endpoint, Health::Healthy, None))
            .collect();
        report(self.emulator, vm, services, false, reporter)
    }
}

fn report(
    emulator: &Emulator,
    vm: &RunningVm,
    services: Vec<ServiceStatus>,
    already_running: bool,
    reporter: &dyn Reporter,
) -> StartReport {
    let info = |id: &String| match SnapshotInfo::of(&emulator.paths, id) {
        Ok(info) => Some(info),
        // It runs all the same, and its next start will look closer.
        Err(error) => {
            let why = chain(&error);
            reporter.report(Event::Warning(&format!(
                "What is known of the snapshot cannot be read: {why}."
            )));
            None
        }
    };
    StartReport {
        state: "running",
        already_running,
        start: StartDetails {
            kind: vm.kind,
            fallback_reason: vm.fallback_reason.clone(),
            remedy: (vm.kind == StartKind::Cold && vm.snapshot_damaged)
                .then(|| NEW_SNAPSHOT.to_owned()),
            clock_off_ms: vm.clock_off_ms,
            total_ms: vm.total_ms,
            phases: vm.phases.clone(),
            rotated: vm.rotated,
        },
        services,
        accelerator: vm.accelerator.clone(),
        snapshot: vm.snapshot.as_ref().and_then(info),
    }
}
