//! What a start begins from: decided by what lies on disk, before anything runs.

use std::path::PathBuf;

use qemu::{ProcessIdentity, Ram};
use secrets::SecretSet;

use crate::config::paths::CheckpointName;
use crate::instance::LockedInstance;
use crate::instance::error::InstanceError as Error;
use crate::instance::policy::{self, StartPlan, StartWishes};
use crate::machine::bring_up::Origin;
use crate::machine::run_record::{RunRecord, StartKind};
use crate::machine::spec::MachineSpec;
use crate::state::error::StateError;
use crate::state::session::{self, Base, SavedRecord, SessionOnDisk};
use crate::state::snapshot::{Found, Snapshot, SnapshotOnDisk};
use progress::{Event, Reporter, Stopwatch};

/// Secrets in force that a guest keeps.
pub(in crate::instance) struct KeptSecrets {
    pub set: SecretSet,
    /// When the start was that made them, in milliseconds since the Unix epoch.
    pub made_at_ms: u64,
}

/// What a start makes its session from.
pub(in crate::instance) struct StartSource {
    pub origin: Origin,
    pub snapshot: Option<String>,
    pub config_iso: PathBuf,
    /// Make a new disk; otherwise the session's own is used.
    pub fresh_disk: bool,
    pub kind: StartKind,
    pub reason: Option<String>,
    /// The snapshot in use is one that no start can use any more.
    pub snapshot_damaged: bool,
    /// What the session's memory was when it was saved, if that is loaded.
    pub saved: Option<SavedRecord>,
    /// The machine itself, if it stands by in memory.
    pub standby: Option<(RunRecord, ProcessIdentity)>,
    /// The values that the guest has got ahead, if it was prepared.
    pub taken: Option<SecretSet>,
    /// The values that the guest keeps, if they are in force already.
    pub kept: Option<KeptSecrets>,
    /// The checkpoint that is restored.
    pub checkpoint: Option<CheckpointName>,
}

impl StartSource {
    /// The snapshot whose memory is loaded as it was captured.
    pub(super) fn fresh_snapshot(&self) -> Option<&str> {
        match &self.origin {
            // A prepared machine has memory of its own, and so has a session that was a checkpoint.
            Origin::Snapshot { .. } if self.taken.is_some() || self.saved.is_some() => None,
            Origin::Snapshot { .. } => self.snapshot.as_deref(),
            Origin::Session { .. } | Origin::Boot(_) | Origin::Ahead { .. } => None,
        }
    }
}

/// Decides what to start from; takes a snapshot if one is needed.
pub(super) async fn plan<'a>(
    held: &LockedInstance<'_>,
    spec: &MachineSpec,
    base: Option<&Base>,
    mut watch: Stopwatch<'a>,
) -> Result<(StartSource, Stopwatch<'a>), Error> {
    let emulator = held.emulator;
    let session = held.slot.paths.session();
    let on_disk = session::look(&session, base, &spec.fingerprint, &spec.boot_id);
    let lost = match base {
        Some(_) => None,
        None => session::lost_disk(&session),
    };
    if let Some(lost) = &lost {
        let text = format!("What was done in the last session is lost: {lost}.");
        watch.reporter().report(Event::Warning(&text));
    }
    let image = spec.image_content().sha256;
    let mut found = Snapshot::choose(&emulator.paths, &image)?;
    let wishes = StartWishes {
        no_snapshot: emulator.settings.no_snapshot,
        force_capture: emulator.settings.force_capture,
    };
    let wanted = on_disk == SessionOnDisk::None && !wishes.no_snapshot && !wishes.force_capture;
    if wanted
        && matches!(found, Found::None)
        && let Some(snapshot) = held.unpack_compressed(spec, watch.reporter()).await?
    {
        found = Found::Whole(Box::new(snapshot));
    }
    let snapshot_on_disk = match &found {
        Found::None => SnapshotOnDisk::None,
        Found::Damaged(damage) => SnapshotOnDisk::Damaged(damage.clone()),
        Found::Whole(snapshot) => {
            let mismatches = snapshot.mismatches(&spec.fingerprint);
            if mismatches.is_empty() {
                SnapshotOnDisk::Ready
            } else {
                SnapshotOnDisk::Mismatched(mismatches)
            }
        }
    };
    let damaged = matches!(snapshot_on_disk, SnapshotOnDisk::Damaged(_));
    let plan = policy::plan_start(&on_disk, &snapshot_on_disk, wishes);
    tracing::debug!(?plan, "planned the start");
    let mut source = match (plan, found) {
        (StartPlan::Continue, _) => continue_session(held, spec)?,
        (StartPlan::ColdSession { reason }, _) => cold_session(held, spec, reason)?,
        (StartPlan::ColdFresh { reason }, _) => cold_fresh(held, spec, reason)?,
        (StartPlan::Resume, Found::Whole(mut snapshot)) => {
            snapshot.restamp()?;
            snapshot.touch()?;
            resume(&snapshot)
        }
        // Planned from `found` just above, so it is whole; taking a new one is
        // right in any case.
        (StartPlan::Resume, Found::None | Found::Damaged(_)) => {
            capture_first(held, spec, None, watch.reporter()).await?
        }
        (StartPlan::CaptureThenResume { reason }, _) => {
            let source = capture_first(held, spec, reason, watch.reporter()).await?;
            // The start proper begins now.
            watch = Stopwatch::within(watch.reporter(), emulator.settings.ready_timeout);
            source
        }
    };
    source.reason = source.reason.or(lost);
    source.snapshot_damaged = damaged;
    Ok((source, watch))
}

async fn capture_first(
    held: &LockedInstance<'_>,
    spec: &MachineSpec,
    reason: Option<String>,
    reporter: &dyn Reporter,
) -> Result<StartSource, Error> {
    let why = reason
        .as_deref()
        .unwrap_or("this is the first start of this image");
    reporter.report(Event::Notice(&format!("Taking a snapshot first: {why}.")));
    let (snapshot, _) = held.capture(spec, reporter).await?;
    Ok(resume(&snapshot))
}

fn resume(snapshot: &Snapshot) -> StartSource {
    StartSource {
        origin: Origin::Snapshot {
            ram: snapshot.paths.ram(),
            device_state: snapshot.paths.device_state(),
        },
        snapshot: Some(snapshot.manifest.id.clone()),
        config_iso: snapshot.paths.config_iso(),
        fresh_disk: true,
        kind: StartKind::Resumed,
        reason: None,
        snapshot_damaged: false,
        saved: None,
        standby: None,
        taken: None,
        kept: None,
        checkpoint: None,
    }
}

/// What the session's disk lies on, written down again if that record was lost.
fn session_base(held: &LockedInstance<'_>, spec: &MachineSpec) -> Result<Base, Error> {
    let emulator = held.emulator;
    let Some(base) = Base::of(&emulator.home, &emulator.name)? else {
        let session = held.slot.paths.session();
        return Err(StateError::SessionBase {
            problem: format!("{} is gone", session.disk().display()),
        }
        .into());
    };
    if !base.recorded {
        tracing::warn!(doubt = ?base.doubt, "the session's record is written anew");
        let record = base.to_record(&spec.image.path, spec.image_content());
        session::begin(&held.slot.paths.session(), &record)?;
    }
    Ok(base)
}

pub(in crate::instance) fn continue_session(
    held: &LockedInstance<'_>,
    spec: &MachineSpec,
) -> Result<StartSource, Error> {
    let base = session_base(held, spec)?;
    let session = held.slot.paths.session();
    let saved: SavedRecord = record::read(&session.saved())?;
    let origin = if saved.is_mapped() {
        Origin::Snapshot {
            ram: session.prepared_ram(),
            device_state: session.device_state(),
        }
    } else {
        Origin::Session { ram: session.ram() }
    };
    Ok(StartSource {
        origin,
        saved: Some(saved),
        config_iso: write_config(held, spec)?,
        snapshot: base.snapshot,
        fresh_disk: false,
        kind: StartKind::Continued,
        reason: None,
        snapshot_damaged: false,
        standby: None,
        taken: None,
        kept: None,
        checkpoint: None,
    })
}

pub(in crate::instance) fn cold_session(
    held: &LockedInstance<'_>,
    spec: &MachineSpec,
    reason: String,
) -> Result<StartSource, Error> {
    let base = session_base(held, spec)?;
    Ok(StartSource {
        origin: Origin::Boot(Ram::Private),
        snapshot: base.snapshot,
        config_iso: write_config(held, spec)?,
        fresh_disk: false,
        kind: StartKind::Cold,
        reason: Some(reason),
        snapshot_damaged: false,
        saved: None,
        standby: None,
        taken: None,
        kept: None,
        checkpoint: None,
    })
}

pub(super) fn cold_fresh(
    held: &LockedInstance<'_>,
    spec: &MachineSpec,
    reason: String,
) -> Result<StartSource, Error> {
    Ok(StartSource {
        origin: Origin::Boot(Ram::Private),
        snapshot: None,
        config_iso: write_config(held, spec)?,
        fresh_disk: true,
        kind: StartKind::Cold,
        reason: Some(reason),
        snapshot_damaged: false,
        saved: None,
        standby: None,
        taken: None,
        kept: None,
        checkpoint: None,
    })
}

pub(in crate::instance) fn write_config(
    held: &LockedInstance<'_>,
    spec: &MachineSpec,
) -> Result<PathBuf, Error> {
    let path = held.slot.paths.boot_config_iso();
    spec.config.write(&path)?;
    Ok(path)
}

impl LockedInstance<'_> {
    /// [`Self::prepare`], with what the session's disk lies on, which is checked
    /// to be there and unchanged before the image that was found is remembered.
    pub(super) async fn prepare_with_session(&self) -> Result<(MachineSpec, Option<Base>), Error> {
        let emulator = self.emulator;
        emulator.claim_ports()?;
        let prepared = emulator.prepare().await?;
        let base = Base::of(&emulator.home, &emulator.name)?;
        if let Some(base) = &base {
            session::check_disk(&self.slot.paths.session().disk())?;
            let (path, content) = (&prepared.spec.image.path, prepared.spec.image_content());
            base.check(&emulator.paths, path, content, emulator.image.is_some())?;
        }
        self.remember(&prepared)?;
        Ok((prepared.spec, base))
    }
}
