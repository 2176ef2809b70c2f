//! The images on this machine: each kept once, under the digest of its disk.
//!
//! ```text
//! <home>/images/
//!   lock                              held while the store is changed
//!   sha256-<64 hex>/                  one image; the name is the digest of its disk
//!     stack-emulator-<arch>.qcow2
//!     stack-emulator-<arch>.json        its manifest, if it came with one
//!     stack-emulator-<arch>.base.env    its settings, if it came with any
//!     image.json                        where it came from; synced before the folder has its name
//!     used.json                         when it was used last
//!   references/<16 hex>.json          a name, for instance a tag, and the image that it stands for
//!   incoming/                         downloads, see [`crate::fetch`]
//!   .adding-…  .removing-…            what a killed command left; the next change removes it
//! ```
//!
//! Two tags of one image are two references to one folder, so they take the
//! space once. A rolling tag that moves on is one reference written anew; the
//! image it stood for stays until it is removed.
//!
//! A folder appears and disappears by one rename, so an image is here in full
//! or not at all. Which instance uses which image is not the store's business:
//! the caller of [`Store::remove`] knows that nobody does.

mod add;
mod error;
mod name;
mod records;
mod space;

use std::fs::File;
use std::path::{Path, PathBuf};

use record::{Durability, RecordError};
use serde::Serialize;

pub use self::add::{Added, Incoming};
pub use self::error::StoreError;
pub use self::name::{NameError, find};
pub use self::records::Reference;
pub(crate) use self::records::published_at;
use self::records::{ImageRecord, UseRecord};
pub use self::space::{bytes_on_disk, own_on_disk, share_on_disk};
use crate::fetch::Verification;
use crate::manifest::{Manifest, Network};
use crate::source::{Arch, Origin, names};
use crate::{FileStamp, Sha256Digest, sha256_file};

/// Begins the name of each image's folder.
const PREFIX: &str = "sha256-";
/// Begins the name of a folder that is not yet an image.
const ADDING: &str = ".adding-";
/// Begins the name of a folder that is an image no more.
const REMOVING: &str = ".removing-";

/// The folder that holds the images.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

/// An image in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Installed {
    /// Digest of the disk image: what the image is known by.
    pub digest: Sha256Digest,
    /// Architecture of the guest.
    pub arch: Arch,
    /// The disk image.
    pub path: PathBuf,
    /// Length of the disk image in bytes.
    pub bytes: u64,
    /// What the image and all that belongs to it take on disk, in bytes.
    pub bytes_on_disk: u64,
    /// Where it came from at first.
    pub origin: Origin,
    /// What its digest was compared with.
    pub verified: Verification,
    /// Whether it needs to connect to others, and is let unless the user says otherwise. So does one that
    /// says nothing.
    pub needs_outside: bool,
    /// Names that stand for it now; none if all have moved on to other images.
    pub references: Vec<Reference>,
    /// When it was installed, in milliseconds since the Unix epoch.
    pub added_at_ms: u64,
    /// When a start or a capture used it last, in milliseconds since the Unix epoch.
    pub last_used_at_ms: Option<u64>,
    /// What the disk image's stamp was when its digest was taken.
    #[serde(skip)]
    pub stamp: FileStamp,
}

/// A folder of the store that holds no image that could be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damaged {
    /// The digest that it is known by.
    pub digest: Sha256Digest,
    /// What it takes on disk, in bytes.
    pub bytes_on_disk: u64,
    /// What is wrong with it.
    pub damage: String,
}

/// All that is in a store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Contents {
    /// The images, the one installed last first.
    pub images: Vec<Installed>,
    /// What was an image once.
    pub damaged: Vec<Damaged>,
}

/// The right to change the store, until it is dropped.
///
/// The lock is the kernel's, so it goes with the process that holds it.
struct Changing(#[expect(dead_code, reason = "held, not used")] File);

impl Installed {
    /// When it was used last, or installed if it never was.
    pub fn last_needed_at_ms(&self) -> u64 {
        self.last_used_at_ms.unwrap_or(self.added_at_ms)
    }

    /// Whether the disk image is what it was. Reads it in full if its stamp has
    /// changed, which takes about a second for 300 MB.
    pub fn is_intact(&self) -> bool {
        match FileStamp::of(&self.path) {
            Ok(stamp) if stamp == self.stamp => true,
            Ok(_) => sha256_file(&self.path).is_ok_and(|digest| digest == self.digest),
            Err(_) => false,
        }
    }
}

impl Store {
    /// The store in `folder`, which is made when something is put there.
    pub fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where downloads are kept until they are whole; on the same file system.
    pub fn incoming(&self) -> PathBuf {
        self.folder.join("incoming")
    }

    /// All that is here. Takes no lock: an image is here in full or not at all.
    pub fn contents(&self) -> Result<Contents, StoreError> {
        let mut contents = Contents::default();
        let references = self.references()?;
        for name in self.names()? {
            let Some(digest) = digest_of(&name) else {
                continue;
            };
            match self.open(digest, &references) {
                Ok(Some(image)) => contents.images.push(image),
                // Removed since it was listed.
                Ok(None) => {}
                Err(error) => contents.damaged.push(Damaged {
                    digest,
                    bytes_on_disk: bytes_on_disk(&self.image_folder(digest)),
                    damage: describe(&error),
                }),
            }
        }
        contents
            .images
            .sort_by_key(|image| (std::cmp::Reverse(image.added_at_ms), image.digest));
        contents.damaged.sort_by_key(|damaged| damaged.digest);
        Ok(contents)
    }

    /// The image with this digest, if it is here.
    pub fn get(&self, digest: Sha256Digest) -> Result<Option<Installed>, StoreError> {
        let references = self.references()?;
        self.open(digest, &references).map_err(StoreError::Record)
    }

    /// The image that came from `origin`, if it is here still.
    ///
    /// Only where equal origins mean equal content: a local file's path says
    /// nothing about what is in the file today.
    pub fn from_origin(
        &self,
        origin: &Origin,
        arch: Arch,
    ) -> Result<Option<Installed>, StoreError> {
        if matches!(origin, Origin::File { .. }) {
            return Ok(None);
        }
        let references = self.references()?;
        let known = references
            .iter()
            .find(|reference| reference.origin == *origin && reference.arch == arch);
        match known {
            Some(reference) => self
                .open(reference.digest, &references)
                .map_err(StoreError::Record),
            None => Ok(None),
        }
    }

    /// The digest of the image whose disk is at `path`, if that is in this store.
    pub fn digest_at(&self, path: &Path) -> Option<Sha256Digest> {
        let folder = path.parent()?;
        // The path may be another spelling of ours.
        let same = |one: &Path, two: &Path| {
            one == two
                || matches!((one.canonicalize(), two.canonicalize()), (Ok(one), Ok(two)) if one == two)
        };
        same(folder.parent()?, &self.folder)
            .then(|| digest_of(folder.file_name()?.to_str()?))
            .flatten()
    }

    /// Notes that an image is used now. An image that is not here is fine: it
    /// is being removed, and the caller will notice.
    pub fn touch(&self, digest: Sha256Digest) -> Result<(), StoreError> {
        let folder = self.image_folder(digest);
        if !folder.exists() {
            return Ok(());
        }
        let used = UseRecord {
            at_ms: host::now_ms(),
        };
        // Lost in a power cut, it makes an image look older than it is; no more.
        Ok(record::write(
            &folder.join("used.json"),
            &used,
            Durability::ThisBoot,
        )?)
    }

    /// The settings for the guest beside `image`, whether they are there or not.
    fn base_env_of(image: &Installed) -> PathBuf {
        image.path.with_file_name(names::base_env(image.arch))
    }

    /// Whether `image` has settings for the guest.
    pub fn has_base_env(&self, image: &Installed) -> bool {
        Self::base_env_of(image).exists()
    }

    /// Gives an image the settings that it came without. An image that is not here
    /// any more is left as it is.
    pub fn put_base_env(&self, image: &Installed, text: &str) -> Result<(), StoreError> {
        let _changing = self.change()?;
        if !self.image_folder(image.digest).exists() {
            return Ok(());
        }
        let path = Self::base_env_of(image);
        record::replace(&path, text.as_bytes(), Durability::PowerCut)
            .map_err(StoreError::file("write", &path))
    }

    /// Removes an image and the names that stand for it. Returns the bytes that
    /// this freed; an image that is not here frees none.
    pub fn remove(&self, digest: Sha256Digest) -> Result<u64, StoreError> {
        let changing = self.change()?;
        let bytes = self.retire(&changing, digest)?;
        self.tidy(&changing)?;
        Ok(bytes)
    }

    /// Takes the image out of sight; [`Self::tidy`] does the rest.
    fn retire(&self, _: &Changing, digest: Sha256Digest) -> Result<u64, StoreError> {
        let folder = self.image_folder(digest);
        let bytes = bytes_on_disk(&folder);
        let aside = self.folder.join(format!("{REMOVING}{digest}"));
        let removed = || -> std::io::Result<()> {
            // Left by a removal that was killed.
            record::remove_folder(&aside)?;
            match std::fs::rename(&folder, &aside) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            record::sync_folder(&self.folder)
        };
        removed().map_err(StoreError::file("remove", &folder))?;
        Ok(bytes)
    }

    /// Removes what killed commands left, and names that stand for nothing.
    fn tidy(&self, _: &Changing) -> Result<(), StoreError> {
        for name in self.names()? {
            if name.starts_with(ADDING) || name.starts_with(REMOVING) {
                let path = self.folder.join(&name);
                record::remove_folder(&path).map_err(StoreError::file("remove", &path))?;
            }
        }
        for reference in self.references()? {
            if !self.image_folder(reference.digest).exists() {
                let path = self.reference_path(&reference);
                record::remove_file(&path).map_err(StoreError::file("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Waits for the right to change the store. Nobody has it for longer than
    /// renames and removals take.
    fn change(&self) -> Result<Changing, StoreError> {
        use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .map_err(StoreError::file("make", &self.folder))?;
        let path = self.folder.join("lock");
        let locked = || -> std::io::Result<File> {
            let file = File::options()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)?;
            file.lock()?;
            Ok(file)
        };
        locked()
            .map(Changing)
            .map_err(StoreError::file("lock", &path))
    }

    fn image_folder(&self, digest: Sha256Digest) -> PathBuf {
        self.folder.join(format!("{PREFIX}{digest}"))
    }

    fn reference_path(&self, reference: &Reference) -> PathBuf {
        self.folder
            .join("references")
            .join(format!("{}.json", reference.key()))
    }

    fn open(
        &self,
        digest: Sha256Digest,
        references: &[Reference],
    ) -> Result<Option<Installed>, RecordError> {
        let folder = self.image_folder(digest);
        if !folder.exists() {
            return Ok(None);
        }
        let record: ImageRecord = record::read(&folder.join("image.json"))?;
        let used: Option<UseRecord> =
            // When it was used is not worth an image.
            record::read_optional(&folder.join("used.json")).unwrap_or_default();
        let path = folder.join(names::disk(record.arch));
        if let Err(source) = std::fs::metadata(&path) {
            return Err(RecordError::Read { path, source });
        }
        let mut references: Vec<_> = references
            .iter()
            .filter(|reference| reference.digest == digest)
            .cloned()
            .collect();
        references.sort_by_key(|reference| std::cmp::Reverse(reference.updated_at_ms));
        Ok(Some(Installed {
            digest,
            arch: record.arch,
            path,
            bytes: record.stamp.bytes,
            bytes_on_disk: bytes_on_disk(&folder),
            origin: record.origin,
            verified: record.verified,
            needs_outside: needs_outside(&Manifest::path_beside(
                &folder.join(names::disk(record.arch)),
            )),
            references,
            added_at_ms: record.added_at_ms,
            last_used_at_ms: used.map(|used| used.at_ms),
            stamp: record.stamp,
        }))
    }

    /// All references that can be read. One that cannot is a name lost, which
    /// the next pull by that name gives back.
    fn references(&self) -> Result<Vec<Reference>, StoreError> {
        let folder = self.folder.join("references");
        let mut references = Vec::new();
        for name in names_in(&folder).map_err(StoreError::file("list", &folder))? {
            if name.strip_suffix(".json").is_some()
                && let Ok(reference) = record::read(&folder.join(name))
            {
                references.push(reference);
            }
        }
        Ok(references)
    }

    fn names(&self) -> Result<Vec<String>, StoreError> {
        names_in(&self.folder).map_err(StoreError::file("list", &self.folder))
    }
}

/// Names in `folder`, as far as they are text: others are not ours.
fn names_in(folder: &Path) -> std::io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}

/// The digest in the name of an image's folder.
fn digest_of(name: &str) -> Option<Sha256Digest> {
    name.strip_prefix(PREFIX)?.parse().ok()
}

fn describe(error: &RecordError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// Whether the image with this manifest, or without one, needs to connect to others.
fn needs_outside(manifest: &Path) -> bool {
    // One that cannot be read is what a start complains of.
    Manifest::read(manifest).map_or(true, |manifest| manifest.network == Network::Outside)
}

#[cfg(test)]
mod tests;
