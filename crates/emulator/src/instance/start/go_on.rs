//! A start that comes while a stop is still being finished behind its prompt: the machine is in memory,
//! and goes on.
//!
//! It is the stop that is taken back, and not a start of its own: nothing was loaded, so nothing was
//! copied that another machine could hold, and the secrets stay those that were in force.

use host::now_ms;

use super::{StartReport, report};
use crate::config::paths::SlotName;
use crate::instance::LockedInstance;
use crate::instance::error::InstanceError as Error;
use crate::instance::put_away::{Connected, PutAway};
use crate::machine::error::MachineError;
use crate::machine::readiness::Prober;
use crate::machine::run_record::{Purpose, RunRecord, RunningVm, StartKind};
use crate::machine::services::{Health, ServiceStatus};
use crate::machine::spec::MachineSpec;
use progress::{Phase, Stopwatch};

impl LockedInstance<'_> {
    /// Has the machine that was set aside go on, if it is the one that is asked for now; `None` if
    /// there is none, or if another one is.
    pub(super) async fn go_on(
        &mut self,
        watch: &mut Stopwatch<'_>,
    ) -> Result<Option<StartReport>, Error> {
        let prepare = self.prepare_with_session();
        let (spec, _) = watch.phase(Phase::Prepare, prepare).await?;
        // Until it goes on it stays what a stop has left, which somebody has to finish.
        let Some((record, vm)) = self.set_aside.clone() else {
            return Ok(None);
        };
        if record.network() != spec.network || !self.emulator.wants(&vm, &spec) {
            return Ok(None);
        }
        let settings = &self.emulator.settings;
        let machine = PutAway::connect(self.emulator, &self.slot, &record, &vm, watch).await?;
        let Connected::Reached(machine) = machine else {
            return Ok(None);
        };
        let goes_on = async {
            let off_ms = machine.take_back(watch).await?;
            machine.close().await;
            self.set_aside = None;
            let prober = Prober::new().map_err(MachineError::from)?;
            let limit = watch.left_or(settings.ready_timeout);
            let healthy = prober.all_healthy(&vm.endpoints, limit);
            let ready = watch.phase(Phase::Ready, healthy).await;
            ready.map_err(MachineError::from)?;
            Ok::<_, Error>(off_ms)
        };
        let process = record.process.as_ref();
        let off_ms = match self.slot.while_alive(process, goes_on).await {
            Ok(off_ms) => off_ms,
            Err(error) if error.is_lost_machine() => {
                // Nothing was loaded, so nothing is lost but memory: as if it had been found so.
                self.set_aside = None;
                let (emulator, reporter) = (self.emulator, watch.reporter());
                emulator.recover(&self.slot, reporter).await?;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let vm = RunningVm {
            kind: StartKind::Continued,
            fallback_reason: None,
            clock_off_ms: off_ms,
            started_at_ms: now_ms(),
            total_ms: watch.total_ms(),
            phases: watch.times(),
            prepared: false,
            standby: false,
            ..vm
        };
        self.slot.write(&RunRecord {
            purpose: Purpose::Running(Box::new(vm.clone())),
            ..record
        })?;
        self.emulator.note_start(&vm);
        let services = vm
            .endpoints
            .iter()
            .map(|endpoint| ServiceStatus::new(endpoint, Health::Healthy, None))
            .collect();
        let reporter = watch.reporter();
        Ok(Some(report(self.emulator, &vm, services, false, reporter)))
    }
}

impl crate::instance::Emulator {
    /// Whether `vm` is what a start by the present settings would bring up.
    fn wants(&self, vm: &RunningVm, spec: &MachineSpec) -> bool {
        let settings = &self.settings;
        let prepared = self.paths.slot(SlotName::Ahead).session().prepared();
        // One that is prepared is as fast, and has fresh secrets.
        !prepared.exists()
            && !settings.no_snapshot
            && !settings.force_capture
            && vm.rotates_like(settings.no_rotation)
            && vm.endpoints == spec.endpoints
            && vm.fingerprint.mismatches(&spec.fingerprint).is_empty()
    }
}
