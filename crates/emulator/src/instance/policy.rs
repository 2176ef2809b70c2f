//! Lifecycle policy, as pure functions.
//!
//! ```text
//!             start                      stop
//!  Stopped ───────────► Running ──────────────────► Stopped (session saved)
//!     ▲                    │  QEMU dies
//!     │ recover            ▼
//!  Interrupted ◄──── (a command was killed in its middle)
//! ```
//!
//! Recovery comes before policy: by the time an operation decides, whatever a
//! killed command left behind has been finished or undone, and the instance is
//! stopped or running. What a start does is then decided by [`plan_start`] from
//! what lies on disk.

use crate::machine::fingerprint::Mismatch;
use crate::state::session::SessionOnDisk;
use crate::state::snapshot::SnapshotOnDisk;

/// What the user asked for by environment or flag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StartWishes {
    /// Boot cold, whatever is saved.
    pub no_snapshot: bool,
    /// Capture anew first.
    pub force_capture: bool,
}

/// How a start goes about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StartPlan {
    /// Load the session's memory and go on.
    Continue,
    /// Boot the session's disk; its data is kept.
    ColdSession {
        /// Why not by memory.
        reason: String,
    },
    /// Resume the snapshot on a fresh disk.
    Resume,
    /// Take a snapshot, then resume it.
    CaptureThenResume {
        /// Why a new one; `None` for the first.
        reason: Option<String>,
    },
    /// Boot a fresh disk from the image.
    ColdFresh {
        /// Why not by snapshot.
        reason: String,
    },
}

/// Decides how to start.
///
/// A session goes before a snapshot: it holds the user's data. A snapshot that
/// does not fit is taken again; one that is damaged is not trusted and not
/// replaced unasked: the start boots cold, which always works, and says so.
pub(crate) fn plan_start(
    session: &SessionOnDisk,
    snapshot: &SnapshotOnDisk,
    wishes: StartWishes,
) -> StartPlan {
    let by_request = || "EMULATOR_NO_SNAPSHOT is set".to_owned();
    match session {
        SessionOnDisk::Disk => {
            let reason = "the last session ended without being saved; its disk is kept".to_owned();
            return StartPlan::ColdSession { reason };
        }
        SessionOnDisk::Saved { .. } | SessionOnDisk::SavedDamaged { .. } if wishes.no_snapshot => {
            return StartPlan::ColdSession {
                reason: by_request(),
            };
        }
        SessionOnDisk::Saved { mismatches } if mismatches.is_empty() => return StartPlan::Continue,
        SessionOnDisk::Saved { mismatches } => {
            let reason = format!(
                "the saved session cannot be resumed here: {}",
                list(mismatches)
            );
            return StartPlan::ColdSession { reason };
        }
        SessionOnDisk::SavedDamaged { damage } => {
            let reason = format!("the saved session's memory cannot be used: {damage}");
            return StartPlan::ColdSession { reason };
        }
        SessionOnDisk::None => {}
    }
    if wishes.no_snapshot {
        return StartPlan::ColdFresh {
            reason: by_request(),
        };
    }
    if wishes.force_capture {
        return StartPlan::CaptureThenResume {
            reason: Some("EMULATOR_FORCE_CAPTURE is set".to_owned()),
        };
    }
    match snapshot {
        SnapshotOnDisk::None => StartPlan::CaptureThenResume { reason: None },
        SnapshotOnDisk::Ready => StartPlan::Resume,
        SnapshotOnDisk::Mismatched(mismatches) => StartPlan::CaptureThenResume {
            reason: Some(format!("the snapshot no longer fits: {}", list(mismatches))),
        },
        SnapshotOnDisk::Damaged(damage) => StartPlan::ColdFresh {
            reason: format!("the snapshot cannot be used: {damage}"),
        },
    }
}

/// What differs, in words.
pub(crate) fn list(mismatches: &[Mismatch]) -> String {
    mismatches
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mismatch() -> Mismatch {
        Mismatch {
            what: "QEMU".into(),
            saved: "9.0.0".into(),
            now: "10.0.2".into(),
        }
    }

    fn any_session() -> impl Strategy<Value = SessionOnDisk> {
        prop_oneof![
            Just(SessionOnDisk::None),
            Just(SessionOnDisk::Disk),
            Just(SessionOnDisk::Saved { mismatches: vec![] }),
            Just(SessionOnDisk::Saved {
                mismatches: vec![mismatch()]
            }),
            Just(SessionOnDisk::SavedDamaged {
                damage: "short".into()
            }),
        ]
    }

    fn any_snapshot() -> impl Strategy<Value = SnapshotOnDisk> {
        prop_oneof![
            Just(SnapshotOnDisk::None),
            Just(SnapshotOnDisk::Ready),
            Just(SnapshotOnDisk::Mismatched(vec![mismatch()])),
            Just(SnapshotOnDisk::Damaged("short".into())),
        ]
    }

    fn any_wishes() -> impl Strategy<Value = StartWishes> {
        (any::<bool>(), any::<bool>()).prop_map(|(no_snapshot, force_capture)| StartWishes {
            no_snapshot,
            force_capture,
        })
    }

    proptest! {
        #[test]
        fn a_session_s_data_is_never_passed_over(
            session in any_session(), snapshot in any_snapshot(), wishes in any_wishes(),
        ) {
            let plan = plan_start(&session, &snapshot, wishes);
            let keeps = matches!(plan, StartPlan::Continue | StartPlan::ColdSession { .. });
            prop_assert_eq!(keeps, session != SessionOnDisk::None);
        }

        #[test]
        fn saved_state_is_loaded_only_where_it_fits(
            session in any_session(), snapshot in any_snapshot(), wishes in any_wishes(),
        ) {
            match plan_start(&session, &snapshot, wishes) {
                StartPlan::Continue => {
                    prop_assert_eq!(session, SessionOnDisk::Saved { mismatches: vec![] });
                    prop_assert!(!wishes.no_snapshot);
                }
                StartPlan::Resume => {
                    prop_assert_eq!(snapshot, SnapshotOnDisk::Ready);
                    prop_assert!(!wishes.no_snapshot && !wishes.force_capture);
                }
                StartPlan::ColdSession { reason } | StartPlan::ColdFresh { reason } => {
                    prop_assert!(!reason.is_empty(), "a cold boot says why");
                }
                StartPlan::CaptureThenResume { .. } => prop_assert!(!wishes.no_snapshot),
            }
        }
    }

    #[test]
    fn the_reason_names_what_differs() {
        let snapshot = SnapshotOnDisk::Mismatched(vec![mismatch()]);
        let plan = plan_start(&SessionOnDisk::None, &snapshot, StartWishes::default());
        let StartPlan::CaptureThenResume {
            reason: Some(reason),
        } = plan
        else {
            panic!("{plan:?}")
        };
        assert!(
            reason.contains("QEMU was 9.0.0 and is now 10.0.2"),
            "{reason}"
        );
    }
}
