//! Recovery: whatever a killed command left of a machine is finished or undone before anything
//! else is done to the instance.

use qemu::ProcessIdentity;

use super::Emulator;
use super::ahead::standby;
use super::lock::{Lock, LockError};
use super::put_away::{Connected, PutAway};
use crate::config::paths::{SlotName, SlotPaths};
use crate::instance::error::InstanceError as Error;
use crate::machine::run_record::{EndedBy, Purpose, RunRecord, RunningVm};
use crate::machine::slot::{
    Recorded, Slot, ended_by, kill, live_processes, orphans, recorded, wait_gone,
};
use crate::state::{checkpoint, prepared, session};
use progress::{Event, Reporter, Stopwatch};

/// What there is once nothing is half-done.
pub(super) enum Recovered {
    /// No machine.
    Nothing,
    /// One that runs.
    Running(Box<RunRecord>, Box<RunningVm>),
    /// One that a stop has set aside.
    SetAside(Box<RunRecord>, Box<RunningVm>),
}

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
                self.put_misplaced_aside(reporter)?;
                self.remove_leftovers();
                let slot = Slot::open(self.paths.main())?;
                match self.recover(&slot, reporter).await? {
                    Recovered::Nothing | Recovered::Running(..) => Ok(()),
                    // Nobody may be there to do what is left.
                    Recovered::SetAside(record, vm) => {
                        let mut watch = Stopwatch::new(reporter);
                        let machine = PutAway::connect(self, &slot, &record, &vm, &mut watch);
                        match machine.await? {
                            Connected::Reached(machine) => {
                                machine.finish(&mut watch).await.map(drop)
                            }
                            Connected::Ended(_) => Ok(()),
                        }
                    }
                }
            }
            Ok(None) | Err(LockError::Gone { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Finishes or undoes what is half-done; returns the machine that is there in the main slot.
    pub(super) async fn recover(
        &self,
        slot: &Slot,
        reporter: &dyn Reporter,
    ) -> Result<Recovered, Error> {
        self.end_work_ahead().await?;
        // Before the machine that it is made of goes on.
        self.remove_unfinished_checkpoint().await?;
        let found = self.recover_machine(slot, reporter).await?;
        // A restore was killed while one session took the place of another.
        let finished = checkpoint::finish_replacing(&slot.paths);
        finished.map_err(Error::file("replace", slot.paths.session().root()))?;
        // A start that took what was prepared was killed before the machine was the user's.
        let given = prepared::give_back(&self.paths);
        given.map_err(Error::file("give back", self.paths.root()))?;
        Ok(found)
    }

    /// The same for the machine of the main slot.
    async fn recover_machine(
        &self,
        slot: &Slot,
        reporter: &dyn Reporter,
    ) -> Result<Recovered, Error> {
        let (record, alive) = match recorded(&slot.paths)? {
            Recorded::Ours(record) => {
                let alive = live_processes(&slot.paths, &record)?;
                let lost = match record.purpose {
                    Purpose::SetAside(_) => !slot.paths.session().saved().exists(),
                    _ => record.running().is_some(),
                };
                if lost && alive.is_empty() {
                    reporter.report(Event::Notice(match ended_by(&slot.paths, &record) {
                        Some(EndedBy::Guest) => {
                            "The virtual machine was powered off from inside; its disk is kept."
                        }
                        Some(EndedBy::Signal) => {
                            "A signal ended the virtual machine; its disk is kept."
                        }
                        Some(EndedBy::Reboot) => {
                            "The virtual machine ended with the host's last session; its disk is kept."
                        }
                        None => "The virtual machine stopped unexpectedly; its disk is kept.",
                    }));
                }
                if alive.is_empty() {
                    // Whatever it was doing: one that is exiting still has its ports.
                    wait_gone(&record).await?;
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
                kill(&self.strays(slot)?).await?;
                self.remove_unfinished_capture()?;
                return Ok(Recovered::Nothing);
            }
            Recorded::Damaged(error) => {
                reporter.report(Event::Warning(&format!(
                    "The record of the virtual machine is damaged, so the virtual machine is ended; its disk is kept. ({error})"
                )));
                kill(&self.strays(slot)?).await?;
                self.remove_unfinished_capture()?;
                slot.forget()?;
                return Ok(Recovered::Nothing);
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
    ) -> Result<Recovered, Error> {
        if let Purpose::Running(_)
        | Purpose::Rotating(_)
        | Purpose::Saving(_)
        | Purpose::SetAside(_)
        | Purpose::Checkpointing(_) = record.purpose
            && slot.paths.session().prepared().exists()
        {
            // A start that was killed once its machine was the user's.
            prepared::adopt(&self.paths).map_err(Error::file("adopt", self.paths.root()))?;
        }
        match record.purpose.clone() {
            // What an interrupted rotation left is settled by the command that asks for
            // the secrets: the machine runs with one set or the other.
            Purpose::Running(vm) | Purpose::Rotating(vm) if !alive.is_empty() => {
                return Ok(Recovered::Running(Box::new(record), vm));
            }
            Purpose::SetAside(vm) if !alive.is_empty() => {
                return Ok(Recovered::SetAside(Box::new(record), vm));
            }
            Purpose::Saving(vm) | Purpose::Checkpointing(vm) if !alive.is_empty() => {
                let what = match record.purpose {
                    Purpose::Checkpointing(_) => "The creation of a checkpoint",
                    _ => "A stop",
                };
                reporter.report(Event::Notice(&format!(
                    "{what} was interrupted; the virtual machine keeps running."
                )));
                let mut watch = Stopwatch::new(reporter);
                let machine = PutAway::connect(self, slot, &record, &vm, &mut watch).await?;
                let Connected::Reached(machine) = machine else {
                    return Ok(Recovered::Nothing);
                };
                machine.take_back(&mut watch).await?;
                machine.close().await;
                let record = RunRecord {
                    purpose: Purpose::Running(vm.clone()),
                    ..record
                };
                return Ok(Recovered::Running(Box::new(record), vm));
            }
            // The process has ended. Where it was being saved, the session is saved if
            // `saved.json` is there, and a disk alone otherwise.
            Purpose::Running(_)
            | Purpose::Rotating(_)
            | Purpose::Saving(_)
            | Purpose::SetAside(_)
            | Purpose::Checkpointing(_) => {}
            Purpose::Starting { fresh_disk } => {
                kill(alive).await?;
                // One that was prepared is given back, which this is not.
                if fresh_disk && !slot.paths.session().prepared().exists() {
                    drop_session(&slot.paths)?;
                }
            }
            Purpose::Capturing | Purpose::Preparing | Purpose::StandingBy => {
                kill(alive).await?;
                self.remove_unfinished_capture()?;
            }
        }
        slot.forget()?;
        Ok(Recovered::Nothing)
    }

    /// Machines of the slot that no record tells of. One that stands by belongs to the slot by its token,
    /// and is recorded elsewhere.
    fn strays(&self, slot: &Slot) -> Result<Vec<ProcessIdentity>, Error> {
        let standby = standby::find(&self.paths.slot(SlotName::Ahead))?.map(|(_, process)| process);
        let mut strays = orphans(&slot.paths)?;
        strays.retain(|process| Some(process) != standby.as_ref());
        Ok(strays)
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use super::*;
    use crate::config::paths::InstanceName;
    use crate::config::variables::{HOME, Settings};

    /// Has a port until half a second after its main thread has ended, as a QEMU that is exiting has its ports
    /// until it has given its memory back.
    const EXITING: &str = "\
import ctypes, socket, threading, time
listener = socket.create_server(('127.0.0.1', 0))
print(listener.getsockname()[1], flush=True)
input()
threading.Thread(target=time.sleep, args=(0.5,)).start()
ctypes.CDLL(None).pthread_exit(None)
";

    #[tokio::test]
    async fn a_machine_that_is_still_exiting_has_its_ports_and_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings::from_variables([(HOME.into(), dir.path().into())]).unwrap();
        let emulator = Emulator::new(settings, InstanceName::default(), None);
        let slot = Slot::open(emulator.paths.main()).unwrap();
        let mut machine = Command::new("python3")
            .args(["-c", EXITING])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut said = BufReader::new(machine.stdout.take().unwrap());
        said.read_line(&mut line).unwrap();
        let port: u16 = line.trim().parse().unwrap();
        let process = ProcessIdentity::of(machine.id()).unwrap().unwrap();
        // One that was lost while it ran is waited for in any case; this one is being captured.
        let mut record = slot.new_record(Purpose::Capturing).unwrap();
        record.process = Some(process.clone());
        slot.write(&record).unwrap();
        machine.stdin.take().unwrap().write_all(b"\n").unwrap();
        while process.is_alive().unwrap() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let taken = TcpListener::bind(("127.0.0.1", port)).unwrap_err();
        assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
        let found = emulator.recover(&slot, &progress::Silent).await.unwrap();
        assert!(matches!(found, Recovered::Nothing));
        TcpListener::bind(("127.0.0.1", port)).unwrap();
        machine.wait().unwrap();
    }
}
