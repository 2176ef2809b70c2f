//! When work is done ahead, as a pure function.

use crate::config::preferences::Ahead;
use crate::state::session::SessionOnDisk;
use crate::state::snapshot::SnapshotOnDisk;

/// So many prepared machines in a row that no start took say that the next one is for nothing too.
pub(crate) const MOST_UNUSED: u32 = 3;
/// Memory in bytes that is left to others.
const SPARE_MEMORY: u64 = 512 << 20;
/// Room on the disk in bytes that is left to others.
const SPARE_DISK: u64 = 1 << 30;

/// What is known when work could begin.
#[derive(Clone, Debug)]
pub(crate) struct Situation {
    /// What the user wants.
    pub setting: Ahead,
    /// The placeholder secrets stay, so there is nothing to rotate.
    pub no_rotation: bool,
    /// This host runs on its battery.
    pub on_battery: bool,
    pub session: SessionOnDisk,
    pub snapshot: SnapshotOnDisk,
    /// Prepared machines in a row that no start took.
    pub unused: u32,
    /// Memory that the host can give, in bytes, if known.
    pub memory_free: Option<u64>,
    /// What the machine may take of it.
    pub memory_needed: u64,
    /// Room on the disk in bytes, if known.
    pub disk_free: Option<u64>,
    /// What the copies take of it.
    pub disk_needed: u64,
}

/// What is prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// The session that was kept goes on.
    Session,
    /// A new one begins, from the snapshot.
    Snapshot,
}

/// Why nothing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Idle {
    #[error("the setting `ahead` is off")]
    Off,
    #[error("the secrets are not rotated")]
    NoRotation,
    #[error("the emulator is in use")]
    InUse,
    #[error("this machine runs on its battery")]
    OnBattery,
    #[error("the last {MOST_UNUSED} were never used")]
    Unused,
    #[error("there is no saved state that the next start could load")]
    NothingSaved,
    #[error("too little memory is free")]
    Memory,
    #[error("too little room is left on the disk")]
    Disk,
}

/// What is worth preparing now.
pub(crate) fn worth(now: &Situation) -> Result<Work, Idle> {
    if now.setting == Ahead::Off {
        return Err(Idle::Off);
    }
    if now.no_rotation {
        return Err(Idle::NoRotation);
    }
    if now.on_battery {
        return Err(Idle::OnBattery);
    }
    if now.unused >= MOST_UNUSED {
        return Err(Idle::Unused);
    }
    let work = match (&now.session, &now.snapshot) {
        (SessionOnDisk::Saved { mismatches }, _) if mismatches.is_empty() => Work::Session,
        (SessionOnDisk::None, SnapshotOnDisk::Ready) => Work::Snapshot,
        _ => return Err(Idle::NothingSaved),
    };
    if !has_room(now.memory_free, now.memory_needed) {
        return Err(Idle::Memory);
    }
    let disk_needed = now.disk_needed.saturating_add(SPARE_DISK);
    if now.disk_free.is_some_and(|free| free < disk_needed) {
        return Err(Idle::Disk);
    }
    Ok(work)
}

/// Whether the machine that was prepared is also brought up, to stand by in memory.
pub(crate) fn stands_by(now: &Situation) -> bool {
    now.setting == Ahead::Memory && has_room(now.memory_free, now.memory_needed)
}

/// Whether a machine that may take `needed` bytes of memory leaves enough of what is `free`, if that is
/// known.
pub(crate) fn has_room(free: Option<u64>, needed: u64) -> bool {
    free.is_none_or(|free| free >= needed.saturating_add(SPARE_MEMORY))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::fingerprint::Mismatch;
    use proptest::prelude::*;

    fn any_session() -> impl Strategy<Value = SessionOnDisk> {
        let mismatch = Mismatch {
            what: "QEMU".into(),
            saved: "9.0.0".into(),
            now: "10.0.2".into(),
        };
        prop_oneof![
            Just(SessionOnDisk::None),
            Just(SessionOnDisk::Disk),
            Just(SessionOnDisk::Saved { mismatches: vec![] }),
            Just(SessionOnDisk::Saved {
                mismatches: vec![mismatch]
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
            Just(SnapshotOnDisk::Damaged("short".into())),
        ]
    }

    fn any_situation() -> impl Strategy<Value = Situation> {
        let setting = prop_oneof![Just(Ahead::Off), Just(Ahead::Disk), Just(Ahead::Memory)];
        let flags = (setting, any::<bool>(), any::<bool>());
        let room = (
            any::<Option<u64>>(),
            any::<u64>(),
            any::<Option<u64>>(),
            any::<u64>(),
        );
        (any_session(), any_snapshot(), 0..5u32, flags, room).prop_map(
            |(session, snapshot, unused, (setting, no_rotation, on_battery), room)| Situation {
                setting,
                no_rotation,
                on_battery,
                session,
                snapshot,
                unused,
                memory_free: room.0,
                memory_needed: room.1,
                disk_free: room.2,
                disk_needed: room.3,
            },
        )
    }

    proptest! {
        #[test]
        fn work_is_done_only_where_nobody_minds(now in any_situation()) {
            if worth(&now).is_ok() {
                prop_assert!(now.setting != Ahead::Off && !now.no_rotation);
                prop_assert!(!now.on_battery && now.unused < MOST_UNUSED);
                for (free, needed) in [
                    (now.memory_free, now.memory_needed),
                    (now.disk_free, now.disk_needed),
                ] {
                    prop_assert!(free.is_none_or(|free| free >= needed));
                }
            }
        }

        #[test]
        fn a_machine_stands_by_only_where_that_was_asked_for_and_there_is_room(
            now in any_situation(),
        ) {
            if stands_by(&now) {
                prop_assert_eq!(now.setting, Ahead::Memory);
                prop_assert!(now.memory_free.is_none_or(|free| free >= now.memory_needed));
            }
        }

        #[test]
        fn what_is_prepared_is_what_the_next_start_would_begin_from(now in any_situation()) {
            match worth(&now) {
                Ok(Work::Session) => {
                    prop_assert_eq!(now.session, SessionOnDisk::Saved { mismatches: vec![] });
                }
                Ok(Work::Snapshot) => {
                    prop_assert_eq!(now.session, SessionOnDisk::None);
                    prop_assert_eq!(now.snapshot, SnapshotOnDisk::Ready);
                }
                Err(_) => {}
            }
        }
    }
}
