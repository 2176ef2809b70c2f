//! A start where a machine runs already: it is left alone, or goes on if it was paused.

use super::{StartReport, report};
use crate::instance::LockedInstance;
use crate::instance::error::InstanceError as Error;
use crate::instance::put_away::end_unreachable;
use crate::machine::MONITOR_LIMIT;
use crate::machine::error::MachineError;
use crate::machine::readiness::Prober;
use crate::machine::run_record::{RunRecord, RunningVm};
use crate::machine::services;
use progress::{Event, Phase, Reporter, Stopwatch};

impl LockedInstance<'_> {
    /// Reports the machine that runs. `None` if it could not be reached and did not work either; it was
    /// ended then, and its disk is kept.
    pub(super) async fn already_running(
        &mut self,
        reporter: &dyn Reporter,
    ) -> Result<Option<StartReport>, Error> {
        let Some((record, vm)) = self.running.take() else {
            return Ok(None);
        };
        let mut watch = Stopwatch::within(reporter, self.emulator.settings.ready_timeout);
        let unpaused = self.unpause(&record, &vm, &mut watch).await;
        let services = services::probe(&vm.endpoints).await?;
        match unpaused {
            Ok(()) => {}
            Err(Error::Machine(error @ MachineError::Unreachable { .. })) => {
                if !services.iter().all(|service| service.healthy) {
                    // One that only takes its time may yet answer.
                    if !error.is_cut_off() {
                        return Err(error.into());
                    }
                    end_unreachable(&self.slot, &record, &vm, &error, &mut watch).await?;
                    return Ok(None);
                }
                reporter.report(Event::Warning(
                    "The emulator runs, but QEMU cannot be reached: run `stack-emulator stop`, then `start`. \
                     The session's disk is kept; its memory cannot be.",
                ));
            }
            Err(error) => return Err(error),
        }
        let report = report(self.emulator, &vm, services, true, reporter);
        self.running = Some((record, vm));
        Ok(Some(report))
    }

    /// Lets a guest go on that QEMU stopped because the host's disk was full.
    async fn unpause(
        &self,
        record: &RunRecord,
        vm: &RunningVm,
        watch: &mut Stopwatch<'_>,
    ) -> Result<(), Error> {
        let failed = |action| move |source| MachineError::Monitor { action, source };
        let (_, monitor) = record.connect(&self.slot.paths, MONITOR_LIMIT).await?;
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
            let prober = Prober::new()?;
            let limit = watch.left_or(self.emulator.settings.ready_timeout);
            let healthy = prober.all_healthy(&vm.endpoints, limit);
            // The write that failed is tried again at once.
            let stopped_again = async {
                events
                    .wait_for("STOP", limit, |event| event.name == "STOP")
                    .await
            };
            let ready = async {
                tokio::select! {
                    biased;
                    Ok(_) = stopped_again => Err(MachineError::DiskFull { folder: self.slot.paths.root().to_owned() }),
                    healthy = healthy => Ok(healthy?),
                }
            };
            let ready = self.while_it_runs(record, ready);
            watch.phase(Phase::Ready, ready).await?;
        }
        monitor.close().await;
        Ok(())
    }
}
