//! `verify`: read saved state in full and compare it with what was saved.
//!
//! A start takes a file at its word if its size, time and inode are those noted
//! with its digest, and reads it before use if one of them differs. What that
//! cannot see, a flipped bit, is found here: when a user asks, and by itself
//! whenever saved state was loaded and did not become a ready machine. Either
//! way it is written down, so that `status` shows it and no start tries again.

use host::IdentityError;
use serde::Serialize;

use crate::config::paths::{CheckpointName, InstancePaths, SlotName};
use crate::instance::Emulator;
use crate::instance::error::InstanceError as Error;
use crate::state::checkpoint::Checkpoint;
use crate::state::error::StateError;
use crate::state::session::SavedRecord;
use crate::state::snapshot::{Found, KnownDamage, Snapshot};
use progress::{Phase, Reporter, Stopwatch};

/// What a verification reports.
#[derive(Clone, Debug, Serialize)]
pub struct VerifyReport {
    /// The snapshot that was read.
    pub snapshot: String,
    /// Whether a saved session was read as well.
    pub session: bool,
    /// The checkpoints that were read.
    pub checkpoints: Vec<CheckpointName>,
    /// Milliseconds.
    pub total_ms: f64,
}

impl Emulator {
    /// Reads the snapshot in full, and the saved session and the checkpoints, if there are any.
    ///
    /// Takes about a second per GiB that is stored. What is found is noted, and
    /// taken back by a later verification that finds nothing.
    ///
    /// # Errors
    ///
    /// [`StateError::SnapshotDamaged`], [`StateError::SessionDamaged`] and
    /// [`Error::CheckpointDamaged`].
    pub async fn verify(&self, reporter: &dyn Reporter) -> Result<VerifyReport, Error> {
        let _held = self.hold("verify", reporter).await?;
        let mut watch = Stopwatch::new(reporter);
        let paths = self.paths.clone();
        let work = in_a_thread(move || check(&paths));
        let (snapshot, session, checkpoints) = watch.phase(Phase::Verify, work).await?;
        Ok(VerifyReport {
            snapshot,
            session,
            checkpoints,
            total_ms: watch.total_ms(),
        })
    }
}

fn check(paths: &InstancePaths) -> Result<(String, bool, Vec<CheckpointName>), Error> {
    let snapshot = match Snapshot::named(paths) {
        Found::None => return Err(StateError::NoSnapshot.into()),
        Found::Damaged(damage) => return Err(StateError::SnapshotDamaged { damage }.into()),
        Found::Whole(snapshot) => snapshot,
    };
    if let Some(damage) = snapshot.examine()? {
        return Err(StateError::SnapshotDamaged { damage }.into());
    }
    let mut session_saved = false;
    for slot in SlotName::ALL {
        let session = paths.slot(slot).session();
        let saved: Option<SavedRecord> = record::read_optional(&session.saved())?;
        let Some(saved) = saved else { continue };
        let damage = saved.damage(&session, true);
        KnownDamage::note(&session.known_damage(), damage.as_deref())?;
        if let Some(damage) = damage {
            return Err(StateError::SessionDamaged { damage }.into());
        }
        session_saved |= slot == SlotName::Main;
    }
    let names = Checkpoint::names(paths).map_err(Error::file("list", &paths.checkpoints()))?;
    let boot_id = host::boot_id().map_err(IdentityError::BootId)?;
    for name in &names {
        if let Some(damage) = Checkpoint::open(paths, name)?.examine(&boot_id)? {
            return Err(Error::CheckpointDamaged {
                checkpoint: name.clone(),
                damage,
            });
        }
    }
    Ok((snapshot.manifest.id, session_saved, names))
}

/// What a start that failed was made from.
#[derive(Clone, Debug)]
pub(crate) struct Suspects {
    /// The snapshot that was resumed, or that the session's disk lies on.
    pub snapshot: Option<String>,
    /// The session's memory that was loaded.
    pub saved: Option<SavedRecord>,
    /// The checkpoint that this session was made from.
    pub checkpoint: Option<CheckpointName>,
}

impl Suspects {
    pub(crate) fn are_none(&self) -> bool {
        self.snapshot.is_none() && self.saved.is_none()
    }

    /// Reads them in full: tells damage from bad luck.
    pub(crate) async fn damage(self, paths: &InstancePaths) -> Result<Option<String>, Error> {
        let paths = paths.clone();
        in_a_thread(move || {
            let session = paths.main().session();
            let saved = self.saved.as_ref();
            if let Some(damage) = saved.and_then(|saved| saved.damage(&session, true)) {
                let whose = match &self.checkpoint {
                    // Of use for nothing any more, so nothing is noted.
                    None => "saved session".to_owned(),
                    Some(name) => {
                        let note = paths.checkpoint(name).known_damage();
                        KnownDamage::note(&note, Some(&damage))?;
                        format!("checkpoint {name}")
                    }
                };
                return Ok(Some(format!("the {whose} is damaged: {damage}")));
            }
            let Some(id) = &self.snapshot else {
                return Ok(None);
            };
            let damage = Snapshot::open(&paths, id)?.examine()?;
            Ok(damage.map(|damage| format!("the snapshot is damaged: {damage}")))
        })
        .await
    }
}

/// Hashing is work for a thread that may block.
async fn in_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}
