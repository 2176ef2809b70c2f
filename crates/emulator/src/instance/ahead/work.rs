//! The work: the machine of the next start, brought up, rotated, settled and saved.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use host::priority::Until;
use host::{FileStamp, ProcessIdentity, now_ms};
use images::qcow2;
use progress::{Phase, PhaseTime, Reporter, Stopwatch};
use qemu::Disk;
use record::Durability;
use serde::Serialize;

use super::WorkerRecord;
use super::begin::clear;
use super::policy::{self, Idle, Situation, Work};
use crate::config::paths::{SessionPaths, SlotName, make_private_folder};
use crate::instance::Emulator;
use crate::instance::capture::on_free_ports;
use crate::instance::error::InstanceError as Error;
use crate::instance::lock::Lock;
use crate::instance::stop::QUIT;
use crate::machine::bring_up::{BringUp, Origin, Saved, Secrets, Up};
use crate::machine::error::MachineError;
use crate::machine::guest;
use crate::machine::readiness::{Endpoint, Prober};
use crate::machine::run_record::Purpose;
use crate::machine::settle::settle;
use crate::machine::slot::Slot;
use crate::machine::spec::MachineSpec;
use crate::machine::{MIGRATION_LIMIT, MONITOR_LIMIT};
use crate::state::prepared::{self, PreparedFrom, PreparedRecord, copy_sparse};
use crate::state::session::{self, Base, SavedRecord, SessionRecord};
use crate::state::snapshot::{Found, Sealed, Snapshot, SnapshotOnDisk};
use crate::vault::places::{self, Vault};

/// The longest that it may take: what never comes to an end must not keep a machine busy.
const LIMIT: Duration = Duration::from_secs(20 * 60);
/// How long the guest may take to become idle: one that never is can be saved as it is.
const SETTLE_LIMIT: Duration = Duration::from_secs(60);

/// What became of the work.
#[derive(Clone, Debug, Serialize)]
pub struct AheadReport {
    /// True if the next start is prepared.
    pub prepared: bool,
    /// Why it is not; `null` if it is.
    pub reason: Option<String>,
    /// Milliseconds.
    pub total_ms: f64,
    /// The phases, in order.
    pub phases: Vec<PhaseTime>,
}

/// What the machine is made from, looked at before anything is copied.
struct Source {
    from: PreparedFrom,
    /// Disks under its own, nearest first.
    backing: Vec<std::path::PathBuf>,
    snapshot: Option<Snapshot>,
}

impl Emulator {
    /// Does the work of the next start, unless there is none or somebody is at work on the instance.
    /// To be called by a process of its own, which others may kill at any point.
    pub async fn work_ahead(&self, reporter: &dyn Reporter) -> Result<AheadReport, Error> {
        let mut watch = Stopwatch::new(reporter);
        let idle = |watch: &Stopwatch<'_>, reason: String| AheadReport {
            prepared: false,
            reason: Some(reason),
            total_ms: watch.total_ms(),
            phases: watch.times(),
        };
        // Begun by a stop, it may come after a deletion, and must not make the instance's folder again.
        if !self.paths.root().is_dir() {
            return Ok(idle(&watch, "the instance is gone".to_owned()));
        }
        let slot = Slot::open(self.paths.slot(SlotName::Ahead))?;
        let Some(_lock) = Lock::try_acquire(&slot.paths.lock(), "work ahead")? else {
            return Ok(idle(
                &watch,
                "another process works ahead already".to_owned(),
            ));
        };
        if let Err(error) = host::priority::step_back(Until::End) {
            tracing::debug!(%error, "the priority stays");
        }
        // Before the look at the instance's lock: who takes that after the look finds this.
        let Some(process) = ProcessIdentity::of(std::process::id())? else {
            return Ok(idle(&watch, "this process is not to be found".to_owned()));
        };
        record::write(
            &slot.paths.worker(),
            &WorkerRecord { process },
            Durability::ThisBoot,
        )?;
        let work = Box::pin(self.work_in(&slot, &mut watch));
        let result = match tokio::time::timeout(LIMIT, work).await {
            Ok(result) => result,
            Err(_) => Ok(Err(format!(
                "it was not done within {} minutes",
                LIMIT.as_secs() / 60
            ))),
        };
        let left = clear(&slot.paths).await;
        let outcome = result?;
        left?;
        Ok(match outcome {
            Ok(()) => AheadReport {
                prepared: true,
                reason: None,
                total_ms: watch.total_ms(),
                phases: watch.times(),
            },
            Err(reason) => idle(&watch, reason),
        })
    }

    /// The work itself; `Ok(Err(…))` says why there is none.
    async fn work_in(
        &self,
        slot: &Slot,
        watch: &mut Stopwatch<'_>,
    ) -> Result<Result<(), String>, Error> {
        let main = self.paths.main();
        let busy = Lock::holder(&main.lock()).map_err(Error::file("look at", &main.lock()))?;
        let in_use = busy.is_some() || main.run_record().try_exists().unwrap_or(true);
        if in_use {
            return Ok(Err(Idle::InUse.to_string()));
        }
        let prepare = async { Ok::<_, Error>(self.prepare().await?.spec) };
        let spec = watch.phase(Phase::Prepare, prepare).await?;
        let base = Base::of(&self.home, &self.name)?;
        let session = session::look(
            &main.session(),
            base.as_ref(),
            &spec.fingerprint,
            &spec.boot_id,
        );
        let found = Snapshot::current(&self.paths);
        let snapshot = match &found {
            Found::None => SnapshotOnDisk::None,
            Found::Damaged(damage) => SnapshotOnDisk::Damaged(damage.clone()),
            Found::Whole(snapshot) => match snapshot.mismatches(&spec.fingerprint) {
                none if none.is_empty() => SnapshotOnDisk::Ready,
                mismatches => SnapshotOnDisk::Mismatched(mismatches),
            },
        };
        let memory = u64::from(spec.fingerprint.ram_mib) << 20;
        let situation = Situation {
            setting: self.settings.ahead,
            no_rotation: self.settings.no_rotation,
            on_battery: host::power::on_battery(),
            in_use,
            session,
            snapshot,
            unused: self.ahead_history().unused,
            memory_free: host::memory::available(),
            memory_needed: memory,
            disk_free: self.home.free_bytes().ok(),
            disk_needed: stored_bytes(&main.session().disk()).saturating_add(memory),
        };
        let work = match policy::worth(&situation) {
            Ok(work) => work,
            Err(idle) => return Ok(Err(idle.to_string())),
        };
        let source = match work {
            Work::Session => {
                let saved: SavedRecord = record::read(&main.session().saved())?;
                let under = base.and_then(|base| base.snapshot);
                Source {
                    from: PreparedFrom::session(&saved),
                    backing: under
                        .map(|id| self.paths.snapshot(&id).disk())
                        .into_iter()
                        .chain([spec.image.path.clone()])
                        .collect(),
                    snapshot: None,
                }
            }
            Work::Snapshot => {
                let Found::Whole(snapshot) = found else {
                    return Ok(Err(Idle::NothingSaved.to_string()));
                };
                Source {
                    from: PreparedFrom::Snapshot {
                        id: snapshot.manifest.id.clone(),
                    },
                    backing: vec![snapshot.paths.disk(), spec.image.path.clone()],
                    snapshot: Some(*snapshot),
                }
            }
        };
        let place = slot.paths.session();
        if let prepared::PreparedOnDisk::Ready(_) =
            prepared::look(&place, &source.from, &spec.fingerprint, &spec.boot_id)
        {
            return Ok(Ok(()));
        }
        prepared::remove_used(&slot.paths).map_err(Error::file("remove", &slot.paths.used()))?;
        self.drop_prepared(watch.reporter()).await?;
        self.prepare_machine(slot, &spec, &source, watch).await?;
        Ok(Ok(()))
    }

    /// Copies, brings up, settles, saves.
    async fn prepare_machine(
        &self,
        slot: &Slot,
        spec: &MachineSpec,
        source: &Source,
        watch: &mut Stopwatch<'_>,
    ) -> Result<(), Error> {
        let unfinished = slot.paths.unfinished();
        make_private_folder(&slot.paths.logs())?;
        let copy = self.copy(&unfinished, spec, source);
        let origin = watch.phase(Phase::Copy, copy).await?;
        let config_iso = slot.paths.boot_config_iso();
        spec.config.write(&config_iso)?;
        let disk = Disk {
            path: unfinished.disk(),
            backing: source.backing.clone(),
        };
        // The guest is told the ports of its start, and answers on others meanwhile.
        let endpoints = on_free_ports(&spec.endpoints)?;
        let machine = spec.machine(disk, config_iso, &endpoints);
        let bring_up = BringUp {
            slot,
            settings: &self.settings,
            spec,
            endpoints: &endpoints,
            origin: &origin,
        };
        let vault = self.vault_ahead(slot)?;
        let record = slot.new_record(Purpose::Preparing)?;
        let secrets = Secrets::ReplaceAhead(&vault);
        let up = bring_up
            .bring_up(&machine, record, secrets, || Ok(()), watch)
            .await?;
        let rotated_to = vault.next().await;
        let saved = self.save_ahead(&bring_up, &up, &unfinished, watch);
        Box::pin(saved).await?;
        let commit = async {
            let sealed = |path: &Path| Sealed::of(path).map_err(Error::file("read", path));
            let disk = unfinished.disk();
            let prepared = PreparedRecord {
                from: source.from.clone(),
                // Without the values the machine is of no use, which its start finds.
                secrets: rotated_to.map_or_else(String::new, |set| set.mark()),
                fingerprint: spec.fingerprint.clone(),
                ram: sealed(&unfinished.prepared_ram())?,
                device_state: sealed(&unfinished.device_state())?,
                disk: FileStamp::of(&disk).map_err(Error::file("look at", &disk))?,
                boot_id: spec.boot_id.clone(),
                made_at_ms: now_ms(),
            };
            prepared::commit(&unfinished, &prepared)?;
            let place = slot.paths.session();
            std::fs::rename(unfinished.root(), place.root())
                .map_err(Error::file("move", unfinished.root()))
        };
        watch.phase(Phase::Commit, commit).await
    }

    /// Makes what the machine runs on, and says where its memory comes from.
    async fn copy(
        &self,
        into: &SessionPaths,
        spec: &MachineSpec,
        source: &Source,
    ) -> Result<Origin, Error> {
        make_private_folder(into.root())?;
        let from = self.paths.main().session();
        let ram = into.prepared_ram();
        let saved = if let Some(snapshot) = &source.snapshot {
            let base = SessionRecord {
                snapshot: Some(snapshot.manifest.id.clone()),
                image: spec.image_content().clone(),
                image_path: spec.image.path.clone(),
                created_at_ms: now_ms(),
            };
            session::begin(into, &base)?;
            qcow2::create_overlay(
                &into.disk(),
                &snapshot.paths.disk(),
                spec.image.virtual_bytes,
            )?;
            copied(&snapshot.paths.ram(), &ram).await?;
            Saved::DeviceState(snapshot.paths.device_state())
        } else {
            copied(&from.disk(), &into.disk()).await?;
            copied(&from.record(), &into.record()).await?;
            if from.folders().try_exists().unwrap_or(true) {
                copied(&from.folders(), &into.folders()).await?;
            }
            let file = File::options()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&ram)
                .map_err(Error::file("make", &ram))?;
            file.set_len(u64::from(spec.fingerprint.ram_mib) << 20)
                .map_err(Error::file("size", &ram))?;
            Saved::Session(from.ram())
        };
        Ok(Origin::Ahead { ram, from: saved })
    }

    /// Lets the machine settle and saves it beside its memory, which is in its file already.
    async fn save_ahead(
        &self,
        bring_up: &BringUp<'_>,
        up: &Up,
        into: &SessionPaths,
        watch: &mut Stopwatch<'_>,
    ) -> Result<(), Error> {
        let (running, endpoints): (_, &[Endpoint]) = (&up.running, bring_up.endpoints);
        let reporter = watch.reporter();
        let prober = Prober::new()?;
        let quiet = async {
            let (process, vcpus) = (&running.identity, bring_up.spec.fingerprint.vcpus);
            let settled = settle(&prober, endpoints, process, vcpus, SETTLE_LIMIT, || {});
            watch.phase(Phase::Settle, settled).await;
            let by_port = bring_up.spec.image.has_rotation_port();
            let sync = async {
                let mut guest =
                    guest::reach(&running.sockets, by_port, MONITOR_LIMIT, reporter).await?;
                guest.sync_disk(MIGRATION_LIMIT).await?;
                Ok::<_, MachineError>(guest)
            };
            watch.phase(Phase::Sync, sync).await
        };
        // Kept until QEMU has ended: who waits in the guest is saved in the middle of a conversation.
        let guest = bring_up.while_alive(running, Box::pin(quiet)).await?;
        let monitor = &running.monitor;
        let save = async {
            monitor
                .stop(MONITOR_LIMIT)
                .await
                .map_err(|source| MachineError::Monitor {
                    action: "stop the guest",
                    source,
                })?;
            let state = into.device_state();
            qemu::migration::capture_ignore_shared(monitor, &state, MIGRATION_LIMIT, |_| {})
                .await
                .map_err(|source| {
                    bring_up.slot.or_disk_full(MachineError::Migration {
                        action: "save",
                        source,
                    })
                })
        };
        watch.phase(Phase::Save, save).await?;
        let quit = qemu::stop::stop(Some(monitor), &running.identity, &QUIT);
        watch.phase(Phase::Quit, quit).await?;
        drop(guest);
        Ok(())
    }

    /// The place of the values in force and no other, so that commands find those where they were;
    /// the best one where there are none.
    fn vault_ahead(&self, slot: &Slot) -> Result<Vault, Error> {
        if let Some(vault) = self.recorded_vault()? {
            return Ok(vault);
        }
        let record = self.paths.secret_place();
        // That a keychain is not there was said by the start that found it; and the folder for a file
        // is that of the user's machine, since its start looks there.
        let folder = self.paths.main().runtime_folder()?;
        debug_assert_ne!(folder, slot.runtime_folder);
        let places: Vec<places::Candidate> = self.places(&folder);
        Ok(Vault::best(record, places)?)
    }
}

/// Bytes that a file takes, or none.
fn stored_bytes(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    path.metadata().map_or(0, |meta| meta.blocks() * 512)
}

/// [`copy_sparse`] in a thread that may block.
async fn copied(from: &Path, to: &Path) -> Result<(), Error> {
    let (source, target) = (from.to_owned(), to.to_owned());
    match tokio::task::spawn_blocking(move || copy_sparse(&source, &target)).await {
        Ok(done) => done.map_err(Error::file("copy", from)),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}
