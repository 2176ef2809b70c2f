//! The machine of the next start: made from copies, brought up, rotated, settled and saved.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use host::{FileStamp, now_ms};
use images::qcow2;
use progress::{Phase, Stopwatch};
use qemu::Disk;

use crate::config::paths::{SessionPaths, make_private_folder};
use crate::instance::Emulator;
use crate::instance::capture::on_free_ports;
use crate::instance::error::InstanceError as Error;
use crate::instance::put_away::QUIT;
use crate::machine::bring_up::{BringUp, Origin, Saved, Secrets, Up};
use crate::machine::error::MachineError;
use crate::machine::guest;
use crate::machine::readiness::{Endpoint, Prober};
use crate::machine::run_record::Purpose;
use crate::machine::settle::settle;
use crate::machine::slot::{Slot, check_disk};
use crate::machine::spec::MachineSpec;
use crate::machine::{MIGRATION_LIMIT, MONITOR_LIMIT};
use crate::state::prepared::{self, PreparedFrom, PreparedRecord, copy_sparse};
use crate::state::session::{self, SessionRecord};
use crate::state::snapshot::{Sealed, Snapshot};
use crate::vault::VaultError;
use crate::vault::places::Vault;

/// How long the guest may take to become idle: one that never is can be saved as it is.
const SETTLE_LIMIT: Duration = Duration::from_secs(60);

/// What the machine is made from, looked at before anything is copied.
pub(super) struct Source {
    pub from: PreparedFrom,
    /// Disks under its own, nearest first.
    pub backing: Vec<PathBuf>,
    pub snapshot: Option<Snapshot>,
}

impl Emulator {
    /// Copies, brings up, settles, saves.
    pub(super) async fn prepare_machine(
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
            logs: &slot.paths,
            settings: &self.settings,
            spec,
            endpoints: &endpoints,
            origin: &origin,
            boots: AtomicBool::default(),
        };
        let vault = self.vault_ahead()?;
        let record = slot.new_record(Purpose::Preparing)?;
        let secrets = Secrets::ReplaceAhead(&vault);
        let up = bring_up
            .bring_up(&machine, record, secrets, || Ok(()), watch)
            .await?;
        let Some(rotated_to) = vault.next().await else {
            return Err(VaultError::Gone.into());
        };
        let saved = self.save_ahead(&bring_up, &up, &unfinished, watch);
        Box::pin(saved).await?;
        let commit = async {
            let sealed = |path: &Path| Sealed::of(path).map_err(Error::file("read", path));
            let disk = unfinished.disk();
            let prepared = PreparedRecord {
                from: source.from.clone(),
                secrets: rotated_to.mark(),
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
            check_disk(&running.identity, &into.disk())?;
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
    pub(super) fn vault_ahead(&self) -> Result<Vault, Error> {
        if let Some(vault) = self.recorded_vault()? {
            return Ok(vault);
        }
        // That a keychain is not there was said by the start that found it; and the folder for a file
        // is that of the user's machine, since its start looks there.
        let folder = self.paths.main().runtime_folder()?;
        Ok(Vault::best(self.places(&folder)?)?)
    }
}

/// [`copy_sparse`] in a thread that may block.
async fn copied(from: &Path, to: &Path) -> Result<(), Error> {
    let (source, target) = (from.to_owned(), to.to_owned());
    match tokio::task::spawn_blocking(move || copy_sparse(&source, &target)).await {
        Ok(done) => done.map_err(Error::file("copy", from)),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}
