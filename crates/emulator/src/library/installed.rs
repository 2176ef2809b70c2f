//! The images on this machine and what the instances have to do with them:
//! list and remove.
//!
//! The store below knows images; it is here that is known who uses them. An
//! image is in use if an instance has *chosen* it, has a *session* on it, or
//! *runs* it. Removing an image takes every instance's lock, in the order of
//! their names, so no start can begin on an image that is about to go.

use std::path::{Path, PathBuf};

use failure::ImageHold;
use images::Sha256Digest;
use images::fetch::leftovers;
use images::store::{Damaged, Installed, bytes_on_disk, find, share_on_disk};
use serde::Serialize;

use crate::config::paths::{CheckpointName, Home, InstanceName, SlotName};
use crate::config::preferences::Preferences;
use crate::instance::Emulator;
use crate::instance::archive::compressed;
use crate::instance::error::InstanceError as Error;
use crate::instance::tidy::remove_snapshot;
use crate::library::error::LibraryError;
use crate::machine::run_record::Purpose;
use crate::machine::slot;
use crate::state::checkpoint::{self, Checkpoint};
use crate::state::instance_record::InstanceRecord;
use crate::state::prepared;
use crate::state::session::Base;
use crate::state::snapshot::Snapshot;
use crate::state::snapshot_info::SnapshotInfo;
use images::PullError;
use progress::Reporter;

/// What an instance has to do with an image; of several, the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tie {
    /// Its next start will use it.
    Chosen,
    /// Checkpoints of it lie on it.
    Checkpoint,
    /// The session that it keeps lies on it.
    Session,
    /// It runs.
    Running,
}

/// An instance that uses an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageUse {
    /// The instance.
    pub instance: InstanceName,
    /// How.
    pub tie: Tie,
    /// Whether checkpoints of the instance lie on it, whatever else there is.
    pub checkpoints: bool,
}

impl ImageUse {
    /// The same, as data for a remedy.
    pub(crate) fn hold(&self) -> ImageHold {
        ImageHold {
            instance: (!self.instance.is_default()).then(|| self.instance.to_string()),
            session: matches!(self.tie, Tie::Running | Tie::Session),
            checkpoints: self.checkpoints,
        }
    }
}

impl std::fmt::Display for ImageUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let how = match self.tie {
            Tie::Chosen => "selected it",
            Tie::Checkpoint => "has checkpoints of it",
            Tie::Session => "has a saved session of it",
            Tie::Running => "is running it",
        };
        write!(f, "instance {} {how}", self.instance)
    }
}

/// A snapshot of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageSnapshot {
    /// Whose it is.
    pub instance: InstanceName,
    /// Its identifier.
    pub id: String,
    /// What it takes on disk, in bytes; of files that several instances share, its part.
    pub bytes_on_disk: u64,
    /// Whether it was compressed because it was not used for long.
    pub archived: bool,
    /// When it was used last, in milliseconds since the Unix epoch.
    pub last_used_at_ms: u64,
}

/// An image with all that there is of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageEntry {
    /// The image.
    #[serde(flatten)]
    pub image: Installed,
    /// Whether the instance that was asked has chosen it.
    pub chosen: bool,
    /// Who uses it.
    pub uses: Vec<ImageUse>,
    /// Its snapshots, of all instances.
    pub snapshots: Vec<ImageSnapshot>,
}

/// An image that somebody put into the home folder, not a pull.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlacedImage {
    /// The disk image.
    pub path: PathBuf,
    /// What it takes on disk, in bytes.
    pub bytes_on_disk: u64,
    /// Whether the instance that was asked uses it.
    pub chosen: bool,
}

/// What `images` reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageList {
    /// The images, the one installed last first.
    pub images: Vec<ImageEntry>,
    /// What cannot be used any more.
    pub damaged: Vec<Damaged>,
    /// The image that was put there by hand, if there is one.
    pub placed: Option<PlacedImage>,
    /// What interrupted pulls have left, in bytes on disk.
    pub interrupted_bytes: u64,
    /// What the checkpoints of all instances take on disk, in bytes.
    pub checkpoint_bytes: u64,
    /// What all of this and all snapshots take on disk, in bytes.
    pub bytes_on_disk: u64,
    /// Most that it may take, in bytes, if a limit is set.
    pub cache_limit_bytes: Option<u64>,
}

/// What a removal reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RemoveReport {
    /// The image that was removed.
    pub digest: Sha256Digest,
    /// Snapshots and archives that went with it.
    pub snapshots: usize,
    /// What that freed, in bytes on disk.
    pub freed_bytes: u64,
}

/// What one instance has to do with images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ties {
    pub instance: InstanceName,
    pub chosen: Option<Sha256Digest>,
    /// The image under the session's disk, and the snapshot, if it lies on one.
    pub session: Option<(Option<Sha256Digest>, Option<String>)>,
    /// The images under the disks of checkpoints.
    checkpoint_images: Vec<Sha256Digest>,
    /// The snapshots under them; `None` if it may be any.
    checkpoint_snapshots: Option<Vec<String>>,
    pub running: bool,
}

impl Ties {
    /// Reads the records of the instance called `name`.
    pub(crate) fn of(home: &Home, name: &InstanceName) -> Result<Self, Error> {
        let paths = home.instance(name);
        let instance: InstanceRecord =
            record::read_optional(&paths.instance_record())?.unwrap_or_default();
        let session = Base::of(home, name)?;
        let chosen = instance.image_digest(home);
        let list = |source| Error::file("list", &paths.checkpoints())(source);
        let mut checkpoint_images = Vec::new();
        for name in Checkpoint::names(&paths).map_err(list)? {
            // One whose record is lost keeps the image that was used last.
            let image = match Checkpoint::open(&paths, &name) {
                Ok(checkpoint) => Some(checkpoint.record.base.image.sha256),
                Err(_) => chosen,
            };
            checkpoint_images.extend(image);
        }
        let checkpoint_snapshots = checkpoint::snapshots_under(&paths).map_err(list)?;
        let mut running = false;
        for slot in SlotName::ALL {
            let slot = paths.slot(slot);
            if let Some(run) = slot::record_of(&slot)?
                && matches!(
                    run.purpose,
                    Purpose::Running(_)
                        | Purpose::Rotating(_)
                        | Purpose::Saving(_)
                        | Purpose::SetAside(_)
                        | Purpose::Checkpointing(_)
                )
            {
                running |= !slot::live_processes(&slot, &run)?.is_empty();
            }
        }
        Ok(Self {
            instance: name.clone(),
            chosen,
            // One whose image is not known keeps the one that was used last.
            session: session.map(|base| (base.image.or(chosen), base.snapshot)),
            checkpoint_images,
            checkpoint_snapshots,
            running,
        })
    }

    /// What the instance has to do with `image`, if anything.
    pub(crate) fn with(&self, image: Sha256Digest) -> Option<ImageUse> {
        let on_session = self
            .session
            .as_ref()
            .is_some_and(|(of, _)| *of == Some(image));
        let checkpoints = self.checkpoint_images.contains(&image);
        let tie = if on_session && self.running {
            Tie::Running
        } else if on_session {
            Tie::Session
        } else if checkpoints {
            Tie::Checkpoint
        } else if self.chosen == Some(image) {
            Tie::Chosen
        } else {
            return None;
        };
        Some(ImageUse {
            instance: self.instance.clone(),
            tie,
            checkpoints,
        })
    }

    /// Whether the disk of a session or of a checkpoint lies on the snapshot called `id`.
    pub(crate) fn lies_on(&self, id: &str) -> bool {
        let of_session = self.session.as_ref().and_then(|(_, of)| of.as_deref());
        let of_checkpoints = self.checkpoint_snapshots.as_ref();
        of_session == Some(id)
            || of_checkpoints.is_none_or(|under| under.iter().any(|under| under == id))
    }
}

/// A checkpoint, as something that takes space.
pub(crate) struct CheckpointSpace {
    pub name: CheckpointName,
    /// `None` if its record is lost.
    pub image: Option<Sha256Digest>,
    pub created_at_ms: u64,
    /// What it takes on disk, in bytes; of files that several share, its part.
    pub bytes_on_disk: u64,
}

/// The checkpoints of one instance.
pub(crate) fn checkpoints_of(
    home: &Home,
    name: &InstanceName,
) -> Result<Vec<CheckpointSpace>, Error> {
    let paths = home.instance(name);
    let names = Checkpoint::names(&paths).map_err(Error::file("list", &paths.checkpoints()))?;
    let space = |name: CheckpointName| {
        let record = Checkpoint::open(&paths, &name).ok();
        let record = record.map(|checkpoint| checkpoint.record);
        CheckpointSpace {
            bytes_on_disk: share_on_disk(paths.checkpoint(&name).root()),
            image: record.as_ref().map(|record| record.base.image.sha256),
            created_at_ms: record.map_or(0, |record| record.created_at_ms),
            name,
        }
    };
    Ok(names.into_iter().map(space).collect())
}

/// Snapshots and archives of one instance, each with its image.
pub(crate) fn snapshots_of(
    home: &Home,
    name: &InstanceName,
) -> Result<Vec<(Sha256Digest, ImageSnapshot)>, Error> {
    let paths = home.instance(name);
    let list =
        |ids: std::io::Result<Vec<String>>| ids.map_err(Error::file("list", &paths.snapshots()));
    let mut found = Vec::new();
    for id in list(Snapshot::ids(&paths))? {
        // A folder without a manifest is no snapshot; the next capture removes it.
        let Ok(snapshot) = Snapshot::open(&paths, &id) else {
            continue;
        };
        let entry = ImageSnapshot {
            instance: name.clone(),
            bytes_on_disk: share_on_disk(snapshot.paths.root()),
            archived: false,
            last_used_at_ms: snapshot.last_used_at_ms(),
            id,
        };
        found.push((snapshot.manifest.fingerprint.image.sha256, entry));
    }
    for id in list(Snapshot::archived_ids(&paths))? {
        let Some((image, last_used_at_ms)) = compressed::look(&paths, &id) else {
            continue;
        };
        let entry = ImageSnapshot {
            instance: name.clone(),
            bytes_on_disk: bytes_on_disk(&paths.snapshot_archive(&id)),
            archived: true,
            last_used_at_ms,
            id,
        };
        found.push((image, entry));
    }
    Ok(found)
}

/// Removes the snapshots and archives of `image` that an instance has. Its lock
/// must be held. Returns how many there were, and what they took on disk.
pub(crate) fn remove_snapshots(
    home: &Home,
    name: &InstanceName,
    image: Sha256Digest,
) -> Result<(usize, u64), Error> {
    let paths = home.instance(name);
    let (mut count, mut bytes) = (0, 0);
    for (of, snapshot) in snapshots_of(home, name)? {
        if of == image {
            remove_snapshot(&paths, &snapshot.id, snapshot.archived)?;
            count += 1;
            bytes += snapshot.bytes_on_disk;
        }
    }
    Ok((count, bytes))
}

impl Emulator {
    /// The images on this machine, and who uses them. Takes no lock.
    pub fn images(&self) -> Result<ImageList, Error> {
        let store = self.home.image_store();
        let contents = store.contents()?;
        let names = self.instance_names()?;
        // An instance whose records are damaged says so itself; a list of
        // images should not fail over it.
        let ties: Vec<Ties> = names
            .iter()
            .filter_map(|name| Ties::of(&self.home, name).ok())
            .collect();
        let (mut snapshots, mut checkpoint_bytes) = (Vec::new(), 0);
        for name in &names {
            snapshots.extend(snapshots_of(&self.home, name)?);
            for checkpoint in checkpoints_of(&self.home, name)? {
                checkpoint_bytes += checkpoint.bytes_on_disk;
            }
        }
        let chosen = self.image_to_use(&self.remembered()?);
        let leftovers = leftovers(&store.incoming()).map_err(PullError::from)?;
        let interrupted = leftovers.iter().filter(|leftover| !leftover.busy);
        let interrupted_bytes = interrupted.map(|leftover| leftover.bytes).sum();
        let placed = self.placed_image(&chosen);
        let mut total =
            interrupted_bytes + placed.as_ref().map_or(0, |placed| placed.bytes_on_disk);
        total += checkpoint_bytes;
        total += snapshots
            .iter()
            .map(|(_, snapshot)| snapshot.bytes_on_disk)
            .sum::<u64>();
        let prepared = names
            .iter()
            .filter_map(|name| prepared::in_place(&self.home.instance(name)));
        total += prepared.map(|prepared| prepared.bytes_on_disk).sum::<u64>();
        total += contents
            .damaged
            .iter()
            .map(|damaged| damaged.bytes_on_disk)
            .sum::<u64>();
        let entry = |image: Installed| {
            total += image.bytes_on_disk;
            let digest = image.digest;
            let of_image = |(of, snapshot): &(Sha256Digest, ImageSnapshot)| {
                (*of == digest).then(|| snapshot.clone())
            };
            ImageEntry {
                chosen: same_file(&chosen, &image.path),
                uses: ties.iter().filter_map(|ties| ties.with(digest)).collect(),
                snapshots: snapshots.iter().filter_map(of_image).collect(),
                image,
            }
        };
        Ok(ImageList {
            images: contents.images.into_iter().map(entry).collect(),
            damaged: contents.damaged,
            placed,
            interrupted_bytes,
            checkpoint_bytes,
            bytes_on_disk: total,
            cache_limit_bytes: Preferences::read(&self.home)?.cache_limit_bytes,
        })
    }

    /// The bytes that this user may still write to the disk of the home folder.
    pub fn free_bytes(&self) -> Result<u64, Error> {
        self.home
            .free_bytes()
            .map_err(Error::file("look at the disk of", self.home.path()))
    }

    /// More about a snapshot of the list, as far as its own files tell.
    pub fn snapshot_info(&self, listed: &ImageSnapshot) -> Option<SnapshotInfo> {
        let paths = self.home.instance(&listed.instance);
        let manifest = if listed.archived {
            compressed::manifest(&paths, &listed.id)?
        } else {
            Snapshot::open(&paths, &listed.id).ok()?.manifest
        };
        Some(SnapshotInfo {
            id: manifest.id,
            captured_at_ms: manifest.captured_at_ms,
            cold_boot_ms: manifest.cold_boot_ms,
            bytes_on_disk: listed.bytes_on_disk,
        })
    }

    fn placed_image(&self, chosen: &Path) -> Option<PlacedImage> {
        let path = self.home.default_image(self.settings.arch);
        path.exists().then(|| PlacedImage {
            bytes_on_disk: bytes_on_disk(&path),
            chosen: same_file(chosen, &path),
            path,
        })
    }

    /// Removes the image that `name` stands for, with its snapshots. Refused
    /// while any instance uses it.
    pub async fn remove_image(
        &self,
        name: &str,
        reporter: &dyn Reporter,
    ) -> Result<RemoveReport, LibraryError> {
        let others = self.every_instance()?;
        let mut held = Vec::new();
        for emulator in &others {
            held.push(emulator.hold("images remove", reporter).await?);
        }
        let store = self.home.image_store();
        let contents = store.contents()?;
        let digest = match find(&contents.images, name, self.image_arch()) {
            Ok(image) => image.digest,
            Err(error) => {
                let digits = name.strip_prefix("sha256:").unwrap_or(name);
                let mut damaged = contents.damaged.iter().map(|damaged| damaged.digest);
                // What is damaged has no names left, but it has a digest.
                damaged
                    .find(|digest| digits.len() >= 12 && digest.to_string().starts_with(digits))
                    .ok_or(error)?
            }
        };
        let mut uses = Vec::new();
        for emulator in &others {
            uses.extend(Ties::of(&self.home, &emulator.name)?.with(digest));
        }
        if !uses.is_empty() {
            return Err(LibraryError::ImageInUse { digest, uses });
        }
        let (mut snapshots, mut freed_bytes) = (0, 0);
        for emulator in &others {
            let (count, bytes) = remove_snapshots(&self.home, &emulator.name, digest)?;
            snapshots += count;
            freed_bytes += bytes;
        }
        freed_bytes += store.remove(digest)?;
        Ok(RemoveReport {
            digest,
            snapshots,
            freed_bytes,
        })
    }
}

fn same_file(one: &Path, two: &Path) -> bool {
    one == two
        || matches!((one.canonicalize(), two.canonicalize()), (Ok(one), Ok(two)) if one == two)
}
