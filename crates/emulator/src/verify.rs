//! `verify`: read saved state in full and compare it with what was saved.

use serde::Serialize;

use crate::error::Error;
use crate::instance::Emulator;
use crate::progress::{Phase, Reporter, Stopwatch};
use crate::record;
use crate::session::SavedRecord;
use crate::snapshot::{Found, Snapshot, is_id};

/// What a verification reports.
#[derive(Clone, Debug, Serialize)]
pub struct VerifyReport {
    /// The snapshot that was read.
    pub snapshot: String,
    /// Whether a saved session was read as well.
    pub session: bool,
    /// Milliseconds.
    pub total_ms: f64,
}

impl Emulator {
    /// Reads the snapshot, and the saved session if there is one, in full.
    ///
    /// Takes about a second per GiB that is stored. A damaged snapshot or
    /// session is the error [`Error::SnapshotDamaged`].
    pub async fn verify(&self, reporter: &dyn Reporter) -> Result<VerifyReport, Error> {
        let _held = self.hold("verify", reporter).await?;
        let mut watch = Stopwatch::new(reporter);
        let paths = self.paths.clone();
        let work = async {
            // Hashing is work for a thread that may block.
            let checked = tokio::task::spawn_blocking(move || check(&paths)).await;
            match checked {
                Ok(checked) => checked,
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
        };
        let (snapshot, session) = watch.phase(Phase::Verify, work).await?;
        Ok(VerifyReport {
            snapshot,
            session,
            total_ms: watch.total_ms(),
        })
    }
}

fn check(paths: &crate::paths::InstancePaths) -> Result<(String, bool), Error> {
    let damaged = |damage| Error::SnapshotDamaged { damage };
    let snapshot = match Snapshot::current(paths) {
        Found::None => return Err(Error::NoSnapshot),
        Found::Damaged(damage) => return Err(damaged(damage)),
        Found::Whole(snapshot) => snapshot,
    };
    debug_assert!(is_id(&snapshot.manifest.id));
    if let Some(damage) = snapshot.damage(true) {
        return Err(damaged(damage));
    }
    let session = paths.session();
    let saved: Option<SavedRecord> = record::read_optional(&session.saved())?;
    if let Some(saved) = &saved
        && let Some(damage) = saved.ram.damage(&session.ram(), true)
    {
        return Err(damaged(format!("the saved session: {damage}")));
    }
    Ok((snapshot.manifest.id, saved.is_some()))
}
