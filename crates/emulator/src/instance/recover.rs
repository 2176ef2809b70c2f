//! Recovery: whatever a killed command left of a machine is finished or undone before anything
//! else is done to the instance.

use qemu::{Monitor, ProcessIdentity, Sockets};

use super::Emulator;
use super::lock::{Lock, LockError};
use crate::config::paths::SlotPaths;
use crate::instance::error::InstanceError as Error;
use crate::machine::error::MachineError;
use crate::machine::run_record::{Purpose, RunRecord, RunningVm};
use crate::machine::slot::{Recorded, Slot, kill, live_processes, orphans, recorded};
use crate::machine::{MIGRATION_LIMIT, MONITOR_LIMIT, folders};
use crate::state::{prepared, session};
use progress::{Event, Reporter};

impl Emulator {
    /// Cleans up after an operation whose future was dropped, as the next
    /// operation would.
    ///
    /// If another process has the lock by now, that one has done it.
    pub async fn recover_interrupted(&self, reporter: &dyn Reporter) -> Result<(), Error> {
        let path = self.paths.main().lock();
        if !path.exists() {
            return Ok(());
        }
        match Lock::try_acquire(&path, "recovery") {
            Ok(Some(_lock)) => {
                self.remove_leftovers();
                let slot = Slot::open(self.paths.main())?;
                self.recover(&slot, reporter).await.map(drop)
            }
            Ok(None) | Err(LockError::Gone { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Finishes or undoes what is half-done; returns the machine that runs in the main slot, if any.
    pub(super) async fn recover(
        &self,
        slot: &Slot,
        reporter: &dyn Reporter,
    ) -> Result<Option<(RunRecord, RunningVm)>, Error> {
        self.end_work_ahead().await?;
        let running = self.recover_machine(slot, reporter).await?;
        // A start that took what was prepared was killed before the machine was the user's.
        let given = prepared::give_back(&self.paths);
        given.map_err(Error::file("give back", self.paths.root()))?;
        Ok(running)
    }

    /// The same for the machine of the main slot.
    async fn recover_machine(
        &self,
        slot: &Slot,
        reporter: &dyn Reporter,
    ) -> Result<Option<(RunRecord, RunningVm)>, Error> {
        let (record, alive) = match recorded(&slot.paths)? {
            Recorded::Ours(record) => {
                let alive = live_processes(&slot.paths, &record)?;
                if record.running().is_some() && alive.is_empty() {
                    reporter.report(Event::Notice(
                        "The virtual machine stopped unexpectedly; its disk is kept.",
                    ));
                }
                (record, alive)
            }
            Recorded::Foreign(record) => {
                reporter.report(Event::Notice(
                    "This folder is a copy of one whose emulator was running, or was restored from one. \
                     That emulator is left alone; this one has the disk as it was copied.",
                ));
                (record, Vec::new())
            }
            Recorded::Nothing => {
                // The record goes last, so nothing should be there; but files
                // can be lost, and a QEMU that nobody knows holds the ports.
                kill(&orphans(&slot.paths)?).await?;
                self.remove_unfinished_capture()?;
                return Ok(None);
            }
            Recorded::Damaged(error) => {
                reporter.report(Event::Warning(&format!(
                    "The record of the virtual machine is damaged, so the virtual machine is ended; its disk is kept. ({error})"
                )));
                kill(&orphans(&slot.paths)?).await?;
                self.remove_unfinished_capture()?;
                slot.forget()?;
                return Ok(None);
            }
        };
        self.settle(slot, *record, &alive, reporter).await
    }

    async fn settle(
        &self,
        slot: &Slot,
        record: RunRecord,
        alive: &[ProcessIdentity],
        reporter: &dyn Reporter,
    ) -> Result<Option<(RunRecord, RunningVm)>, Error> {
        if let Purpose::Running(_) | Purpose::Rotating(_) | Purpose::Saving(_) = record.purpose
            && slot.paths.session().prepared().exists()
        {
            // A start that was killed once its machine was the user's.
            prepared::adopt(&self.paths).map_err(Error::file("adopt", self.paths.root()))?;
        }
        match record.purpose.clone() {
            // What an interrupted rotation left is settled by the command that asks for
            // the secrets: the machine runs with one set or the other.
            Purpose::Running(vm) | Purpose::Rotating(vm) if !alive.is_empty() => {
                return Ok(Some((record, *vm)));
            }
            Purpose::Saving(vm) if !alive.is_empty() => {
                reporter.report(Event::Notice(
                    "A stop was interrupted; the virtual machine keeps running.",
                ));
                self.undo_saving(slot, &record, reporter).await?;
                let record = RunRecord {
                    purpose: Purpose::Running(vm.clone()),
                    ..record
                };
                slot.write(&record)?;
                return Ok(Some((record, *vm)));
            }
            // The process has ended. Where it was being saved, the session is saved if
            // `saved.json` is there, and a disk alone otherwise.
            Purpose::Running(_) | Purpose::Rotating(_) | Purpose::Saving(_) => {}
            Purpose::Starting { fresh_disk } => {
                kill(alive).await?;
                // One that was prepared is given back, which this is not.
                if fresh_disk && !slot.paths.session().prepared().exists() {
                    drop_session(&slot.paths)?;
                }
            }
            Purpose::Capturing | Purpose::Preparing => {
                kill(alive).await?;
                self.remove_unfinished_capture()?;
            }
        }
        slot.forget()?;
        Ok(None)
    }

    /// Lets a VM run on whose stop was cut short.
    async fn undo_saving(
        &self,
        slot: &Slot,
        record: &RunRecord,
        reporter: &dyn Reporter,
    ) -> Result<(), Error> {
        let failed = |action| move |source| MachineError::Monitor { action, source };
        let sockets = Sockets::in_dir(&record.runtime_folder)?;
        let (monitor, _) = Monitor::connect(&sockets, MONITOR_LIMIT)
            .await
            .map_err(failed("answer"))?;
        // Not cancelled: QEMU can crash over that, and would take the guest with it.
        qemu::migration::wait_ended(&monitor, MIGRATION_LIMIT)
            .await
            .map_err(failed("finish saving"))?;
        let session = slot.paths.session();
        session::consume(&session)?;
        monitor
            .cont(MONITOR_LIMIT)
            .await
            .map_err(failed("let the guest run on"))?;
        session::drop_memory(&session)?;
        folders::attach_all(&slot.paths, &self.settings, &monitor, &sockets, reporter).await?;
        monitor.close().await;
        Ok(())
    }

    pub(crate) fn remove_unfinished_capture(&self) -> Result<(), Error> {
        let unfinished = self.paths.capture_in_progress();
        record::remove_folder(unfinished.root()).map_err(Error::file("remove", unfinished.root()))
    }
}

/// Leaves nothing of a failed operation's machine: neither its process nor its record.
pub(super) async fn leave_nothing(slot: &Slot) -> Result<(), Error> {
    if let Some(record) = crate::machine::slot::record_of(&slot.paths)? {
        kill(&live_processes(&slot.paths, &record)?).await?;
    }
    slot.forget()?;
    Ok(())
}

/// Removes the session of a slot.
pub(super) fn drop_session(paths: &SlotPaths) -> Result<(), Error> {
    let session = paths.session();
    session::remove(&session).map_err(Error::file("remove", session.root()))
}
