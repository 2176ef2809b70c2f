//! Snapshots: memory, devices and disk of one moment, to be resumed many times.
//!
//! A snapshot is a folder whose manifest is written last; the symbolic link
//! `current` names the one in use and is switched by a rename, so there is
//! always an old one or a new one and never half of either. The folder's files
//! are never written to again: starts map the memory privately and put a fresh
//! overlay on the disk.
//!
//! A snapshot belongs to one image. An instance that changes images keeps one
//! snapshot of each; [`crate::state::retention`] decides which go.

use std::path::{Path, PathBuf};

use host::FileStamp;
use images::Sha256Digest;
use serde::{Deserialize, Serialize};

use crate::config::paths::{ARCHIVE_SUFFIX, InstancePaths, SnapshotPaths};
use crate::machine::fingerprint::{Fingerprint, Mismatch};
use crate::state::sparse;
use record::{self, Durability, Record, RecordError};

/// One file of saved state, as it was when the manifest was written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sealed {
    pub stamp: FileStamp,
    /// Sparse digest, see [`crate::state::sparse`].
    pub digest: String,
}

impl Sealed {
    pub(crate) fn of(path: &std::path::Path) -> std::io::Result<Self> {
        Ok(Self {
            digest: sparse::digest(path)?,
            stamp: FileStamp::of(path)?,
        })
    }

    /// Looks for damage: always at the length, and at the content if the stamp
    /// has changed or `full` asks for it.
    pub(crate) fn damage(&self, path: &std::path::Path, full: bool) -> Option<String> {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let stamp = match FileStamp::of(path) {
            Ok(stamp) => stamp,
            Err(error) => return Some(format!("{name} cannot be read ({error})")),
        };
        if stamp.bytes != self.stamp.bytes {
            return Some(format!(
                "{name} has {} bytes, not {}",
                stamp.bytes, self.stamp.bytes
            ));
        }
        if stamp == self.stamp && !full {
            return None;
        }
        match sparse::digest(path) {
            Ok(digest) if digest == self.digest => None,
            Ok(_) => Some(format!("the content of {name} is not what was saved")),
            Err(error) => Some(format!("{name} cannot be read ({error})")),
        }
    }
}

/// `snapshot.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SnapshotManifest {
    pub id: String,
    /// Milliseconds since the Unix epoch.
    pub captured_at_ms: u64,
    pub fingerprint: Fingerprint,
    /// Size of the guest's disk in bytes.
    pub virtual_bytes: u64,
    pub ram: Sealed,
    pub device_state: Sealed,
    pub disk: Sealed,
    pub config_iso: Sealed,
    /// How long the cold boot took that was captured, in milliseconds: what a
    /// resume is compared with.
    pub cold_boot_ms: f64,
}

impl Record for SnapshotManifest {
    const FORMAT: &'static str = "stack-emulator-snapshot";
    const VERSION: u32 = 1;
}

/// `used.json`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct LastUse {
    /// Milliseconds since the Unix epoch.
    at_ms: u64,
}

impl Record for LastUse {
    const FORMAT: &'static str = "stack-emulator-snapshot-use";
    const VERSION: u32 = 1;
}

/// `damage.json`: what a full look at saved state has found, for all who look
/// at it quickly from then on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct KnownDamage {
    damage: String,
}

impl Record for KnownDamage {
    const FORMAT: &'static str = "stack-emulator-damage";
    const VERSION: u32 = 1;
}

impl KnownDamage {
    /// What is noted at `path`. A note that cannot be read is damage as well.
    pub(crate) fn at(path: &Path) -> Option<String> {
        match record::read_optional::<Self>(path) {
            Ok(known) => known.map(|known| known.damage),
            Err(error) => Some(error.to_string()),
        }
    }

    /// Notes what a full look found, or that it found nothing.
    pub(crate) fn note(path: &Path, found: Option<&str>) -> Result<(), RecordError> {
        match found {
            Some(damage) => {
                let damage = damage.to_owned();
                record::write(path, &Self { damage }, Durability::PowerCut)
            }
            None => record::remove_file(path).map_err(|source| RecordError::Write {
                path: path.to_owned(),
                source,
            }),
        }
    }
}

/// A committed snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub paths: SnapshotPaths,
    pub manifest: SnapshotManifest,
}

/// What looking for a snapshot found.
pub(crate) enum Found {
    None,
    Whole(Box<Snapshot>),
    Damaged(String),
}

/// What an instance has of snapshots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SnapshotOnDisk {
    /// None was ever captured.
    None,
    /// One that fits.
    Ready,
    /// One of another machine, image or settings.
    Mismatched(Vec<Mismatch>),
    /// One whose files are not what they were.
    Damaged(String),
}

impl Snapshot {
    /// The snapshot in use, looked over as far as costs next to nothing:
    /// lengths always, contents where a stamp has changed, and what a full look
    /// has found before.
    pub(crate) fn current(instance: &InstancePaths) -> Found {
        match Self::named(instance) {
            Found::Whole(snapshot) => match snapshot.damage(false) {
                None => Found::Whole(snapshot),
                Some(damage) => Found::Damaged(damage),
            },
            other @ (Found::None | Found::Damaged(_)) => other,
        }
    }

    /// The snapshot in use, whose files nobody has looked at.
    pub(crate) fn named(instance: &InstancePaths) -> Found {
        match std::fs::read_link(instance.current_snapshot()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Found::None,
            Err(error) => Found::Damaged(format!("its link cannot be read ({error})")),
            Ok(target) => match target.to_str().filter(|id| is_id(id)) {
                None => Found::Damaged("its link points nowhere sensible".to_owned()),
                Some(id) => match Self::open(instance, id) {
                    Err(error) => Found::Damaged(error.to_string()),
                    Ok(snapshot) => Found::Whole(Box::new(snapshot)),
                },
            },
        }
    }

    /// Reads the manifest of the snapshot called `id`.
    pub(crate) fn open(instance: &InstancePaths, id: &str) -> Result<Self, RecordError> {
        let paths = instance.snapshot(id);
        let manifest = record::read(&paths.manifest())?;
        Ok(Self { paths, manifest })
    }

    /// Reads all its files, and notes what is wrong: a start does not try in
    /// vain what has been found out once.
    pub(crate) fn examine(&self) -> Result<Option<String>, RecordError> {
        let damage = self.damage(true);
        KnownDamage::note(&self.paths.known_damage(), damage.as_deref())?;
        Ok(damage)
    }

    /// The first damage found in its files; `full` reads them all.
    pub(crate) fn damage(&self, full: bool) -> Option<String> {
        let (paths, manifest) = (&self.paths, &self.manifest);
        if !full && let Some(known) = KnownDamage::at(&paths.known_damage()) {
            return Some(known);
        }
        // Small first: device state and config are digested at every start.
        manifest
            .device_state
            .damage(&paths.device_state(), true)
            .or_else(|| manifest.config_iso.damage(&paths.config_iso(), true))
            .or_else(|| manifest.disk.damage(&paths.disk(), full))
            .or_else(|| manifest.ram.damage(&paths.ram(), full))
    }

    /// Writes down that the files are what they were, under their present
    /// stamps, so that the next start need not read them again.
    pub(crate) fn restamp(&mut self) -> Result<(), RecordError> {
        let (paths, manifest) = (&self.paths, &mut self.manifest);
        let mut changed = false;
        for (sealed, path) in [
            (&mut manifest.ram, paths.ram()),
            (&mut manifest.disk, paths.disk()),
        ] {
            let stamp =
                FileStamp::of(&path).map_err(|source| RecordError::Read { path, source })?;
            changed |= stamp != sealed.stamp;
            sealed.stamp = stamp;
        }
        if changed {
            record::write(&paths.manifest(), manifest, Durability::PowerCut)
        } else {
            Ok(())
        }
    }

    /// What keeps it from being resumed on the machine that is here now.
    pub(crate) fn mismatches(&self, now: &Fingerprint) -> Vec<Mismatch> {
        self.manifest.fingerprint.mismatches(now)
    }

    /// Makes the finished capture the current snapshot.
    ///
    /// Everything in the folder must be synced already.
    pub(crate) fn commit(
        instance: &InstancePaths,
        manifest: &SnapshotManifest,
    ) -> Result<Self, RecordError> {
        let from = instance.capture_in_progress();
        let paths = instance.snapshot(&manifest.id);
        record::write(&from.manifest(), manifest, Durability::PowerCut)?;
        let write = |path: PathBuf| move |source| RecordError::Write { path, source };
        std::fs::rename(from.root(), paths.root()).map_err(write(paths.root().to_owned()))?;
        Self::make_current(instance, &manifest.id)?;
        Ok(Self {
            paths,
            manifest: manifest.clone(),
        })
    }

    /// Points the link at the snapshot called `id`.
    pub(crate) fn make_current(instance: &InstancePaths, id: &str) -> Result<(), RecordError> {
        let link = instance.current_snapshot();
        let fresh = instance.snapshots().join(".current-new");
        let switch = || -> std::io::Result<()> {
            record::remove_file(&fresh)?;
            std::os::unix::fs::symlink(id, &fresh)?;
            std::fs::rename(&fresh, &link)?;
            record::sync_folder(&instance.snapshots())
        };
        switch().map_err(|source| {
            // It would be there for ever.
            record::remove_file(&fresh).ok();
            RecordError::Write {
                path: link.clone(),
                source,
            }
        })
    }

    /// The snapshot of `image`, made the one in use: that of another image
    /// gives way, and waits for the instance to go back to its own.
    pub(crate) fn choose(
        instance: &InstancePaths,
        image: &Sha256Digest,
    ) -> Result<Found, RecordError> {
        let current = Self::current_id(instance);
        let of_image = |id: &str| {
            Self::open(instance, id)
                .ok()
                .filter(|snapshot| snapshot.manifest.fingerprint.image.sha256 == *image)
        };
        let readable = |id: &String| Self::open(instance, id).is_ok();
        match &current {
            Some(id) if of_image(id).is_some() || !readable(id) => {
                return Ok(Self::current(instance));
            }
            Some(_) | None => {}
        }
        let ids = Self::ids(instance).map_err(|source| RecordError::Read {
            path: instance.snapshots(),
            source,
        })?;
        let newest = ids
            .iter()
            .filter_map(|id| of_image(id))
            .max_by_key(|snapshot| snapshot.manifest.captured_at_ms);
        match newest {
            Some(snapshot) => Self::make_current(instance, &snapshot.manifest.id)?,
            None => Self::forget_current(instance)?,
        }
        Ok(Self::current(instance))
    }

    /// The snapshot that [`Self::choose`] would make the one in use, as far as its manifest tells.
    pub(crate) fn of_image(instance: &InstancePaths, image: &Sha256Digest) -> Option<Self> {
        let of_image = |id: &String| {
            let snapshot = Self::open(instance, id).ok()?;
            (snapshot.manifest.fingerprint.image.sha256 == *image).then_some(snapshot)
        };
        let current = Self::current_id(instance);
        current.as_ref().and_then(of_image).or_else(|| {
            let ids = Self::ids(instance).ok()?;
            let snapshots = ids.iter().filter_map(of_image);
            snapshots.max_by_key(|snapshot| snapshot.manifest.captured_at_ms)
        })
    }

    /// The identifier that the link `current` names, whatever became of it.
    pub(crate) fn current_id(instance: &InstancePaths) -> Option<String> {
        let target = std::fs::read_link(instance.current_snapshot()).ok()?;
        target
            .to_str()
            .filter(|id| is_id(id))
            .map(ToOwned::to_owned)
    }

    /// Leaves the instance without a snapshot in use. Durable when it returns.
    pub(crate) fn forget_current(instance: &InstancePaths) -> Result<(), RecordError> {
        let link = instance.current_snapshot();
        let forget = || -> std::io::Result<()> {
            if std::fs::symlink_metadata(&link).is_err() {
                return Ok(());
            }
            record::remove_file(&link)?;
            record::sync_folder(&instance.snapshots())
        };
        forget().map_err(|source| RecordError::Write {
            path: link.clone(),
            source,
        })
    }

    /// Identifiers of all snapshots' folders, whole or not. What else lies
    /// there is not ours.
    pub(crate) fn ids(instance: &InstancePaths) -> std::io::Result<Vec<String>> {
        let mut ids = Vec::new();
        for (name, is_folder) in entries(instance)? {
            if is_folder && is_id(&name) {
                ids.push(name);
            }
        }
        Ok(ids)
    }

    /// Identifiers of all archives that took a snapshot's place.
    pub(crate) fn archived_ids(instance: &InstancePaths) -> std::io::Result<Vec<String>> {
        let mut ids = Vec::new();
        for (name, is_folder) in entries(instance)? {
            if let Some(id) = name.strip_suffix(ARCHIVE_SUFFIX)
                && !is_folder
                && is_id(id)
            {
                ids.push(id.to_owned());
            }
        }
        Ok(ids)
    }

    /// Removes the snapshot called `id`: it is in use no more, then gone.
    pub(crate) fn remove(instance: &InstancePaths, id: &str) -> Result<(), RecordError> {
        if Self::current_id(instance).as_deref() == Some(id) {
            Self::forget_current(instance)?;
        }
        let path = instance.snapshot(id).root().to_owned();
        record::remove_folder(&path).map_err(|source| RecordError::Write { path, source })
    }

    /// Notes that it is used now. Lost in a power cut, this makes it look older
    /// than it is; no more.
    pub(crate) fn touch(&self) -> Result<(), RecordError> {
        let used = LastUse {
            at_ms: host::now_ms(),
        };
        record::write(&self.paths.used(), &used, Durability::ThisBoot)
    }

    /// When it was used last, or captured if it never was, in milliseconds
    /// since the Unix epoch.
    pub(crate) fn last_used_at_ms(&self) -> u64 {
        let used: Option<LastUse> = record::read_optional(&self.paths.used()).unwrap_or_default();
        used.map_or(0, |used| used.at_ms)
            .max(self.manifest.captured_at_ms)
    }
}

/// Names in the folder of snapshots, as far as they are text, and whether each
/// is a folder; in order.
fn entries(instance: &InstancePaths) -> std::io::Result<Vec<(String, bool)>> {
    let entries = match std::fs::read_dir(instance.snapshots()) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string() {
            names.push((name, entry.file_type()?.is_dir()));
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Whether `text` is a snapshot's identifier: 16 hex characters.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// A new identifier, for snapshots and for QEMU's command line.
pub(crate) fn new_id() -> Result<String, getrandom::Error> {
    let number = getrandom::u64()?;
    Ok(format!("{number:016x}"))
}
