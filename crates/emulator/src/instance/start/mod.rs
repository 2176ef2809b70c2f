//! `start`: from whatever lies on disk to a running emulator with fresh secrets.

mod go_on;
mod report;
mod rotation;
mod running;
pub(in crate::instance) mod source;

use std::pin::Pin;
use std::sync::atomic::AtomicBool;

use host::now_ms;
use images::qcow2;

use self::report::report;
pub use self::report::{StartDetails, StartReport};
use self::source::{StartSource, cold_fresh, cold_session, plan};
use super::recover::{drop_session, leave_nothing};
use super::verify::Suspects;
use super::{Emulator, LockedInstance};
use crate::config::paths::make_private_folder;
use crate::instance::error::InstanceError as Error;
use crate::machine::bring_up::{BringUp, Origin, Secrets, Up};
use crate::machine::folders;
use crate::machine::run_record::{Purpose, RunRecord, RunningVm, StartKind};
use crate::machine::services::{Health, ServiceStatus};
use crate::machine::slot::kill;
use crate::machine::spec::MachineSpec;
use crate::state::prepared;
use crate::state::session::{self, SessionRecord};
use crate::state::snapshot::KnownDamage;
use crate::state::used_pages;
use failure::chain;
use progress::{Event, Phase, Reporter, Stopwatch};

/// Gets an image for an instance that has none.
pub(crate) type GetImage<'g> = dyn for<'a> Fn(
        &'a LockedInstance<'_>,
        &'a dyn Reporter,
    ) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>
    + Sync
    + 'g;

impl Emulator {
    /// Has the emulator run, by the fastest way that works; `get_image` is called first, with the
    /// instance locked, in case there is no image yet.
    pub(crate) async fn start_with(
        &self,
        get_image: &GetImage<'_>,
        reporter: &dyn Reporter,
    ) -> Result<StartReport, Error> {
        used_pages::read_program_ahead(&self.paths);
        match Box::pin(self.start_once(get_image, reporter)).await {
            Ok(report) => Ok(report),
            Err(error) => {
                self.make_way_for_another_try(error, reporter).await?;
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
        if held.running.is_some()
            && let Some(report) = Box::pin(held.already_running(reporter)).await?
        {
            return Ok(report);
        }
        if held.set_aside.is_some() {
            let mut watch = Stopwatch::within(reporter, self.settings.ready_timeout);
            match Box::pin(held.go_on(&mut watch)).await {
                Ok(Some(report)) => return Ok(report),
                Ok(None) => drop(Box::pin(held.finish_stop(&mut watch)).await?),
                // Somebody has taken its ports since: the session goes on with others.
                Err(error) if self.takes_free_ports && error.taken_ports().is_some() => {
                    drop(Box::pin(held.finish_stop(&mut watch)).await?);
                }
                Err(error) => {
                    Box::pin(held.finish_stop_after_all(reporter)).await;
                    return Err(error);
                }
            }
        }
        get_image(&held, reporter).await?;
        held.inherit_snapshot()?;
        // Only what follows counts as the start.
        let mut watch = Stopwatch::within(reporter, self.settings.ready_timeout);
        let prepare = held.prepare_with_session();
        let (mut spec, mut base) = watch.phase(Phase::Prepare, prepare).await?;
        if held.leave_taken_ports(&spec.endpoints, reporter)? {
            (spec, base) = held.prepare_with_session().await?;
        }
        // Before a snapshot is taken, which takes half a minute and is useless
        // without the ports.
        held.check_ports(&spec.endpoints)?;
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
        let error = match self.try_first(spec, source, watch).await {
            Ok(vm) => return Ok(Some(self.report(&vm, watch.reporter()))),
            Err(error) => error,
        };
        // Without this the session would not be where a start looks for it: the next command tries again.
        leave_nothing(&self.slot).await?;
        if let Some((_, process)) = &source.standby {
            // It need not have become the slot's.
            kill(std::slice::from_ref(process)).await?;
        }
        let paths = &self.emulator.paths;
        prepared::give_back(paths).map_err(Error::file("give back", paths.root()))?;
        if error.is_of_the_host() {
            return Err(error);
        }
        watch.reporter().report(Event::Warning(&format!(
            "The start that was prepared did not work: {}. Starting without it.",
            chain(&error)
        )));
        Ok(None)
    }

    /// Starts on `source`; if saved state turns out not to work, boots cold.
    pub(in crate::instance) async fn start_on(
        self,
        spec: &MachineSpec,
        source: StartSource,
        mut watch: Stopwatch<'_>,
    ) -> Result<StartReport, Error> {
        let first = if matches!(source.origin, Origin::Boot(_)) {
            Box::pin(self.attempt(spec, &source, &mut watch)).await
        } else {
            self.try_first(spec, &source, &mut watch).await
        };
        let first = match first {
            Ok(vm) => return Ok(self.report(&vm, watch.reporter())),
            Err(error) => error,
        };
        self.clean_up(&source).await?;
        if first.is_of_the_host() {
            return Err(first);
        }
        let reason = self.explain(&source, &first, &mut watch).await;
        if matches!(source.origin, Origin::Boot(_)) {
            return Err(first);
        }
        let left = match watch.deadline() {
            Some(deadline) => format!(" ({} s left)", deadline.left().as_secs()),
            None => String::new(),
        };
        let text = format!("Booting cold instead{left}: {reason}.");
        watch.reporter().report(Event::Warning(&text));
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
        match Box::pin(self.attempt(spec, &source, &mut watch)).await {
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

    /// [`Self::attempt`] with half of the time that is left: should saved state turn out not to work, a
    /// boot has the other half.
    async fn try_first(
        &self,
        spec: &MachineSpec,
        source: &StartSource,
        watch: &mut Stopwatch<'_>,
    ) -> Result<RunningVm, Error> {
        let whole = watch.deadline();
        watch.set_deadline(whole.map(|whole| whole.for_a_try()));
        let tried = Box::pin(self.attempt(spec, source, watch)).await;
        watch.set_deadline(whole);
        tried
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
            boots: AtomicBool::default(),
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
                // What is mapped stays with the process that has mapped it. What a start that was
                // killed had mapped is of no use to a disk that was booted since.
                session::drop_memory(&self.slot.paths.session())?;
                Ok::<_, Error>(())
            };
            watch.phase(Phase::Commit, remove).await?;
        }
        let rotated = self.holds_rotated(spec, source).await?;
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
            rotated,
            rotation_off: settings.no_rotation,
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
        self.emulator.tell_of_rotation(&vm, watch.reporter());
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
