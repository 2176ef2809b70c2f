//! What a start reports.

use failure::{Remedy, chain};
use progress::{Event, PhaseTime, Reporter};
use serde::Serialize;

use crate::instance::Emulator;
use crate::machine::ports::{OtherListener, ServicePort, taken_on_ipv6};
use crate::machine::run_record::{RunningVm, StartKind};
use crate::machine::services::ServiceStatus;
use crate::state::snapshot_info::SnapshotInfo;

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
    /// The services that `localhost` need not lead to: other programs have their ports on `::1`.
    pub localhost: Vec<OtherListener>,
    /// `kvm`, `hvf` or `tcg`.
    pub accelerator: String,
    /// The snapshot under the session's disk, if it lies on one.
    pub snapshot: Option<SnapshotInfo>,
}

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
            localhost: self.localhost,
            accelerator: self.accelerator,
            snapshot: self.snapshot,
        }
    }
}

/// The report on a machine that runs.
pub(super) fn report(
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
            secrets_kept: vm.kept_secrets(),
        },
        services,
        told_ports: vm.told_ports.clone(),
        localhost: taken_on_ipv6(&vm.endpoints),
        accelerator: vm.accelerator.clone(),
        snapshot: vm.snapshot.as_ref().and_then(info),
    }
}
