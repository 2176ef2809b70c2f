//! `checkpoint create`: the running machine, kept under a name while it goes on.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use host::{IdentityError, now_ms};
use images::qcow2;
use qemu::{Disk, Monitor, Running, Sockets};
use secrets::Slot as Kept;
use serde::Serialize;

use super::memory::CopiedMemory;
use crate::config::paths::{CheckpointName, SlotName, make_private_folder};
use crate::instance::error::InstanceError as Error;
use crate::instance::put_away::{Connected, PutAway, QUIT};
use crate::instance::{Emulator, LockedInstance};
use crate::machine::bring_up::{BringUp, Origin, Saved};
use crate::machine::error::MachineError;
use crate::machine::guest::{self, Guest};
use crate::machine::run_record::{Purpose, RunRecord, RunningVm};
use crate::machine::slot::{Slot, check_disk};
use crate::machine::spec::MachineSpec;
use crate::machine::{CHANNELS, MIGRATION_LIMIT, MONITOR_LIMIT, folders};
use crate::state::checkpoint::{Checkpoint, CheckpointRecord, HeldSecrets};
use crate::state::error::StateError;
use crate::state::prepared::copy_sparse;
use crate::state::session::Base;
use crate::state::snapshot::Sealed;
use failure::chain;
use progress::{Event, Phase, PhaseTime, Reporter, Stopwatch, milliseconds};

/// How long the agent of a running guest may take to be reached.
const AGENT_LIMIT: Duration = Duration::from_secs(10);
/// How long a guest may take to write its caches to its disk.
const SYNC_LIMIT: Duration = Duration::from_secs(60);

/// What the creation of a checkpoint reports.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckpointReport {
    /// The new checkpoint.
    pub checkpoint: CheckpointName,
    /// What it takes on disk, in bytes.
    pub bytes_on_disk: u64,
    /// For how long the guest stood still, in milliseconds.
    pub paused_ms: f64,
    /// Milliseconds.
    pub total_ms: f64,
    /// The phases, in order.
    pub phases: Vec<PhaseTime>,
}

/// The second machine, with all of the first one's state in it, while the first one runs on.
struct Copied {
    machine: Running,
    memory: CopiedMemory,
    /// For how long the first one has stood still.
    paused: Duration,
}

impl Emulator {
    /// Makes a checkpoint called `name` of the running machine, which goes on.
    pub async fn create_checkpoint(
        &self,
        name: &CheckpointName,
        reporter: &dyn Reporter,
    ) -> Result<CheckpointReport, Error> {
        let held = self.hold("checkpoint create", reporter).await?;
        if self
            .paths
            .checkpoint(name)
            .root()
            .try_exists()
            .unwrap_or(true)
        {
            return Err(Error::CheckpointExists {
                checkpoint: name.clone(),
            });
        }
        // The values in force are to be known.
        held.settle_rotation(reporter).await?;
        let Some((record, vm)) = &held.running else {
            return Err(Error::NotRunning {
                request: "create a checkpoint",
            });
        };
        let mut watch = Stopwatch::new(reporter);
        let slot = Slot::open(self.paths.slot(SlotName::Checkpoint))?;
        let created = Box::pin(held.create(name, &slot, record, vm, &mut watch)).await;
        let removed = self.remove_unfinished_checkpoint().await;
        let (checkpoint, paused) = created?;
        removed?;
        Ok(CheckpointReport {
            bytes_on_disk: images::store::bytes_on_disk(checkpoint.paths.root()),
            checkpoint: checkpoint.name,
            paused_ms: milliseconds(paused),
            total_ms: watch.total_ms(),
            phases: watch.times(),
        })
    }
}

impl LockedInstance<'_> {
    /// Copies, lets the machine go on, saves the copy, commits.
    async fn create(
        &self,
        name: &CheckpointName,
        slot: &Slot,
        record: &RunRecord,
        vm: &RunningVm,
        watch: &mut Stopwatch<'_>,
    ) -> Result<(Checkpoint, Duration), Error> {
        let emulator = self.emulator;
        let prepare = async {
            let spec = emulator.prepare_for(&vm.fingerprint).await?.spec;
            if let Some(mismatch) = vm.fingerprint.mismatches(&spec.fingerprint).first() {
                return Err(Error::OtherMachine {
                    mismatch: mismatch.to_string(),
                });
            }
            let Some(base) = Base::of(&emulator.home, &emulator.name)? else {
                return Err(Error::from(StateError::SessionBase {
                    problem: "its disk is gone".to_owned(),
                }));
            };
            let base = base.to_record(&spec.image.path, spec.image_content());
            self.make_files(slot, &spec)?;
            Ok::<_, Error>((spec, base))
        };
        let (spec, base) = watch.phase(Phase::Prepare, prepare).await?;
        let secrets = self.held_secrets(vm).await;
        let copied = match self.copy_running(slot, &spec, record, vm, watch).await {
            Ok(copied) => copied,
            Err(error) => {
                // Wherever that ended, the user's machine goes on.
                self.undo(record, vm, watch).await?;
                return Err(error);
            }
        };
        let Copied {
            machine,
            memory,
            paused,
        } = copied;
        let into = emulator.paths.checkpoint_in_progress();
        let state = into.device_state();
        let monitor = &machine.monitor;
        let commit = async {
            qemu::migration::capture_ignore_shared(monitor, &state, MIGRATION_LIMIT, |_| {})
                .await
                .map_err(|source| {
                    slot.or_disk_full(MachineError::Migration {
                        action: "save",
                        source,
                    })
                })?;
            let (paths, name) = (emulator.paths.clone(), name.clone());
            let fingerprint = vm.fingerprint.clone();
            // It writes nothing any more, so that it can end meanwhile.
            let quit = qemu::stop::stop(Some(monitor), &machine.identity, &QUIT);
            let seal = tokio::task::spawn_blocking(move || {
                let sealed = |path: &Path| Sealed::of(path).map_err(Error::file("read", path));
                let disk = into.disk();
                let synced = File::open(&disk).and_then(|file| file.sync_all());
                synced.map_err(Error::file("sync", &disk))?;
                let record = CheckpointRecord {
                    created_at_ms: now_ms(),
                    fingerprint,
                    base,
                    secrets,
                    disk: sealed(&disk)?,
                    ram: memory.store().map_err(Error::file("write", &into.ram()))?,
                    device_state: sealed(&into.device_state())?,
                    boot_id: host::boot_id().map_err(IdentityError::BootId)?,
                };
                Ok::<_, Error>(Checkpoint::commit(&paths, &name, record)?)
            });
            let (sealed, quit) = tokio::join!(seal, quit);
            quit?;
            match sealed {
                Ok(checkpoint) => checkpoint,
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
        };
        let checkpoint = watch.phase(Phase::Commit, commit).await?;
        Ok((checkpoint, paused))
    }

    /// The files that the second machine has.
    fn make_files(&self, slot: &Slot, spec: &MachineSpec) -> Result<(), Error> {
        let into = self.emulator.paths.checkpoint_in_progress();
        let scratch = slot.paths.session();
        for folder in [into.root(), scratch.root(), &slot.paths.logs()] {
            make_private_folder(folder)?;
        }
        // Its guest never runs, so that any disk of the right size will do.
        qcow2::create_overlay(&scratch.disk(), &spec.image.path, spec.image.virtual_bytes)?;
        Ok(spec.config.write(&slot.paths.boot_config_iso())?)
    }

    /// Which values are in force, as far as that is known.
    async fn held_secrets(&self, vm: &RunningVm) -> Option<HeldSecrets> {
        if !vm.rotated {
            return None;
        }
        let vault = self.emulator.recorded_vault().ok()??;
        let mark = match vault.load(Kept::Current).await {
            Ok(set) => set?.mark(),
            Err(error) => {
                tracing::debug!(error = %chain(&error), "a restore will rotate the secrets");
                return None;
            }
        };
        Some(HeldSecrets {
            mark,
            made_at_ms: vm.secrets_made_at_ms(),
        })
    }

    /// Copies the running machine and its disk. After an error the guest may stand still.
    async fn copy_running(
        &self,
        slot: &Slot,
        spec: &MachineSpec,
        record: &RunRecord,
        vm: &RunningVm,
        watch: &mut Stopwatch<'_>,
    ) -> Result<Copied, Error> {
        let failed = |action| move |source| MachineError::Monitor { action, source };
        let into = self.emulator.paths.checkpoint_in_progress();
        let machine = spec.machine(
            Disk {
                path: slot.paths.session().disk(),
                backing: vec![spec.image.path.clone()],
            },
            slot.paths.boot_config_iso(),
            // Nobody has to reach it.
            &[],
        );
        let bytes = u64::from(spec.fingerprint.ram_mib) << 20;
        let memory = CopiedMemory::make(into.ram(), bytes)
            .map_err(MachineError::file("make", &into.ram()))?;
        let bring_up = BringUp {
            slot,
            settings: &self.emulator.settings,
            spec,
            endpoints: &[],
            logs: &slot.paths,
            origin: &Origin::Ahead {
                ram: memory.path().to_owned(),
                from: Saved::OtherMachine,
            },
            boots: AtomicBool::default(),
        };
        let (second, _) = bring_up
            .spawn(&machine, slot.new_record(Purpose::Preparing)?, watch)
            .await?;
        let (sockets, first) = record.connect(&self.slot.paths, MONITOR_LIMIT).await?;
        if let Some(process) = &record.process {
            check_disk(process, &self.slot.paths.session().disk())?;
        }
        // First of all, so that a command that finds this one killed lets the guest go on.
        self.slot.write(&RunRecord {
            purpose: Purpose::Checkpointing(Box::new(vm.clone())),
            ..record.clone()
        })?;
        // Kept until all is copied: who waits in the guest is copied in the middle of a conversation,
        // and is at once there when restored.
        let guest = self.quiet(vm, &first, &sockets, watch).await?;
        let reporter = watch.reporter();
        let progress = |progress: qemu::migration::Progress| {
            reporter.report(Event::Bytes {
                phase: Phase::Save,
                done: progress.done_bytes,
                total: progress.total_bytes,
            });
        };
        let save = async {
            let through = second.sockets.copy();
            let version = second.greeting.version;
            let copied = qemu::migration::copy_machine(
                &first,
                &second.monitor,
                version,
                &through,
                CHANNELS,
                MIGRATION_LIMIT,
                progress,
            )
            .await
            .map_err(|source| {
                slot.or_disk_full(MachineError::Migration {
                    action: "copy",
                    source,
                })
            })?;
            // It has written all that it had, and writes nothing while it stands still.
            let (from, to) = (self.slot.paths.session().disk(), into.disk());
            let disk = tokio::task::spawn_blocking(move || {
                copy_sparse(&from, &to).map_err(Error::file("copy", &from))
            });
            match disk.await {
                Ok(copied) => copied?,
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
            first
                .cont(MONITOR_LIMIT)
                .await
                .map_err(failed("let the guest run"))?;
            Ok::<_, Error>(copied.stopped.elapsed())
        };
        let paused = watch.phase(Phase::Save, save).await?;
        drop(guest);
        if !folders::read(&self.slot.paths)?.is_empty() {
            let (main, settings) = (&self.slot.paths, &self.emulator.settings);
            let attach = folders::attach_all(main, settings, &first, &sockets, reporter);
            watch.phase(Phase::Folders, attach).await?;
        }
        self.slot.write(&RunRecord {
            purpose: Purpose::Running(Box::new(vm.clone())),
            ..record.clone()
        })?;
        first.close().await;
        Ok(Copied {
            machine: second,
            memory,
            paused,
        })
    }

    /// Takes the folders of the host back, with which a machine cannot be copied, and has the guest
    /// write its caches to its disk, which must be worth booting by itself.
    async fn quiet(
        &self,
        vm: &RunningVm,
        monitor: &Monitor,
        sockets: &Sockets,
        watch: &mut Stopwatch<'_>,
    ) -> Result<Guest, Error> {
        if !folders::read(&self.slot.paths)?.is_empty() {
            let detach = folders::detach_all(&self.slot.paths, monitor, sockets);
            watch.phase(Phase::Folders, detach).await?;
        }
        let reporter = watch.reporter();
        let sync = async {
            let mut guest = guest::reach(sockets, vm.rotation_port, AGENT_LIMIT, reporter).await?;
            guest.sync_disk(SYNC_LIMIT).await?;
            Ok::<_, Error>(guest)
        };
        watch.phase(Phase::Sync, sync).await
    }

    /// Lets the user's machine go on, wherever the copying of it ended, with the folders of the host.
    async fn undo(
        &self,
        record: &RunRecord,
        vm: &RunningVm,
        watch: &mut Stopwatch<'_>,
    ) -> Result<(), Error> {
        let machine = PutAway::connect(self.emulator, &self.slot, record, vm, watch).await?;
        if let Connected::Reached(machine) = machine {
            machine.take_back(watch).await?;
            machine.close().await;
        }
        Ok(())
    }
}
