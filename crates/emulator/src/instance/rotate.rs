//! The secrets of an instance that is there already: replaced on demand, read,
//! forgotten.
//!
//! A rotation of a running guest may be cut short anywhere. The run record says
//! that one is under way, and the next command that asks for the secrets settles it: the
//! pending values are in force if the backend accepts them, and otherwise the
//! rotation is done again, since one that was begun may yet end in the guest.

use std::path::Path;
use std::time::Duration;

use crate::config::paths::SlotPaths;
use secrets::{SecretName, SecretSet, Slot, StoreKind};
use serde::Serialize;

use super::{Emulator, LockedInstance};
use crate::instance::error::InstanceError as Error;
use crate::machine::guest::{self, Guest};
use crate::machine::readiness::Prober;
use crate::machine::run_record::{Purpose, RunRecord, RunningVm};
use crate::machine::{fresh_secrets, slot};
use crate::vault::places::{self, Forecast, Vault};
use progress::{PhaseTime, Reporter, Stopwatch};

/// How long the agent of a running guest may take to be reached.
const AGENT_LIMIT: Duration = Duration::from_secs(10);
/// How long the backend may take to say what it makes of a key.
const VERDICT_LIMIT: Duration = Duration::from_secs(10);

/// What a rotation on demand reports.
#[derive(Clone, Debug, Serialize)]
pub struct RotateReport {
    /// Always true: anything else is an error.
    pub rotated: bool,
    /// Where the new values are.
    pub store: StoreKind,
    /// Milliseconds.
    pub total_ms: f64,
    /// The phases, in order.
    pub phases: Vec<PhaseTime>,
}

/// Where the secrets of an instance are, and what to know about that place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SecretPlace {
    /// The place.
    pub store: StoreKind,
    /// What the user should know about it; `null` if all is well.
    pub warning: Option<String>,
}

impl From<places::Place> for SecretPlace {
    fn from(place: places::Place) -> Self {
        Self {
            store: place.store,
            warning: place.warning(),
        }
    }
}

impl Emulator {
    /// Gives the running guest fresh secrets, proved like those of a start.
    pub async fn rotate(&self, reporter: &dyn Reporter) -> Result<RotateReport, Error> {
        let held = self.hold("secrets rotate", reporter).await?;
        let Some((record, vm)) = &held.running else {
            return Err(Error::NotRunning {
                request: "rotate the secrets",
            });
        };
        let mut watch = Stopwatch::within(reporter, self.settings.ready_timeout);
        held.rotate_running(record, vm, &mut watch).await?;
        Ok(RotateReport {
            rotated: true,
            store: held.vault()?.place().await.store,
            total_ms: watch.total_ms(),
            phases: watch.times(),
        })
    }

    /// The four values in force, if there are any.
    ///
    /// They are the guest's once a start has succeeded, until the next one.
    pub async fn secrets(&self, reporter: &dyn Reporter) -> Result<Option<SecretSet>, Error> {
        let record = slot::record_of(&self.paths.main())?;
        match record.map(|record| record.purpose) {
            Some(Purpose::Rotating(_)) => {
                let held = self.hold("secrets", reporter).await?;
                held.settle_rotation(reporter).await?;
            }
            Some(Purpose::Running(vm) | Purpose::Checkpointing(vm)) if !vm.rotated => {
                return Ok(Some(SecretSet::placeholders()));
            }
            Some(
                Purpose::Running(_)
                | Purpose::Starting { .. }
                | Purpose::Saving(_)
                | Purpose::SetAside(_)
                | Purpose::Checkpointing(_)
                | Purpose::Capturing
                | Purpose::Preparing
                | Purpose::StandingBy,
            )
            | None => {}
        }
        match self.recorded_vault()? {
            Some(vault) => Ok(vault.load(Slot::Current).await?),
            None => Ok(None),
        }
    }

    /// Removes the values of a stopped instance from wherever they are kept.
    ///
    /// The next start makes new ones in any case.
    pub async fn forget_secrets(&self, reporter: &dyn Reporter) -> Result<(), Error> {
        let held = self.hold("secrets forget", reporter).await?;
        held.refuse_running("remove the secrets")?;
        self.remove_secrets(&held.slot.runtime_folder, reporter)
            .await
    }

    /// Where the values are; `None` if there are none.
    pub fn secret_place(&self) -> Result<Option<SecretPlace>, Error> {
        Ok(places::recorded(&self.paths.secret_place())?.map(SecretPlace::from))
    }

    /// Where a start would put values now: asks the places of this host, and so
    /// may take as long as a keychain that does not answer is given.
    pub(crate) async fn examine_secret_places(&self) -> Result<Forecast, Error> {
        let places = self.places(&self.paths.main().runtime_folder()?)?;
        Ok(places::examine(places).await?)
    }

    pub(crate) fn recorded_vault(&self) -> Result<Option<Vault>, Error> {
        let places = self.places(&self.paths.main().runtime_folder()?)?;
        Ok(Vault::recorded(places)?)
    }

    pub(crate) async fn remove_secrets(
        &self,
        runtime_folder: &Path,
        reporter: &dyn Reporter,
    ) -> Result<(), Error> {
        match Vault::recorded(self.places(runtime_folder)?)? {
            Some(vault) => Ok(vault.forget(reporter).await?),
            None => Ok(()),
        }
    }
}

/// The guest of a machine that was started before now.
pub(crate) async fn reach_running(
    paths: &SlotPaths,
    record: &RunRecord,
    vm: &RunningVm,
    reporter: &dyn Reporter,
) -> Result<Guest, Error> {
    let sockets = record.sockets(paths)?;
    Ok(guest::reach(&sockets, vm.rotation_port, AGENT_LIMIT, reporter).await?)
}

impl LockedInstance<'_> {
    async fn rotate_running(
        &self,
        record: &RunRecord,
        vm: &RunningVm,
        watch: &mut Stopwatch<'_>,
    ) -> Result<(), Error> {
        let with = |purpose| RunRecord {
            purpose,
            ..record.clone()
        };
        self.slot
            .write(&with(Purpose::Rotating(Box::new(vm.clone()))))?;
        let rotated = async {
            let mut guest = reach_running(&self.slot.paths, record, vm, watch.reporter()).await?;
            let limit = watch.left_or(self.emulator.settings.ready_timeout);
            let vault = self.vault()?;
            fresh_secrets::rotate(&vm.endpoints, &mut guest, vault, limit, watch).await?;
            Ok::<_, Error>(())
        };
        self.while_it_runs(record, rotated).await?;
        self.slot.write(&with(Purpose::Running(Box::new(RunningVm {
            rotated: true,
            ..vm.clone()
        }))))?;
        Ok(())
    }

    /// Finds out what became of a rotation that was cut short.
    pub(crate) async fn settle_rotation(&self, reporter: &dyn Reporter) -> Result<(), Error> {
        let Some((record, vm)) = &self.running else {
            return Ok(());
        };
        let Purpose::Rotating(_) = record.purpose else {
            return Ok(());
        };
        let backend = vm.endpoints.iter().find(|e| e.id == "backend");
        if let (Some(vault), Some(backend)) = (self.emulator.recorded_vault()?, backend)
            && let Some(pending) = vault.load(Slot::Pending).await?
        {
            let key = pending.get(SecretName::Pck);
            let prober = Prober::new()?;
            if prober.accepts(backend.port, key, VERDICT_LIMIT).await == Some(true) {
                vault.promote(&pending, reporter).await?;
                self.slot.write(&RunRecord {
                    purpose: Purpose::Running(Box::new(RunningVm {
                        rotated: true,
                        ..vm.clone()
                    })),
                    ..record.clone()
                })?;
                return Ok(());
            }
        }
        let limit = self.emulator.settings.ready_timeout;
        self.rotate_running(record, vm, &mut Stopwatch::within(reporter, limit))
            .await
    }
}
