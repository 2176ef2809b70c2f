//! `start`: from whatever lies on disk to a running emulator with fresh secrets.

mod go_on;
pub(in crate::instance) mod source;

use std::pin::Pin;

use host::now_ms;
use images::qcow2;
use serde::Serialize;

use self::source::{StartSource, cold_fresh, cold_session, plan};
use super::recover::{drop_session, leave_nothing};
use super::verify::Suspects;
use super::{Emulator, LockedInstance};
use crate::config::paths::make_private_folder;
use crate::config::preferences::NO_ROTATION_WARNING;
use crate::config::variables;
use crate::instance::error::InstanceError as Error;
use crate::machine::bring_up::{BringUp, Origin, Secrets, Up};
use crate::machine::error::MachineError;
use crate::machine::ports::ServicePort;
use crate::machine::run_record::{Purpose, RunRecord, RunningVm, StartKind};
use crate::machine::services::{self, Health, ServiceStatus};
use crate::machine::spec::MachineSpec;
use crate::machine::{MONITOR_LIMIT, folders};
use crate::state::prepared;
use crate::state::session::{self, SavedRecord, SessionRecord};
use crate::state::snapshot::KnownDamage;
use crate::state::snapshot_info::SnapshotInfo;
use crate::state::used_pages;
use failure::{Remedy, chain};
use progress::{Event, Phase, PhaseTime, Reporter, Stopwatch};

/// What a start reports; a shell that serializes it words the remedy first.
#[derive(Clone, Debug, Serialize)]
pub struct StartReport<R = Remedy> {
    /// Always `running`: anything else is an error.
    pub state: &'static str,
    /// True if it ran already and nothing was done.
    pub already_running: bool,
    /// How this start went.
    pub start: StartDetails<R>,
    /// The services, all healthy.
    pub services: Vec<ServiceStatus>,
    /// The ports that links inside the virtual machine lead to, as far as the services have others:
    /// the machine was cloned from another instance's.
    pub told_ports: Vec<ServicePort>,
    /// `kvm`, `hvf` or `tcg`.
    pub accelerator: String,
    /// The snapshot under the session's disk, if it lies on one.
    pub snapshot: Option<SnapshotInfo>,
}

/// Gets an image for an instance that has none.
pub(crate) type GetImage<'g> = dyn for<'a> Fn(
        &'a LockedInstance<'_>,
        &'a dyn Reporter,
    ) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>
    + Sync
    + 'g;

/// How a start went.
#[derive(Clone, Debug, Serialize)]
pub struct StartDetails<R = Remedy> {
    /// `resumed`, `continued`, `restored` or `cold`.
    pub kind: StartKind,
    /// Why it is not the fastest kind; `null` if it is.
    pub fallback_reason: Option<String>,
    /// What makes later starts fast again; `null` if nothing has to be done.
    pub remedy: Option<R>,
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
    /// True if the secrets were replaced ahead of the start.
    pub prepared: bool,
    /// True if the virtual machine stood by in memory, too.
    pub standby: bool,
    /// True if the secrets in force before this start stayed so.
    pub secrets_kept: bool,
}

impl<R> StartReport<R> {
    /// The same with its remedy in the words of a shell.
    pub fn with_remedy<T>(self, word: impl FnOnce(R) -> T) -> StartReport<T> {
        StartReport {
            state: self.state,
            already_running: self.already_running,
            start: StartDetails {
                kind: self.start.kind,
                fallback_reason: self.start.fallback_reason,
                remedy: self.start.remedy.map(word),
                clock_off_ms: self.start.clock_off_ms,
                total_ms: self.start.total_ms,
                phases: self.start.phases,
                rotated: self.start.rotated,
                prepared: self.start.prepared,
                standby: self.start.standby,
                secrets_kept: self.start.secrets_kept,
            },
            services: self.services,
            told_ports: self.told_ports,
            accelerator: self.accelerator,
            snapshot: self.snapshot,
        }
    }
}

impl Emulator {
    /// Has the emulator run, by the fastest way that works; `get_image` is called first, with the
    /// instance locked, in case there is no image yet.
    pub(crate) async fn start_with(
        &self,
        get_image: &GetImage<'_>,
        reporter: &dyn Reporter,
    ) -> Result<StartReport, Error> {
        used_pages::read_program_ahead(&self.paths);
        match self.start_once(get_image, reporter).await {
            Ok(report) => Ok(report),
            Err(error) => {
                self.replace_accelerator(error, reporter).await?;
                Box::pin(self.start_once(get_image, reporter)).await
            }
        }
    }

    async fn start_once(
        &self,
        get_image: &GetImage<'_>,
        reporter: &dyn Reporter,
    ) -> Result<StartReport, Error> {
        let mut held = self.hold_as_it_is("start", reporter).await?;
        if let Some((record, vm)) = &held.running {
            let mut watch = Stopwatch::new(reporter);
            return self.already_running(record, vm, &mut watch).await;
        }
        if held.set_aside.is_some() {
            let mut watch = Stopwatch::new(reporter);
            if let Some(report) = Box::pin(held.go_on(&mut watch)).await? {
                return Ok(report);
            }
            Box::pin(held.finish_stop(&mut watch)).await?;
        }
        self.warn_of_placeholders(reporter);
        get_image(&held, reporter).await?;
        // Only what follows counts as the start.
        let mut watch = Stopwatch::new(reporter);
        let prepare = held.prepare_with_session();
        let (spec, base) = watch.phase(Phase::Prepare, prepare).await?;
        // Before a snapshot is taken, which takes half a minute and is useless
        // without the ports.
        LockedInstance::check_ports(&spec.endpoints)?;
        used_pages::read_memory_ahead(&self.paths);
        if !self.settings.no_rotation {
            // A keychain takes its time to be opened, while QEMU loads.
            held.vault()?;
        }
        if let Some(source) = held.take_prepared(&spec, base.as_ref(), reporter).await?
            && let Some(report) = Box::pin(held.start_prepared(&spec, &source, &mut watch)).await?
        {
            return Ok(report);
        }
        let (source, watch) = plan(&held, &spec, base.as_ref(), watch).await?;
        Box::pin(held.start_on(&spec, source, watch)).await
    }

    /// Says so if the secrets are not going to be rotated.
    pub(in crate::instance) fn warn_of_placeholders(&self, reporter: &dyn Reporter) {
        if self.settings.no_rotation {
            let by = if self.settings.overrides.contains(variables::NO_ROTATION) {
                variables::NO_ROTATION
            } else {
                "the setting no-rotation"
            };
            reporter.report(Event::Warning(&format!(
                "The secrets are not rotated, because of {by}. {NO_ROTATION_WARNING}"
            )));
        }
    }

    async fn already_running(
        &self,
        record: &RunRecord,
        vm: &RunningVm,
        watch: &mut Stopwatch<'_>,
    ) -> Result<StartReport, Error> {
        self.unpause(record, vm, watch).await?;
        let services = services::probe(&vm.endpoints).await?;
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
        let failed = |action| move |source| MachineError::Monitor { action, source };
        let sockets = qemu::Sockets::in_dir(&record.runtime_folder)?;
        let (monitor, _) = qemu::Monitor::connect(&sockets, MONITOR_LIMIT)
            .await
            .map_err(failed("answer"))?;
        let status = monitor
            .status(MONITOR_LIMIT)
            .await
            .map_err(failed("say how it is"))?;
        if !status.running {
            let why = match status.state.as_str() {
                "io-error" => " because it could not write to its disk",
                _ => "",
            };
            watch.reporter().report(Event::Notice(&format!(
                "The virtual machine was paused{why}. Continuing it."
            )));
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
                    Ok(()) = died => Err(MachineError::QemuDied { log: self.paths.main().qemu_log() }),
                    Ok(_) = stopped_again => Err(MachineError::DiskFull { folder: self.paths.root().to_owned() }),
                    healthy = healthy => Ok(healthy?),
                }
            };
            watch.phase(Phase::Ready, ready).await?;
        }
        monitor.close().await;
        Ok(())
    }
}

impl LockedInstance<'_> {
    /// Starts on a machine that was prepared. `None` if it does not work, which is then reported, and
    /// all is as it was without it.
    async fn start_prepared(
        &self,
        spec: &MachineSpec,
        source: &StartSource,
        watch: &mut Stopwatch<'_>,
    ) -> Result<Option<StartReport>, Error> {
        let error = match self.attempt(spec, source, watch).await {
            Ok(vm) => return Ok(Some(self.report(&vm, watch.reporter()))),
            Err(error) => error,
        };
        watch.reporter().report(Event::Warning(&format!(
            "The start that was prepared did not work: {}. Starting without it.",
            chain(&error)
        )));
        // Without this the session would not be where a start looks for it: the next command tries again.
        leave_nothing(&self.slot).await?;
        let paths = &self.emulator.paths;
        prepared::give_back(paths).map_err(Error::file("give back", paths.root()))?;
        Ok(None)
    }

    /// Starts on `source`; if saved state turns out not to work, boots cold.
    pub(in crate::instance) async fn start_on(
        self,
        spec: &MachineSpec,
        source: StartSource,
        mut watch: Stopwatch<'_>,
    ) -> Result<StartReport, Error> {
        let first = match self.attempt(spec, &source, &mut watch).await {
            Ok(vm) => return Ok(self.report(&vm, watch.reporter())),
            Err(error) => error,
        };
        self.clean_up(&source).await?;
        let reason = self.explain(&source, &first, &mut watch).await;
        if matches!(source.origin, Origin::Boot(_)) {
            return Err(first);
        }
        watch
            .reporter()
            .report(Event::Warning(&format!("Booting cold instead: {reason}.")));
        // Noted just now, if the snapshot was found to be damaged.
        let found = source.snapshot.as_ref().and_then(|id| {
            let snapshot = self.emulator.paths.snapshot(id);
            KnownDamage::at(&snapshot.known_damage())
        });
        let snapshot_damaged = source.snapshot_damaged || found.is_some();
        let checkpoint = source.checkpoint;
        let mut source = match source.kind {
            StartKind::Continued | StartKind::Restored => {
                cold_session(&self, spec, reason.clone())?
            }
            StartKind::Resumed | StartKind::Cold => cold_fresh(&self, spec, reason.clone())?,
        };
        source.checkpoint = checkpoint;
        source.snapshot_damaged = snapshot_damaged;
        match self.attempt(spec, &source, &mut watch).await {
            Ok(vm) => Ok(self.report(&vm, watch.reporter())),
            Err(error) => {
                self.clean_up(&source).await?;
                Err(Error::ColdFailed {
                    first: reason,
                    source: Box::new(error),
                })
            }
        }
    }

    /// Why saved state did not work: a full look at its files tells damage from
    /// bad luck.
    async fn explain(
        &self,
        source: &StartSource,
        error: &Error,
        watch: &mut Stopwatch<'_>,
    ) -> String {
        let reporter = watch.reporter();
        let suspects = Suspects {
            snapshot: source.snapshot.clone(),
            saved: source.saved.clone(),
            checkpoint: source.checkpoint.clone(),
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
        match (damage, source.kind) {
            (Some(damage), StartKind::Continued | StartKind::Restored | StartKind::Resumed) => {
                damage
            }
            (Some(damage), StartKind::Cold) => {
                // The error itself says no more than that a boot failed.
                reporter.report(Event::Warning(&format!(
                    "The base of the session's disk has changed: {damage}."
                )));
                damage
            }
            (None, StartKind::Continued) => {
                format!("the saved session could not be resumed: {}", chain(error))
            }
            (None, StartKind::Restored) => {
                format!("the checkpoint could not be resumed: {}", chain(error))
            }
            (None, StartKind::Resumed | StartKind::Cold) => {
                format!("the snapshot could not be resumed: {}", chain(error))
            }
        }
    }

    /// Brings the machine up and adopts it as the one that the user works with.
    async fn attempt(
        &self,
        spec: &MachineSpec,
        source: &StartSource,
        watch: &mut Stopwatch<'_>,
    ) -> Result<RunningVm, Error> {
        let session = self.slot.paths.session();
        let record = self.slot.new_record(Purpose::Starting {
            fresh_disk: source.fresh_disk,
        })?;
        if source.taken.is_some() {
            // Its disk is there, and holds nothing of the user's that is not elsewhere.
        } else if source.fresh_disk {
            // First, so that a command that finds the disk of a killed start
            // knows that there is nothing of the user's on it.
            self.slot.write(&record)?;
            let make = async { self.make_disk(spec, source) };
            watch.phase(Phase::Prepare, make).await?;
        } else if matches!(source.origin, Origin::Boot(_)) {
            // A guest that boots runs as soon as QEMU does, and its disk is
            // then another than the one that the saved memory fits.
            session::consume(&session)?;
        }
        let snapshot = source.snapshot.as_deref();
        let snapshot_disk = snapshot.map(|id| self.emulator.paths.snapshot(id).disk());
        let machine = spec.session_machine(&self.slot, snapshot_disk, source.config_iso.clone());
        let bring_up = BringUp {
            slot: &self.slot,
            logs: &self.slot.paths,
            settings: &self.emulator.settings,
            spec,
            endpoints: &spec.endpoints,
            origin: &source.origin,
        };
        let before_running = || {
            if !source.fresh_disk {
                // From here on the guest may change its disk, and the saved
                // memory no longer fits it.
                session::consume(&session)?;
            }
            Ok(())
        };
        let secrets = match (&source.taken, &source.kept) {
            (Some(set), _) => Secrets::TakeOver(self.vault()?, set),
            (None, Some(kept)) => Secrets::Prove(self.vault()?, &kept.set),
            (None, None) if self.emulator.settings.no_rotation => Secrets::Keep,
            (None, None) => Secrets::Replace(self.vault()?),
        };
        // On the heap: every operation on the way here would be as large.
        let up = if let Some(standby) = &source.standby {
            let fresh_disk = source.fresh_disk;
            let up = self.hand_over(&bring_up, standby, fresh_disk, secrets, watch);
            Box::pin(up).await?
        } else {
            let up = bring_up.bring_up(&machine, record, secrets, before_running, watch);
            Box::pin(up).await?
        };
        self.adopt(&bring_up, source, up, watch).await
    }

    /// Gives a machine that is up the user's folders, and records that it runs.
    async fn adopt(
        &self,
        bring_up: &BringUp<'_>,
        source: &StartSource,
        up: Up,
        watch: &mut Stopwatch<'_>,
    ) -> Result<RunningVm, Error> {
        let (spec, settings) = (bring_up.spec, bring_up.settings);
        let running = &up.running;
        // With a fresh disk, there is neither.
        if !source.fresh_disk {
            if !folders::read(&self.slot.paths)?.is_empty() {
                let attached = folders::attach_all(
                    &self.slot.paths,
                    settings,
                    &running.monitor,
                    &running.sockets,
                    watch.reporter(),
                );
                let attached = bring_up.while_alive(running, Box::pin(attached));
                watch.phase(Phase::Folders, attached).await?;
            }
            let remove = async {
                self.emulator.put_memory_aside()?;
                if source.saved.as_ref().is_some_and(SavedRecord::is_mapped) {
                    // Its pages stay with the process that has mapped it.
                    session::drop_memory(&self.slot.paths.session())?;
                }
                Ok::<_, Error>(())
            };
            watch.phase(Phase::Commit, remove).await?;
        }
        let vm = RunningVm {
            kind: source.kind,
            fallback_reason: source.reason.clone(),
            snapshot_damaged: source.snapshot_damaged,
            clock_off_ms: up.clock_off_ms,
            started_at_ms: now_ms(),
            total_ms: watch.total_ms(),
            phases: watch.times(),
            endpoints: spec.endpoints.clone(),
            guest_ports: spec.guest_ports.clone(),
            told_ports: up.told_ports.clone(),
            accelerator: spec.accelerator.to_string(),
            snapshot: source.snapshot.clone(),
            rotated: !settings.no_rotation,
            secrets_from_ms: source.kept.as_ref().map(|kept| kept.made_at_ms),
            checkpoint: source.checkpoint.clone(),
            prepared: source.taken.is_some(),
            standby: source.standby.is_some(),
            rotation_port: spec.image.has_rotation_port(),
            fingerprint: spec.fingerprint.clone(),
        };
        self.slot.write(&RunRecord {
            purpose: Purpose::Running(Box::new(vm.clone())),
            ..up.record
        })?;
        self.emulator.note_start(&vm);
        if source.taken.is_some() {
            // From the record on it is the user's, also for a command that finds this one killed.
            let paths = &self.emulator.paths;
            prepared::adopt(paths).map_err(Error::file("adopt", paths.root()))?;
        }
        if let Some(id) = source.fresh_snapshot()
            && vm.rotated
        {
            let snapshot = self.emulator.paths.snapshot(id);
            if let Err(error) = used_pages::note(&snapshot, &running.identity) {
                tracing::debug!(%error, "the pages that the start used are not noted");
            }
        }
        up.running.monitor.close().await;
        Ok(vm)
    }

    /// An empty overlay, with the word of what it lies on before it.
    fn make_disk(&self, spec: &MachineSpec, source: &StartSource) -> Result<(), Error> {
        let paths = &self.emulator.paths;
        drop_session(&self.slot.paths)?;
        let session = self.slot.paths.session();
        make_private_folder(session.root())?;
        let base = SessionRecord {
            snapshot: source.snapshot.clone(),
            image: spec.image_content().clone(),
            image_path: spec.image.path.clone(),
            created_at_ms: now_ms(),
        };
        session::begin(&session, &base)?;
        let under = match &source.snapshot {
            Some(id) => paths.snapshot(id).disk(),
            None => spec.image.path.clone(),
        };
        Ok(qcow2::create_overlay(
            &session.disk(),
            &under,
            spec.image.virtual_bytes,
        )?)
    }

    /// Leaves nothing of a start that failed.
    async fn clean_up(&self, source: &StartSource) -> Result<(), Error> {
        leave_nothing(&self.slot).await?;
        if source.fresh_disk {
            drop_session(&self.slot.paths)?;
        }
        Ok(())
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
                "The snapshot's record cannot be read: {why}."
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
                .then_some(Remedy::TakeSnapshot),
            clock_off_ms: vm.clock_off_ms,
            total_ms: vm.total_ms,
            phases: vm.phases.clone(),
            rotated: vm.rotated,
            prepared: vm.prepared,
            standby: vm.standby,
            secrets_kept: vm.secrets_from_ms.is_some(),
        },
        services,
        told_ports: vm.told_ports.clone(),
        accelerator: vm.accelerator.clone(),
        snapshot: vm.snapshot.as_ref().and_then(info),
    }
}
