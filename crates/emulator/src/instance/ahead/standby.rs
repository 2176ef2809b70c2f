//! A standby: the prepared machine in memory, loaded, proved and standing still.
//!
//! ```text
//! prepared.json, ram.raw, device.state     as always: what is left if the standby is lost
//! standby.qcow2                            a copy of the prepared disk, which the standby has written to
//! ahead/run.json                           that it stands by, and which process it is
//! ```
//!
//! It is brought up from the prepared files as a start would bring it up, with the values of *next*,
//! but on a disk of its own: the files stay what they are, so a standby that is killed is a prepared
//! start and no worse. No port of the host leads to it. A start exchanges the folders as for a prepared
//! start, moves its sockets to where those of the user's machine are, adds the ports and lets it run.
//!
//! Its process carries a token of the main slot, since it is to be that slot's machine.

use qemu::{Disk, Monitor, ProcessIdentity, Running};
use std::sync::atomic::AtomicBool;

use super::make::Source;
use crate::config::paths::{SlotName, SlotPaths};
use crate::instance::capture::on_free_ports;
use crate::instance::error::InstanceError as Error;
use crate::instance::put_away::port_error;
use crate::instance::{Emulator, LockedInstance};
use crate::machine::bring_up::{BringUp, Origin, Secrets, Up};
use crate::machine::error::MachineError;
use crate::machine::run_record::{Purpose, RunRecord, forwards};
use crate::machine::slot::{Recorded, Slot, live_processes, recorded};
use crate::machine::spec::MachineSpec;
use crate::machine::{MONITOR_LIMIT, folders};
use crate::state::prepared::copy_sparse;
use crate::vault::VaultError;
use progress::{Phase, Stopwatch};

/// The machine that stands by in the slot at `ahead`, if there is one and it lives.
pub(in crate::instance) fn find(
    ahead: &SlotPaths,
) -> Result<Option<(RunRecord, ProcessIdentity)>, Error> {
    // Without this a start would not look at it.
    if !ahead.session().prepared().try_exists().unwrap_or(false) {
        return Ok(None);
    }
    // A record that cannot be read is of no machine that can be used.
    let Ok(Recorded::Ours(record)) = recorded(ahead) else {
        return Ok(None);
    };
    if !matches!(record.purpose, Purpose::StandingBy) {
        return Ok(None);
    }
    let process = live_processes(ahead, &record)?.into_iter().next();
    Ok(process.map(|process| (*record, process)))
}

impl Emulator {
    /// Brings the machine that was just prepared up and leaves it standing by.
    pub(super) async fn stand_by(
        &self,
        slot: &Slot,
        spec: &MachineSpec,
        source: &Source,
        watch: &mut Stopwatch<'_>,
    ) -> Result<(), Error> {
        let place = slot.paths.session();
        let main = Slot::open(self.paths.main())?;
        let path = place.standby_disk();
        record::remove_file(&path).map_err(Error::file("remove", &path))?;
        copy_sparse(&place.disk(), &path).map_err(Error::file("copy", &place.disk()))?;
        let disk = Disk {
            path,
            backing: source.backing.clone(),
        };
        let endpoints = on_free_ports(&spec.endpoints)?;
        let machine = qemu::Machine {
            shares: folders::shares(&main.paths),
            ..spec.machine(disk, slot.paths.boot_config_iso(), &endpoints)
        };
        let origin = Origin::Snapshot {
            ram: place.prepared_ram(),
            device_state: place.device_state(),
        };
        let bring_up = BringUp {
            slot,
            logs: &main.paths,
            settings: &self.settings,
            spec,
            endpoints: &endpoints,
            origin: &origin,
            boots: AtomicBool::default(),
        };
        let vault = self.vault_ahead()?;
        let Some(set) = vault.next().await else {
            return Err(VaultError::Gone.into());
        };
        let record = RunRecord {
            token: main.new_record(Purpose::Preparing)?.token,
            ..slot.new_record(Purpose::Preparing)?
        };
        let secrets = Secrets::Hold(&vault, &set);
        let (up, guest) = bring_up
            .bring_up_and_hold(&machine, record, secrets, || Ok(()), watch)
            .await?;
        let pause = async {
            let failed = |action| move |source| MachineError::Monitor { action, source };
            let monitor = &up.running.monitor;
            for forward in forwards(&endpoints, &spec.guest_ports) {
                let removed = monitor.remove_forward(&forward, MONITOR_LIMIT).await;
                removed.map_err(failed("free its ports"))?;
            }
            let stopped = monitor.stop(MONITOR_LIMIT).await;
            stopped.map_err(failed("stop the guest"))?;
            Ok::<_, Error>(slot.write(&RunRecord {
                purpose: Purpose::StandingBy,
                ..up.record.clone()
            })?)
        };
        watch.phase(Phase::Pause, pause).await?;
        drop(guest);
        up.running.monitor.close().await;
        Ok(())
    }
}

impl LockedInstance<'_> {
    /// Makes the machine that stands by the one that the user works with, up to the proof. Its session's
    /// folder is in its place already.
    pub(in crate::instance) async fn hand_over(
        &self,
        bring_up: &BringUp<'_>,
        (record, process): &(RunRecord, ProcessIdentity),
        fresh_disk: bool,
        secrets: Secrets<'_>,
        watch: &mut Stopwatch<'_>,
    ) -> Result<Up, Error> {
        let ahead = Slot::open(self.emulator.paths.slot(SlotName::Ahead))?;
        let take = async {
            let place = self.slot.sockets()?;
            let sockets = record.sockets(&ahead.paths)?;
            let sockets = sockets.move_to(&place).map_err(MachineError::from)?;
            let record = RunRecord {
                process: Some(process.clone()),
                runtime_folder: place,
                token: record.token.clone(),
                network: record.network,
                ..self.slot.new_record(Purpose::Starting { fresh_disk })?
            };
            self.slot.write(&record)?;
            // Its process id is written there, as long as it lives.
            let path = ahead.paths.run_record();
            record::remove_file(&path).map_err(MachineError::file("remove", &path))?;
            let failed = |action| move |source| MachineError::Monitor { action, source };
            let begun = std::time::Instant::now();
            let (monitor, greeting) = Monitor::connect(&sockets, MONITOR_LIMIT)
                .await
                .map_err(failed("answer"))?;
            let spec = bring_up.spec;
            for forward in forwards(&spec.endpoints, &spec.guest_ports) {
                let added = monitor.add_forward(&forward, MONITOR_LIMIT).await;
                added.map_err(|error| port_error(error, &spec.endpoints))?;
            }
            let running = Running {
                identity: process.clone(),
                sockets,
                monitor,
                greeting,
                answered_after: begun.elapsed(),
            };
            Ok::<_, Error>((running, record))
        };
        let (running, record) = watch.phase(Phase::Qemu, take).await?;
        // It was made by a process that gives way to others, and is now one that somebody waits for.
        let pid = process.pid;
        let restore = tokio::task::spawn_blocking(move || host::priority::restore(pid));
        let (up, _) = bring_up.wake_up(running, record, secrets, watch).await?;
        match restore.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::info!(%error, "the machine keeps its low priority"),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
        Ok(up)
    }
}
