//! `capture`: boot the image once, wait until it is warm and quiet, and keep
//! memory, devices and disk of that moment.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use host::now_ms;
use images::qcow2;
use qemu::{Disk, Ram};
use record::sync_folder;
use serde::Serialize;

use super::put_away::QUIT;
use super::recover::leave_nothing;
use super::{Emulator, LockedInstance};
use crate::config::paths::make_private_folder;
use crate::instance::error::InstanceError as Error;
use crate::machine::bring_up::{BringUp, Origin};
use crate::machine::error::MachineError;
use crate::machine::guest;
use crate::machine::patience;
use crate::machine::readiness::{Endpoint, Prober};
use crate::machine::run_record::Purpose;
use crate::machine::settle::{Settled, settle};
use crate::machine::spec::MachineSpec;
use crate::machine::{MIGRATION_LIMIT, MONITOR_LIMIT};
use crate::state::snapshot::{Found, Sealed, Snapshot, SnapshotManifest, new_id};
use crate::state::snapshot_info::SnapshotInfo;
use progress::{Deadline, Event, Phase, PhaseTime, Reporter, Stopwatch};

/// How long a guest may take to become quiet once it is healthy.
const SETTLE_LIMIT: Duration = Duration::from_secs(120);

/// What a capture reports.
#[derive(Clone, Debug, Serialize)]
pub struct CaptureReport {
    /// The new snapshot.
    pub snapshot: SnapshotInfo,
    /// From the call to the end, in milliseconds.
    pub total_ms: f64,
    /// From stopping the guest to the committed snapshot, in milliseconds.
    pub stop_to_committed_ms: f64,
    /// The phases, in order.
    pub phases: Vec<PhaseTime>,
}

impl Emulator {
    /// Takes a new snapshot of the image, in place of the present one.
    ///
    /// A kept session is not touched: it keeps the snapshot that it lies on.
    pub async fn capture(&self, reporter: &dyn Reporter) -> Result<CaptureReport, Error> {
        let held = self.hold("capture", reporter).await?;
        held.refuse_running("take a snapshot")?;
        let spec = held.prepare_anew().await?;
        held.capture_by_what_works(&spec, reporter).await
    }

    /// Takes a snapshot of the image in use, unless there is one that a start
    /// could use, or a VM runs.
    pub async fn capture_if_missing(
        &self,
        reporter: &dyn Reporter,
    ) -> Result<Option<CaptureReport>, Error> {
        let held = self.hold("capture", reporter).await?;
        held.capture_if_missing(reporter).await
    }
}

impl LockedInstance<'_> {
    /// See [`Emulator::capture_if_missing`].
    pub(crate) async fn capture_if_missing(
        &self,
        reporter: &dyn Reporter,
    ) -> Result<Option<CaptureReport>, Error> {
        if self.running.is_some() {
            return Ok(None);
        }
        let mut spec = self.prepare().await?;
        if self.leave_taken_ports(&spec.endpoints, reporter)? {
            spec = self.prepare().await?;
        }
        let image = &spec.fingerprint.image.sha256;
        if let Found::Whole(snapshot) = Snapshot::choose(&self.emulator.paths, image)?
            && snapshot.mismatches(&spec.fingerprint).is_empty()
        {
            return Ok(None);
        }
        reporter.report(Event::Notice(
            "The image is installed; booting it once to take a snapshot.",
        ));
        let report = self.capture_by_what_works(&spec, reporter).await?;
        Ok(Some(report))
    }

    /// [`Self::capture`], once more if the accelerator turns out not to work, or QEMU ended in the boot.
    async fn capture_by_what_works(
        &self,
        spec: &MachineSpec,
        reporter: &dyn Reporter,
    ) -> Result<CaptureReport, Error> {
        let error = match self.capture(spec, reporter).await {
            Ok((_, report)) => return Ok(report),
            Err(error) => error,
        };
        self.emulator
            .make_way_for_another_try(error, reporter)
            .await?;
        let spec = self.prepare_anew().await?;
        let (_, report) = Box::pin(self.capture(&spec, reporter)).await?;
        Ok(report)
    }

    /// Boots, waits, freezes, commits.
    pub(crate) async fn capture(
        &self,
        spec: &MachineSpec,
        reporter: &dyn Reporter,
    ) -> Result<(Snapshot, CaptureReport), Error> {
        let result = Box::pin(self.capture_in_folder(spec, reporter)).await;
        if result.is_err() {
            // What stands is removed; the snapshot before this one is untouched.
            leave_nothing(&self.slot).await?;
            self.emulator.remove_unfinished_capture()?;
        }
        result
    }

    async fn capture_in_folder(
        &self,
        spec: &MachineSpec,
        reporter: &dyn Reporter,
    ) -> Result<(Snapshot, CaptureReport), Error> {
        let paths = &self.emulator.paths;
        let mut watch = Stopwatch::new(reporter);
        // How long it may take is decided by how it gets on.
        reporter.report(Event::Limit(None));
        let patience = patience::Limits::new(self.emulator.settings.ready_timeout);
        self.emulator.remove_unfinished_capture()?;
        let folder = paths.capture_in_progress();
        make_private_folder(folder.root())?;
        qcow2::create_overlay(&folder.disk(), &spec.image.path, spec.image.virtual_bytes)?;
        spec.config.write(&folder.config_iso())?;
        // QEMU would make the file for itself, readable by others.
        let ram = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(folder.ram())
            .map_err(Error::file("make", &folder.ram()))?;
        ram.set_len(u64::from(spec.fingerprint.ram_mib) << 20)
            .map_err(Error::file("size", &folder.ram()))?;

        // The guest is told the real ports, and answers on others: a capture
        // needs none that somebody may have.
        let endpoints = on_free_ports(&spec.endpoints)?;
        let disk = Disk {
            path: folder.disk(),
            backing: vec![spec.image.path.clone()],
        };
        let machine = spec.machine(disk, folder.config_iso(), &endpoints);
        let bring_up = BringUp {
            slot: &self.slot,
            logs: &self.slot.paths,
            settings: &self.emulator.settings,
            spec,
            endpoints: &endpoints,
            origin: &Origin::Boot(Ram::SharedFile(folder.ram())),
            boots: AtomicBool::default(),
        };
        let record = self.slot.new_record(Purpose::Capturing)?;
        let (running, _) = bring_up.spawn(&machine, record, &mut watch).await?;
        let prober = Prober::new()?;
        let work = async {
            // Each resume sets the clock anew, so a rough one will do here.
            watch.set_deadline(Some(Deadline::within(patience.most())));
            let mut guest = {
                let paths = &self.slot.paths;
                let begun = std::time::Instant::now();
                let run_out =
                    patience::run_out(&running, paths, &endpoints, &patience, begun, reporter);
                let boot = Box::pin(async {
                    let (guest, _) = bring_up.wake(&running, &mut watch).await?;
                    let ready = prober.all_healthy(&endpoints, watch.left_or(patience.most()));
                    watch.phase(Phase::Ready, ready).await?;
                    Ok::<_, MachineError>(guest)
                });
                tokio::select! {
                    biased;
                    guest = boot => guest?,
                    stuck = Box::pin(run_out) => return Err(stuck),
                }
            };
            let cold_boot_ms = watch.total_ms();
            // Memory is written to the file while the guest settles, so that
            // little is left to write once it stands still. An error here
            // shows again at the sync that counts.
            let flush = || drop(ram.sync_data());
            let (process, vcpus) = (&running.identity, spec.fingerprint.vcpus);
            let settled = settle(&prober, &endpoints, process, vcpus, SETTLE_LIMIT, flush);
            if watch.phase(Phase::Settle, settled).await == Settled::StillBusy {
                reporter.report(Event::Warning(
                    "The virtual machine stayed busy while its snapshot was taken. The snapshot works, but starts \
                     from it may be slower.",
                ));
            }
            // What the guest holds back, it would write again after each resume.
            watch
                .phase(Phase::Sync, guest.sync_disk(MIGRATION_LIMIT))
                .await?;
            // The process on the rotation port is frozen in the middle of a
            // conversation: a resumed one then has nothing to catch up with.
            let resident = if spec.image.has_rotation_port() {
                Some(guest::reach(&running.sockets, true, MONITOR_LIMIT, reporter).await?)
            } else {
                None
            };
            Ok((cold_boot_ms, resident))
        };
        let (cold_boot_ms, resident) = bring_up.while_alive(&running, work).await?;

        let stopped_at = std::time::Instant::now();
        let failed = |action| move |source| MachineError::Monitor { action, source };
        let monitor = &running.monitor;
        let save = async {
            monitor
                .stop(MONITOR_LIMIT)
                .await
                .map_err(failed("stop the guest"))?;
            let state = folder.device_state();
            qemu::migration::capture_ignore_shared(monitor, &state, MIGRATION_LIMIT, |_| {})
                .await
                .map_err(|source| {
                    self.slot.or_disk_full(MachineError::Migration {
                        action: "capture",
                        source,
                    })
                })
        };
        watch.phase(Phase::Save, save).await?;
        let quit = qemu::stop::stop(Some(monitor), &running.identity, &QUIT);
        watch.phase(Phase::Quit, quit).await?;
        drop(resident);
        let commit = async {
            let manifest = seal(spec, cold_boot_ms, &folder)?;
            for path in [
                folder.ram(),
                folder.device_state(),
                folder.disk(),
                folder.config_iso(),
            ] {
                sync(&path).map_err(Error::file("sync", &path))?;
            }
            sync_folder(folder.root()).map_err(Error::file("sync", folder.root()))?;
            Ok::<_, Error>(Snapshot::commit(paths, &manifest)?)
        };
        let snapshot = watch.phase(Phase::Commit, commit).await?;
        let stop_to_committed_ms = progress::milliseconds(stopped_at.elapsed());
        self.slot.forget()?;
        self.emulator.tidy_snapshots()?;
        let report = CaptureReport {
            snapshot: SnapshotInfo::new(&snapshot),
            total_ms: watch.total_ms(),
            stop_to_committed_ms,
            phases: watch.times(),
        };
        Ok((snapshot, report))
    }
}

fn seal(
    spec: &MachineSpec,
    cold_boot_ms: f64,
    folder: &crate::config::paths::SnapshotPaths,
) -> Result<SnapshotManifest, Error> {
    let sealed = |path: &Path| Sealed::of(path).map_err(Error::file("read", path));
    Ok(SnapshotManifest {
        id: new_id().map_err(MachineError::Random)?,
        captured_at_ms: now_ms(),
        fingerprint: spec.fingerprint.clone(),
        virtual_bytes: spec.image.virtual_bytes,
        ram: sealed(&folder.ram())?,
        device_state: sealed(&folder.device_state())?,
        disk: sealed(&folder.disk())?,
        config_iso: sealed(&folder.config_iso())?,
        cold_boot_ms,
    })
}

fn sync(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}

/// The services on ports of the host that nobody else has.
pub(super) fn on_free_ports(endpoints: &[Endpoint]) -> Result<Vec<Endpoint>, Error> {
    endpoints
        .iter()
        .map(|endpoint| {
            let port = crate::machine::ports::any_free()
                .map_err(Error::file("find a free port on", Path::new("127.0.0.1")))?;
            Ok(Endpoint {
                port,
                ..endpoint.clone()
            })
        })
        .collect()
}
