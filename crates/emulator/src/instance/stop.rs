//! `stop` and `reset`: end the machine, keeping the session or not.
//!
//! How a machine is put away whose session is kept, says [`super::put_away`].

use serde::Serialize;

use super::ahead::Worker;
use super::put_away::{Connected, PutAway};
use super::recover::drop_session;
use super::{Emulator, LockedInstance};
use crate::config::preferences::Ahead;
use crate::instance::error::InstanceError as Error;
use crate::machine::run_record::{Purpose, RunRecord, RunningVm};
use crate::machine::slot::{kill, live_processes};
use failure::chain;
use progress::{Event, Phase, PhaseTime, Reporter, Stopwatch};

/// What became of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionFate {
    /// Memory and disk are kept; the next start continues.
    Saved,
    /// The disk is kept, and the memory is being saved in the background; the next start continues.
    Saving,
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

impl StopReport {
    /// Of a session that is kept but for what `reason` says.
    fn ended(watch: &Stopwatch<'_>, reason: Option<String>) -> Self {
        Self::new(watch, Some(fate(reason.as_ref())), reason)
    }
}

impl Emulator {
    /// Ends the machine, keeping the session for the next start.
    ///
    /// With a `worker`, unless the setting `ahead` is off, that is only begun: the machine stands
    /// still, its disk is safe and its ports are free when this returns, and the worker does the rest.
    pub async fn stop(
        &self,
        worker: Option<&Worker>,
        reporter: &dyn Reporter,
    ) -> Result<StopReport, Error> {
        let held = self.hold_as_it_is("stop", reporter).await?;
        self.stop_and_go_on(held, worker, reporter).await
    }

    /// [`Self::stop`] of what is `held`, which is let go before the worker begins.
    pub(super) async fn stop_and_go_on(
        &self,
        held: LockedInstance<'_>,
        worker: Option<&Worker>,
        reporter: &dyn Reporter,
    ) -> Result<StopReport, Error> {
        let worker = worker.filter(|_| self.settings.ahead != Ahead::Off);
        let (report, behind) = self.stop_held(held, worker.is_some(), reporter).await?;
        let Some(worker) = worker else {
            return Ok(report);
        };
        match self.begin_work_ahead(worker) {
            Ok(()) => Ok(report),
            // Nobody else would save it.
            Err(error) if behind => {
                tracing::info!(error = %chain(&error), "no process works ahead");
                let held = self.hold_as_it_is("stop", reporter).await?;
                Ok(self.stop_held(held, false, reporter).await?.0)
            }
            Err(error) => {
                tracing::debug!(error = %chain(&error), "the next start is not prepared");
                Ok(report)
            }
        }
    }

    /// Stops what is `held`, up to where another process can go on if there is one; also says whether
    /// there is something left for it.
    async fn stop_held(
        &self,
        mut held: LockedInstance<'_>,
        behind: bool,
        reporter: &dyn Reporter,
    ) -> Result<(StopReport, bool), Error> {
        let mut watch = Stopwatch::new(reporter);
        if let Some((record, vm)) = held.running.take() {
            // A record of an earlier version does not say which ports there are to free.
            let behind = behind && !vm.forwards().is_empty();
            return held.put_away(&record, &vm, behind, &mut watch).await;
        }
        let left = held.set_aside.is_some();
        let (session, reason) = match (left, behind) {
            (false, _) => (None, None),
            (true, true) => (Some(SessionFate::Saving), None),
            (true, false) => {
                let reason = held.finish_stop(&mut watch).await?;
                (Some(fate(reason.as_ref())), reason)
            }
        };
        let report = StopReport {
            already_stopped: true,
            ..StopReport::new(&watch, session, reason)
        };
        Ok((report, left && behind))
    }

    /// Ends the machine and discards its session, or discards the saved one: the next start is from
    /// the clean snapshot. `command` is what others see this instance busy with; `worker` then
    /// prepares the next start.
    pub async fn discard(
        &self,
        command: &str,
        worker: Option<&Worker>,
        reporter: &dyn Reporter,
    ) -> Result<StopReport, Error> {
        let report = self.discard_held(command, reporter).await?;
        if let Some(worker) = worker
            && let Err(error) = self.begin_work_ahead(worker)
        {
            tracing::debug!(error = %chain(&error), "the next start is not prepared");
        }
        Ok(report)
    }

    async fn discard_held(
        &self,
        command: &str,
        reporter: &dyn Reporter,
    ) -> Result<StopReport, Error> {
        let held = self.hold_as_it_is(command, reporter).await?;
        let mut watch = Stopwatch::new(reporter);
        let slot = &held.slot;
        let had_session = slot.paths.session().root().exists();
        if let Some((record, _)) = held.running.as_ref().or(held.set_aside.as_ref()) {
            let alive = live_processes(&slot.paths, record)?;
            // Nothing of it is wanted, so there is nothing to be gentle about.
            watch.phase(Phase::Quit, kill(&alive)).await?;
        }
        let drop = async {
            self.remove_aside()?;
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
    /// Saves the machine and ends it, or with `behind` leaves it standing still, with its disk as good as
    /// saved, for another process to save; also says whether it did that.
    async fn put_away(
        &self,
        record: &RunRecord,
        vm: &RunningVm,
        behind: bool,
        watch: &mut Stopwatch<'_>,
    ) -> Result<(StopReport, bool), Error> {
        let machine = match PutAway::connect(self.emulator, &self.slot, record, vm, watch).await? {
            Connected::Reached(machine) => machine,
            Connected::Ended(reason) => return Ok((StopReport::ended(watch, reason), false)),
        };
        machine.check_disk()?;
        let synced = machine.sync(watch).await;
        // Where it is likely that only the disk can be kept, the caller is told so.
        if behind && !synced.disk_full && machine.has_room() {
            machine.set_aside(watch).await?;
            drop(synced);
            machine.close().await;
            let report = StopReport::new(watch, Some(SessionFate::Saving), None);
            return Ok((report, true));
        }
        machine.note(Purpose::Saving(Box::new(vm.clone())))?;
        let reason = machine.keep(watch).await?;
        if reason.is_none() {
            machine.end(watch).await?;
        }
        drop(synced);
        // Here no other process will.
        self.emulator.remove_aside()?;
        Ok((StopReport::ended(watch, reason), false))
    }

    /// Does what a stop has left of a machine that it set aside, if there is one. Says why, if only its
    /// disk could be kept.
    pub(super) async fn finish_stop(
        &mut self,
        watch: &mut Stopwatch<'_>,
    ) -> Result<Option<String>, Error> {
        let Some((record, vm)) = self.set_aside.take() else {
            return Ok(None);
        };
        match PutAway::connect(self.emulator, &self.slot, &record, &vm, watch).await? {
            Connected::Reached(machine) => machine.finish(watch).await,
            Connected::Ended(reason) => Ok(reason),
        }
    }
}

impl LockedInstance<'_> {
    /// The same behind an error of a command that wanted something else of that machine: nobody but
    /// the next command would see to it.
    pub(super) async fn finish_stop_after_all(&mut self, reporter: &dyn Reporter) {
        if self.set_aside.is_none() {
            return;
        }
        if let Err(error) = self.finish_stop(&mut Stopwatch::new(reporter)).await {
            reporter.report(Event::Warning(&format!(
                "The session could not be saved: {}. The next command tries again.",
                chain(&error)
            )));
        }
    }
}

/// What is kept of a session whose memory could not be saved for `reason`, if for any.
fn fate(reason: Option<&String>) -> SessionFate {
    match reason {
        None => SessionFate::Saved,
        Some(_) => SessionFate::DiskKept,
    }
}
