//! Making room: `images prune`, and what a pull tidies up by the settings.
//!
//! In this order, each only as far as it is asked for:
//!
//! 1. what interrupted pulls have left;
//! 2. images that nobody uses: those that no name stands for any more, or all;
//! 3. snapshots that are superseded;
//! 4. snapshots that were not used for long are compressed;
//! 5. prepared starts go, and then what was used least recently, until the rest is below the limit.
//!
//! [`crate::state::retention`] decides; here it is carried out, with the locks of all
//! instances. A command asks for them and waits. Tidying up on the side takes
//! what it can have at once, and leaves everything of a busy instance alone; no
//! image goes then, because the busy one may be about to choose it.

use images::Sha256Digest;
use images::store::Store;
use serde::Serialize;

use crate::config::paths::InstanceName;
use crate::config::preferences::Preferences;
use crate::instance::error::InstanceError as Error;
use crate::instance::tidy::remove_snapshot;
use crate::instance::{Emulator, LockedInstance};
use crate::library::installed::{
    ImageSnapshot, ImageUse, Ties, checkpoints_of, remove_snapshots, snapshots_of,
};
use crate::state::prepared;
use crate::state::retention::{Holding, Item, is_stale, plan_removals};
use crate::state::snapshot::Snapshot;
use host::now_ms;
use images::PullError;
use progress::{Event, Phase, Reporter, Stopwatch, milliseconds};

/// What to prune.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PruneRequest {
    /// All images that nobody uses, also those that a name stands for.
    pub all: bool,
    /// Most that may be left, in bytes on disk; as the settings have it if `None`.
    pub limit_bytes: Option<u64>,
    /// Compress snapshots that were not used for so many days, 0 for all that
    /// nobody needs now; as the settings have it if `None`.
    pub archive_after_days: Option<u32>,
}

/// What was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// What it was.
    #[serde(flatten)]
    pub item: Item,
    /// What that freed, in bytes on disk.
    pub freed_bytes: u64,
}

/// A snapshot that was compressed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Archived {
    /// Whose it is.
    pub instance: InstanceName,
    /// The snapshot's identifier.
    pub snapshot: String,
    /// What it took before, in bytes on disk.
    pub before_bytes: u64,
    /// What it takes now.
    pub after_bytes: u64,
}

/// What pruning reports.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PruneReport {
    /// What was removed, in that order.
    pub removed: Vec<Removed>,
    /// What was compressed.
    pub archived: Vec<Archived>,
    /// What interrupted pulls had left, in bytes on disk.
    pub interrupted_bytes: u64,
    /// What all of this freed, in bytes on disk.
    pub freed_bytes: u64,
    /// Bytes by which the rest is above the limit, because all of it is in use.
    pub over_limit_bytes: u64,
    /// Milliseconds.
    pub total_ms: f64,
}

/// Whether a busy instance is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    Wait,
    Skip,
}

/// What is known while pruning: the instances, and which of them are ours.
struct PruneContext<'a> {
    store: Store,
    emulators: &'a [Emulator],
    ties: Vec<Ties>,
    /// Those whose lock is held.
    held: Vec<LockedInstance<'a>>,
}

impl Emulator {
    /// Makes room. Waits for instances that are busy.
    pub async fn prune(
        &self,
        request: PruneRequest,
        reporter: &dyn Reporter,
    ) -> Result<PruneReport, Error> {
        let begun = std::time::Instant::now();
        let emulators = self.every_instance()?;
        let mut context = self.context(&emulators, Patience::Wait, reporter).await?;
        let mut report = PruneReport {
            interrupted_bytes: remove_interrupted(&context.store)?,
            ..PruneReport::default()
        };
        report.freed_bytes += report.interrupted_bytes;
        context.remove_unused_images(request.all, &mut report)?;
        for held in &context.held {
            held.emulator.tidy_snapshots()?;
        }
        let preferences = Preferences::read(&self.home)?;
        let days = request
            .archive_after_days
            .or(preferences.archive_after_days);
        context.archive_stale(days, reporter, &mut report).await?;
        let limit = request.limit_bytes.or(preferences.cache_limit_bytes);
        context.keep_below(limit, reporter, &mut report).await?;
        report.total_ms = milliseconds(begun.elapsed());
        Ok(report)
    }

    /// Does on the side what the settings ask for. `None` if they ask for nothing.
    pub(crate) async fn tidy_by_preferences(
        &self,
        reporter: &dyn Reporter,
    ) -> Result<Option<PruneReport>, Error> {
        let preferences = Preferences::read(&self.home)?;
        if preferences.archive_after_days.is_none() && preferences.cache_limit_bytes.is_none() {
            return Ok(None);
        }
        let begun = std::time::Instant::now();
        let emulators = self.every_instance()?;
        let context = self.context(&emulators, Patience::Skip, reporter).await?;
        let mut report = PruneReport::default();
        let days = preferences.archive_after_days;
        context.archive_stale(days, reporter, &mut report).await?;
        let limit = preferences.cache_limit_bytes;
        context.keep_below(limit, reporter, &mut report).await?;
        report.total_ms = milliseconds(begun.elapsed());
        Ok(Some(report))
    }

    async fn context<'a>(
        &self,
        emulators: &'a [Self],
        patience: Patience,
        reporter: &dyn Reporter,
    ) -> Result<PruneContext<'a>, Error> {
        let mut held = Vec::new();
        for emulator in emulators {
            match patience {
                Patience::Wait => held.push(emulator.hold("images prune", reporter).await?),
                Patience::Skip => held.extend(emulator.try_hold("tidying up", reporter).await?),
            }
        }
        let ties = emulators
            .iter()
            .map(|emulator| Ties::of(&self.home, &emulator.name))
            .collect::<Result<_, _>>()?;
        Ok(PruneContext {
            store: self.home.image_store(),
            emulators,
            ties,
            held,
        })
    }
}

impl PruneContext<'_> {
    fn uses(&self, image: Sha256Digest) -> Vec<ImageUse> {
        self.ties
            .iter()
            .filter_map(|ties| ties.with(image))
            .collect()
    }

    fn is_held(&self, name: &InstanceName) -> bool {
        self.held.iter().any(|held| held.emulator.name == *name)
    }

    /// Only then is it known which images nobody needs.
    fn are_all_held(&self) -> bool {
        self.held.len() == self.emulators.len()
    }

    fn remove_unused_images(&mut self, all: bool, report: &mut PruneReport) -> Result<(), Error> {
        let contents = self.store.contents()?;
        let superseded = contents
            .images
            .iter()
            .filter(|image| all || image.references.is_empty())
            .map(|image| image.digest);
        let damaged = contents.damaged.iter().map(|damaged| damaged.digest);
        for digest in superseded.chain(damaged) {
            if self.uses(digest).is_empty() {
                self.remove_image(digest, report)?;
            }
        }
        Ok(())
    }

    fn remove_image(&self, digest: Sha256Digest, report: &mut PruneReport) -> Result<(), Error> {
        let mut freed_bytes = 0;
        for held in &self.held {
            let emulator = held.emulator;
            freed_bytes += remove_snapshots(&emulator.home, &emulator.name, digest)?.1;
        }
        freed_bytes += self.store.remove(digest)?;
        report.freed_bytes += freed_bytes;
        report.removed.push(Removed {
            item: Item::Image { digest },
            freed_bytes,
        });
        Ok(())
    }

    async fn archive_stale(
        &self,
        after_days: Option<u32>,
        reporter: &dyn Reporter,
        report: &mut PruneReport,
    ) -> Result<(), Error> {
        let Some(after_days) = after_days else {
            return Ok(());
        };
        let now = now_ms();
        for held in &self.held {
            let emulator = held.emulator;
            let ties = self.ties.iter().find(|ties| ties.instance == emulator.name);
            for (_, snapshot) in snapshots_of(&emulator.home, &emulator.name)? {
                let stale = !snapshot.archived
                    && !ties.is_some_and(|ties| ties.lies_on(&snapshot.id))
                    && is_stale(snapshot.last_used_at_ms, now, after_days);
                if !stale || held.running.is_some() {
                    continue;
                }
                let opened = Snapshot::open(&emulator.paths, &snapshot.id)?;
                let mut watch = Stopwatch::new(reporter);
                let work = held.compress(opened, reporter);
                match watch.phase(Phase::Archive, work).await {
                    Ok(after_bytes) => {
                        report.freed_bytes += snapshot.bytes_on_disk.saturating_sub(after_bytes);
                        report.archived.push(Archived {
                            instance: emulator.name.clone(),
                            snapshot: snapshot.id,
                            before_bytes: snapshot.bytes_on_disk,
                            after_bytes,
                        });
                    }
                    // Room is made as far as it can be; a snapshot that cannot
                    // be read will not be resumed either, and its start says so.
                    Err(error) => reporter.report(Event::Warning(&format!(
                        "A snapshot of instance {} could not be compressed: {}.",
                        emulator.name,
                        failure::chain(&error)
                    ))),
                }
            }
        }
        Ok(())
    }

    async fn keep_below(
        &self,
        limit: Option<u64>,
        reporter: &dyn Reporter,
        report: &mut PruneReport,
    ) -> Result<(), Error> {
        let Some(limit) = limit else { return Ok(()) };
        let holdings = self.holdings()?;
        let plan = plan_removals(&holdings, limit);
        report.over_limit_bytes = plan.over_bytes;
        for item in plan.items {
            let bytes = holdings
                .iter()
                .find(|holding| holding.item == item)
                .map_or(0, |holding| holding.bytes);
            let emulator =
                |instance: &InstanceName| self.emulators.iter().find(|e| e.name == *instance);
            let (instance, snapshot, archived) = match &item {
                Item::Image { digest } => {
                    self.remove_image(*digest, report)?;
                    continue;
                }
                Item::Prepared { instance } => {
                    if let Some(emulator) = emulator(instance) {
                        emulator.drop_prepared(reporter).await?;
                    }
                    report.freed_bytes += bytes;
                    report.removed.push(Removed {
                        item,
                        freed_bytes: bytes,
                    });
                    continue;
                }
                Item::Snapshot { instance, snapshot } => (instance, snapshot, false),
                Item::Archive { instance, snapshot } => (instance, snapshot, true),
                // Only the user deletes one.
                Item::Checkpoint { .. } => continue,
            };
            if let Some(emulator) = emulator(instance) {
                remove_snapshot(&emulator.paths, snapshot, archived)?;
            }
            report.freed_bytes += bytes;
            report.removed.push(Removed {
                item,
                freed_bytes: bytes,
            });
        }
        Ok(())
    }

    /// All that takes space, and who needs it.
    fn holdings(&self) -> Result<Vec<Holding>, Error> {
        let mut holdings = Vec::new();
        for image in self.store.contents()?.images {
            holdings.push(Holding {
                item: Item::Image {
                    digest: image.digest,
                },
                image: image.digest,
                bytes: image.bytes_on_disk,
                last_needed_at_ms: image.last_needed_at_ms(),
                needed: !self.are_all_held() || !self.uses(image.digest).is_empty(),
            });
        }
        for (emulator, ties) in self.emulators.iter().zip(&self.ties) {
            let current = Snapshot::current_id(&emulator.paths);
            let ours = self.is_held(&emulator.name);
            if let Some(prepared) = prepared::in_place(&emulator.paths) {
                holdings.push(Holding {
                    item: Item::Prepared {
                        instance: emulator.name.clone(),
                    },
                    image: prepared.image,
                    bytes: prepared.bytes_on_disk,
                    last_needed_at_ms: prepared.made_at_ms,
                    needed: !ours,
                });
            }
            for (image, snapshot) in snapshots_of(&emulator.home, &emulator.name)? {
                let ImageSnapshot {
                    instance,
                    id,
                    bytes_on_disk,
                    archived,
                    last_used_at_ms,
                } = snapshot;
                let in_use = !archived && (current.as_ref() == Some(&id) || ties.lies_on(&id));
                let item = if archived {
                    Item::Archive {
                        instance,
                        snapshot: id,
                    }
                } else {
                    Item::Snapshot {
                        instance,
                        snapshot: id,
                    }
                };
                holdings.push(Holding {
                    item,
                    image,
                    bytes: bytes_on_disk,
                    last_needed_at_ms: last_used_at_ms,
                    needed: in_use || !ours,
                });
            }
            for checkpoint in checkpoints_of(&emulator.home, &emulator.name)? {
                // Of an image that is not known, it keeps the one that was used last.
                let Some(image) = checkpoint.image.or(ties.chosen) else {
                    continue;
                };
                holdings.push(Holding {
                    item: Item::Checkpoint {
                        instance: emulator.name.clone(),
                        checkpoint: checkpoint.name,
                    },
                    image,
                    bytes: checkpoint.bytes_on_disk,
                    last_needed_at_ms: checkpoint.created_at_ms,
                    needed: true,
                });
            }
        }
        Ok(holdings)
    }
}

/// Removes what interrupted pulls have left, except what a pull is at work on.
/// Returns the bytes that this freed.
fn remove_interrupted(store: &Store) -> Result<u64, Error> {
    let mut freed = 0;
    for leftover in images::fetch::leftovers(&store.incoming()).map_err(PullError::from)? {
        let bytes = leftover.bytes;
        if leftover.remove().map_err(PullError::from)? {
            freed += bytes;
        }
    }
    Ok(freed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::paths::SlotName;
    use crate::config::variables::Settings;
    use crate::instance::archive::tests::snapshot::instance;
    use crate::state::prepared::{PreparedFrom, PreparedRecord};
    use progress::Silent;

    #[tokio::test]
    async fn a_prepared_start_counts_and_goes_first() {
        let dir = tempfile::tempdir().unwrap();
        let (_, snapshot) = instance(dir.path());
        let variables = [
            ("HOME", dir.path().to_owned()),
            ("STACK_EMULATOR_HOME", dir.path().join("home")),
        ];
        let variables = variables.map(|(name, value)| (name.into(), value.into_os_string()));
        let settings = Settings::from_variables(variables).unwrap();
        let emulator = Emulator::new(settings, InstanceName::default(), None);
        let before = emulator.images().unwrap().bytes_on_disk;
        let place = emulator.paths.slot(SlotName::Ahead).session();
        std::fs::create_dir_all(place.root()).unwrap();
        std::fs::write(place.prepared_ram(), vec![1; 100_000]).unwrap();
        let manifest = &snapshot.manifest;
        let record = PreparedRecord {
            from: PreparedFrom::Snapshot {
                id: manifest.id.clone(),
            },
            secrets: String::new(),
            fingerprint: manifest.fingerprint.clone(),
            ram: manifest.ram.clone(),
            device_state: manifest.device_state.clone(),
            disk: manifest.disk.stamp,
            boot_id: String::new(),
            made_at_ms: now_ms(),
        };
        record::write(&place.prepared(), &record, record::Durability::ThisBoot).unwrap();
        let with = emulator.images().unwrap().bytes_on_disk;
        assert!(with >= before + 100_000, "{before} {with}");
        let prune = |limit_bytes| {
            let request = PruneRequest {
                limit_bytes: Some(limit_bytes),
                ..PruneRequest::default()
            };
            let emulator = &emulator;
            async move { emulator.prune(request, &Silent).await.unwrap().removed }
        };
        assert_eq!(prune(with).await, []);
        assert!(place.prepared().exists());
        let removed = prune(with - 1).await;
        assert_eq!(
            removed[0].item,
            Item::Prepared {
                instance: InstanceName::default()
            }
        );
        assert!(removed.len() == 1 && removed[0].freed_bytes >= 100_000);
        assert!(!place.root().exists() && snapshot.paths.root().exists());
    }

    #[tokio::test]
    async fn by_a_setting_snapshots_not_used_for_long_are_compressed_on_the_side() {
        let dir = tempfile::tempdir().unwrap();
        // Captured in 1970, and never used.
        let (_, snapshot) = instance(dir.path());
        let variables = [
            ("HOME", dir.path().to_owned()),
            ("STACK_EMULATOR_HOME", dir.path().join("home")),
        ];
        let variables = variables.map(|(name, value)| (name.into(), value.into_os_string()));
        let settings = Settings::from_variables(variables).unwrap();
        let emulator = Emulator::new(settings, InstanceName::default(), None);
        assert_eq!(emulator.tidy_by_preferences(&Silent).await.unwrap(), None);

        let preferences = Preferences {
            archive_after_days: Some(30),
            ..Preferences::default()
        };
        preferences.write(&emulator.home).unwrap();
        let busy = emulator.hold("test", &Silent).await.unwrap();
        let report = emulator.tidy_by_preferences(&Silent).await.unwrap();
        assert_eq!(
            report.unwrap().archived,
            [],
            "a busy instance is left alone"
        );
        drop(busy);
        // A program that another test starts holds our lock as well, from its fork to its exec.
        drop(emulator.hold("test", &Silent).await.unwrap());
        let mut archived = Vec::new();
        for _ in 0..100 {
            let report = emulator.tidy_by_preferences(&Silent).await.unwrap();
            archived = report.unwrap().archived;
            if !archived.is_empty() {
                break;
            }
            tokio::task::yield_now().await;
        }
        assert_eq!(archived.len(), 1);
        assert_eq!(archived[0].snapshot, snapshot.manifest.id);
        assert!(!snapshot.paths.root().exists());
        assert!(
            emulator
                .paths
                .snapshot_archive(&snapshot.manifest.id)
                .exists()
        );
    }
}
