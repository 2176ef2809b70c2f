//! What is kept and what goes: pure functions over what is on disk.
//!
//! Five things take space: *images*, *snapshots* (of one instance and one
//! image each), *archives* (snapshots that were compressed), *checkpoints* and
//! *prepared starts*. What somebody needs now is never given up, whatever the
//! limit: an image that an instance has chosen or has a session on, a snapshot
//! that a session lies on, the snapshot that the next start of an instance would
//! resume, and any checkpoint with all that it lies on. Of the rest, prepared
//! starts go first, which cost some seconds of the next start, and then what was
//! not used for longest.

use std::collections::BTreeSet;

use images::Sha256Digest;
use serde::Serialize;

use crate::config::paths::{CheckpointName, InstanceName};

/// Milliseconds in a day.
pub const DAY_MS: u64 = 24 * 3600 * 1000;

/// What an item is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Item {
    /// The machine that was prepared for the next start.
    Prepared {
        /// Whose it is.
        instance: InstanceName,
    },
    /// A compressed snapshot.
    Archive {
        /// Whose it is.
        instance: InstanceName,
        /// The snapshot's identifier.
        snapshot: String,
    },
    /// A snapshot.
    Snapshot {
        /// Whose it is.
        instance: InstanceName,
        /// The snapshot's identifier.
        snapshot: String,
    },
    /// A checkpoint, which only its user deletes.
    Checkpoint {
        /// Whose it is.
        instance: InstanceName,
        /// Its name.
        checkpoint: CheckpointName,
    },
    /// An image; its snapshots and archives go with it.
    Image {
        /// Digest of the disk image.
        digest: Sha256Digest,
    },
}

/// Something that takes space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// What it is.
    pub item: Item,
    /// The image that it is, or is of.
    pub image: Sha256Digest,
    /// What it takes on disk, in bytes, without what lies on it.
    pub bytes: u64,
    /// When it was needed last, in milliseconds since the Unix epoch.
    pub last_needed_at_ms: u64,
    /// Somebody needs it now.
    pub needed: bool,
}

/// What should be removed to stay under a limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removals {
    /// In the order in which to remove them.
    pub items: Vec<Item>,
    /// Bytes by which the rest is still above the limit, because all of it is needed.
    pub over_bytes: u64,
}

/// Decides what to remove so that `holdings` take at most `limit` bytes.
///
/// An image can go only if nothing of it is needed, and takes what is left of
/// its snapshots and archives with it.
pub fn plan_removals(holdings: &[Holding], limit: u64) -> Removals {
    let mut total: u64 = holdings.iter().map(|holding| holding.bytes).sum();
    let needed: BTreeSet<_> = needed_images(holdings);
    let mut order: Vec<_> = holdings
        .iter()
        .filter(|holding| match holding.item {
            Item::Image { .. } => !needed.contains(&holding.image),
            Item::Checkpoint { .. } => false,
            Item::Snapshot { .. } | Item::Archive { .. } | Item::Prepared { .. } => !holding.needed,
        })
        .collect();
    order.sort_by_key(|holding| {
        let prepared = matches!(holding.item, Item::Prepared { .. });
        (!prepared, recency(holding, holdings), &holding.item)
    });
    let mut removals = Removals::default();
    let mut gone = BTreeSet::new();
    for holding in order {
        if total <= limit {
            break;
        }
        if gone.contains(&holding.image) {
            continue;
        }
        if let Item::Image { .. } = holding.item {
            gone.insert(holding.image);
            let left = holdings.iter().filter(|other| {
                other.image == holding.image && !removals.items.contains(&other.item)
            });
            total -= left.map(|other| other.bytes).sum::<u64>();
        } else {
            total -= holding.bytes;
        }
        removals.items.push(holding.item.clone());
    }
    removals.over_bytes = total.saturating_sub(limit);
    removals
}

/// Images that are needed, by themselves or for a snapshot of theirs.
fn needed_images(holdings: &[Holding]) -> BTreeSet<Sha256Digest> {
    let is_checkpoint = |holding: &&Holding| matches!(holding.item, Item::Checkpoint { .. });
    let needed = holdings
        .iter()
        .filter(|holding| holding.needed || is_checkpoint(holding));
    needed.map(|holding| holding.image).collect()
}

/// An image is as recent as what was needed last of it, so that it never goes
/// before its snapshots.
fn recency(holding: &Holding, holdings: &[Holding]) -> u64 {
    let own = holding.last_needed_at_ms;
    match holding.item {
        Item::Snapshot { .. }
        | Item::Archive { .. }
        | Item::Checkpoint { .. }
        | Item::Prepared { .. } => own,
        Item::Image { .. } => holdings
            .iter()
            .filter(|other| other.image == holding.image)
            .map(|other| other.last_needed_at_ms)
            .fold(own, u64::max),
    }
}

/// A snapshot of one instance, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub id: String,
    /// `None` if its manifest cannot be read: such a folder is no snapshot.
    pub image: Option<Sha256Digest>,
    pub captured_at_ms: u64,
}

/// Snapshots of one instance that are of no use any more.
///
/// Kept are the `current` one, those that a session or a checkpoint lies on, and for each
/// other image that is still `installed` the newest, which is there again when
/// the instance goes back to that image.
pub(crate) fn obsolete_snapshots<'a>(
    snapshots: &'a [Kept],
    current: Option<&str>,
    lain_on: &BTreeSet<String>,
    installed: &BTreeSet<Sha256Digest>,
) -> Vec<&'a str> {
    let current_image = snapshots
        .iter()
        .find(|snapshot| Some(snapshot.id.as_str()) == current)
        .and_then(|snapshot| snapshot.image);
    let newest = |image| {
        let of_image = snapshots.iter().filter(|other| other.image == Some(image));
        of_image.max_by_key(|other| (other.captured_at_ms, &other.id))
    };
    let keeps = |snapshot: &&Kept| {
        let id = Some(snapshot.id.as_str());
        let waits = snapshot.image.is_some_and(|image| {
            Some(image) != current_image
                && installed.contains(&image)
                && newest(image).is_some_and(|newest| newest.id == snapshot.id)
        });
        id == current || lain_on.contains(&snapshot.id) || waits
    };
    snapshots
        .iter()
        .filter(|snapshot| !keeps(snapshot))
        .map(|snapshot| snapshot.id.as_str())
        .collect()
}

/// Whether a snapshot that was last used at `last_used_at_ms` should be
/// compressed by now.
pub(crate) fn is_stale(last_used_at_ms: u64, now_ms: u64, after_days: u32) -> bool {
    now_ms.saturating_sub(last_used_at_ms) >= u64::from(after_days) * DAY_MS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digest(number: u8) -> Sha256Digest {
        Sha256Digest::of(&[number])
    }

    /// What may be of an image.
    #[derive(Clone, Copy, Debug)]
    enum Kind {
        Archive,
        Snapshot,
        Prepared,
        Checkpoint,
    }

    /// Up to four images with up to four snapshots, archives or prepared starts each.
    fn any_holdings() -> impl Strategy<Value = Vec<Holding>> {
        let part = (
            0u64..1000,
            0u64..1000,
            prop::bool::weighted(0.2),
            prop_oneof![
                3 => Just(Kind::Archive),
                3 => Just(Kind::Snapshot),
                3 => Just(Kind::Prepared),
                1 => Just(Kind::Checkpoint),
            ],
        );
        let image = (
            (0u64..1000, 0u64..1000, prop::bool::weighted(0.2)),
            prop::collection::vec(part, 0..4),
        );
        prop::collection::vec(image, 0..4).prop_map(|images| {
            let mut holdings = Vec::new();
            for (number, ((bytes, last_needed_at_ms, needed), parts)) in (0u8..).zip(images) {
                let image = digest(number);
                holdings.push(Holding {
                    item: Item::Image { digest: image },
                    image,
                    bytes,
                    last_needed_at_ms,
                    needed,
                });
                for (index, (bytes, last_needed_at_ms, needed, kind)) in
                    parts.into_iter().enumerate()
                {
                    let (instance, snapshot) =
                        (InstanceName::default(), format!("{number}-{index}"));
                    let item = match kind {
                        Kind::Archive => Item::Archive { instance, snapshot },
                        Kind::Snapshot => Item::Snapshot { instance, snapshot },
                        Kind::Prepared => Item::Prepared {
                            instance: format!("i-{snapshot}").parse().unwrap(),
                        },
                        Kind::Checkpoint => Item::Checkpoint {
                            instance,
                            checkpoint: format!("c-{snapshot}").parse().unwrap(),
                        },
                    };
                    holdings.push(Holding {
                        item,
                        image,
                        bytes,
                        last_needed_at_ms,
                        needed,
                    });
                }
            }
            holdings
        })
    }

    /// Holdings that are left, and the bytes that they take.
    fn left<'a>(holdings: &'a [Holding], removals: &Removals) -> (Vec<&'a Holding>, u64) {
        let stays = |holding: &&Holding| {
            !removals.items.contains(&holding.item)
                && !removals.items.contains(&Item::Image {
                    digest: holding.image,
                })
        };
        let left: Vec<_> = holdings.iter().filter(stays).collect();
        let bytes = left.iter().map(|holding| holding.bytes).sum();
        (left, bytes)
    }

    fn is_checkpoint(holding: &Holding) -> bool {
        matches!(holding.item, Item::Checkpoint { .. })
    }

    proptest! {
        #[test]
        fn a_checkpoint_stays_with_its_image(holdings in any_holdings(), limit in 0u64..5000) {
            let removals = plan_removals(&holdings, limit);
            for holding in holdings.iter().filter(|holding| is_checkpoint(holding)) {
                prop_assert!(!removals.items.contains(&holding.item));
                let item = Item::Image { digest: holding.image };
                prop_assert!(!removals.items.contains(&item));
            }
        }

        #[test]
        fn what_is_needed_stays_with_its_image(holdings in any_holdings(), limit in 0u64..5000) {
            let removals = plan_removals(&holdings, limit);
            for holding in holdings.iter().filter(|holding| holding.needed) {
                prop_assert!(!removals.items.contains(&holding.item));
                let item = Item::Image { digest: holding.image };
                prop_assert!(!removals.items.contains(&item));
            }
        }

        #[test]
        fn the_limit_holds_or_nothing_more_can_go(holdings in any_holdings(), limit in 0u64..5000) {
            let removals = plan_removals(&holdings, limit);
            let (left, bytes) = left(&holdings, &removals);
            prop_assert_eq!(removals.over_bytes, bytes.saturating_sub(limit));
            if bytes > limit {
                let needed = needed_images(&holdings);
                let stays = |holding: &&Holding| {
                    let image = matches!(holding.item, Item::Image { .. });
                    holding.needed || is_checkpoint(holding) || image && needed.contains(&holding.image)
                };
                prop_assert!(left.iter().all(stays));
            }
        }

        #[test]
        fn nothing_goes_that_need_not(holdings in any_holdings(), limit in 0u64..5000) {
            let removals = plan_removals(&holdings, limit);
            let mut without_last = removals.clone();
            if without_last.items.pop().is_some() {
                prop_assert!(left(&holdings, &without_last).1 > limit);
            }
        }

        #[test]
        fn prepared_starts_go_first_and_then_what_was_not_used_for_longest(holdings in any_holdings(), limit in 0u64..5000) {
            let removals = plan_removals(&holdings, limit);
            let when = |item: &Item| {
                let holding = holdings.iter().find(|holding| holding.item == *item).unwrap();
                let prepared = matches!(item, Item::Prepared { .. });
                (!prepared, recency(holding, &holdings))
            };
            prop_assert!(removals.items.is_sorted_by_key(when));
        }

        #[test]
        fn of_each_image_one_snapshot_is_kept(
            snapshots in prop::collection::vec((prop::option::weighted(0.9, 0u8..4), 0u64..5), 0..8),
            current in prop::option::of(0usize..8),
            lain_on in prop::collection::btree_set(0usize..8, 0..3),
            installed in prop::collection::btree_set(0u8..4, 0..4),
        ) {
            let snapshots: Vec<_> = snapshots.into_iter().enumerate().map(|(index, (image, captured_at_ms))| Kept {
                id: index.to_string(), image: image.map(digest), captured_at_ms,
            }).collect();
            let installed: BTreeSet<_> = installed.into_iter().map(digest).collect();
            let current = current.map(|index| index.to_string());
            let lain_on: BTreeSet<_> = lain_on.iter().map(ToString::to_string).collect();
            let gone = obsolete_snapshots(&snapshots, current.as_deref(), &lain_on, &installed);
            for id in current.iter().chain(&lain_on) {
                prop_assert!(!gone.contains(&id.as_str()));
            }
            let current_image = snapshots.iter().find(|s| Some(&s.id) == current.as_ref()).and_then(|s| s.image);
            for image in &installed {
                let of_image: Vec<_> = snapshots.iter().filter(|s| s.image == Some(*image)).collect();
                let kept = of_image.iter().filter(|s| !gone.contains(&s.id.as_str())).count();
                prop_assert_eq!(kept == 0, of_image.is_empty());
                let asked = of_image.iter().filter(|s| Some(&s.id) == current.as_ref() || lain_on.contains(&s.id)).count();
                prop_assert!(kept <= asked + usize::from(Some(*image) != current_image));
            }
        }
    }

    #[test]
    fn days_are_counted_in_full() {
        assert!(!is_stale(0, 14 * DAY_MS - 1, 14));
        assert!(is_stale(0, 14 * DAY_MS, 14));
        assert!(!is_stale(5, 0, 1), "a clock that was set back");
    }
}
