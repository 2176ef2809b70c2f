//! An image's way into the store.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use record::{Durability, regular};

use super::records::{ImageRecord, Reference};
use super::{ADDING, Changing, Installed, Store, StoreError};
use crate::fetch::{MAX_SMALL, Verification};
use crate::manifest::Manifest;
use crate::source::{Arch, Origin, names};
use crate::{FileStamp, Image, Sha256Digest};

/// An image that is not yet in the store, with what came along.
#[derive(Clone, Debug)]
pub struct Incoming<'a> {
    /// The disk image, synced, on the store's file system, its manifest beside it.
    pub disk: &'a Path,
    /// The image's settings.
    pub base_env: Option<&'a Path>,
    /// Digest of the disk image, taken from its bytes.
    pub digest: Sha256Digest,
    /// What the digest was compared with.
    pub verified: Verification,
    /// Architecture of the guest.
    pub arch: Arch,
    /// Where it comes from.
    pub origin: &'a Origin,
}

/// What came of adding an image.
#[derive(Clone, Debug)]
pub struct Added {
    /// The image, as it is now in the store.
    pub image: Installed,
    /// Whether it was there already.
    pub known: bool,
}

impl Store {
    /// Puts an image into the store and has its origin's name stand for it.
    ///
    /// The image is looked over first, as before every use ([`Image::open`]).
    /// The files given stay where they are, so that nothing has to be got again
    /// should this be cut short.
    pub fn add(&self, incoming: &Incoming<'_>) -> Result<Added, StoreError> {
        let image = Image::open(incoming.disk)?;
        if let Some(manifest) = &image.manifest {
            check_manifest(manifest, incoming)?;
        }
        let changing = self.change()?;
        self.tidy(&changing)?;
        let intact = self
            .get(incoming.digest)
            // What cannot be read is replaced.
            .unwrap_or_default()
            .filter(|known| known.arch == incoming.arch && known.is_intact());
        if let Some(known) = &intact {
            self.complete(&changing, known, &image, incoming)?;
        } else {
            self.retire(&changing, incoming.digest)?;
            self.install(&changing, &image, incoming)?;
        }
        let image = self.refer(&changing, incoming)?;
        self.tidy(&changing)?;
        Ok(Added {
            image,
            known: intact.is_some(),
        })
    }

    /// Has the name of `origin` stand for an image that is here.
    pub fn name(
        &self,
        image: &Installed,
        origin: &Origin,
        verified: Verification,
    ) -> Result<Installed, StoreError> {
        let changing = self.change()?;
        let incoming = Incoming {
            disk: &image.path,
            base_env: None,
            digest: image.digest,
            verified,
            arch: image.arch,
            origin,
        };
        self.refer(&changing, &incoming)
    }

    fn install(
        &self,
        _: &Changing,
        image: &Image,
        incoming: &Incoming<'_>,
    ) -> Result<(), StoreError> {
        let target = self.image_folder(incoming.digest);
        let scratch = tempfile::Builder::new()
            .prefix(ADDING)
            .tempdir_in(&self.folder)
            .map_err(StoreError::file("make a folder in", &self.folder))?;
        let disk = scratch.path().join(names::disk(incoming.arch));
        link(&image.path, &disk).map_err(StoreError::file("put in place", &disk))?;
        self.put_beside(image, incoming, scratch.path())?;
        let record = ImageRecord {
            arch: incoming.arch,
            stamp: FileStamp::of(&disk).map_err(StoreError::file("look at", &disk))?,
            origin: incoming.origin.clone(),
            verified: incoming.verified,
            added_at_ms: host::now_ms(),
        };
        // Synced with its folder, and so with all that is in there.
        record::write(
            &scratch.path().join("image.json"),
            &record,
            Durability::PowerCut,
        )?;
        let named = || -> io::Result<()> {
            fs::rename(scratch.path(), &target)?;
            record::sync_folder(&self.folder)
        };
        named().map_err(StoreError::file("put in place", &target))?;
        // Its name is another one by now: nothing is left to remove.
        drop(scratch.keep());
        Ok(())
    }

    /// Adds to an image that is here what it lacks and what has changed.
    fn complete(
        &self,
        _: &Changing,
        known: &Installed,
        image: &Image,
        incoming: &Incoming<'_>,
    ) -> Result<(), StoreError> {
        let folder = self.image_folder(known.digest);
        self.put_beside(image, incoming, &folder)?;
        let better = known.verified == Verification::Unverified
            && incoming.verified != Verification::Unverified;
        let moved = FileStamp::of(&known.path).ok() != Some(known.stamp);
        if better || moved {
            let record = ImageRecord {
                arch: known.arch,
                stamp: FileStamp::of(&known.path)
                    .map_err(StoreError::file("look at", &known.path))?,
                origin: known.origin.clone(),
                verified: if better {
                    incoming.verified
                } else {
                    known.verified
                },
                added_at_ms: known.added_at_ms,
            };
            record::write(&folder.join("image.json"), &record, Durability::PowerCut)?;
        }
        Ok(())
    }

    /// Puts manifest and settings into `folder`, each whole or not at all.
    #[expect(clippy::unused_self, reason = "reads as what it does to the store")]
    fn put_beside(
        &self,
        image: &Image,
        incoming: &Incoming<'_>,
        folder: &Path,
    ) -> Result<(), StoreError> {
        let manifest = image
            .manifest
            .is_some()
            .then(|| Manifest::path_beside(&image.path));
        let files: [(Option<PathBuf>, String); 2] = [
            (manifest, names::manifest(incoming.arch)),
            (
                incoming.base_env.map(Path::to_owned),
                names::base_env(incoming.arch),
            ),
        ];
        for (from, name) in files {
            let Some(from) = from else { continue };
            let to = folder.join(name);
            let bytes = regular::read(&from, MAX_SMALL).map_err(StoreError::file("read", &from))?;
            if regular::read(&to, MAX_SMALL).is_ok_and(|there| there == bytes) {
                continue;
            }
            record::replace(&to, &bytes, Durability::PowerCut)
                .map_err(StoreError::file("write", &to))?;
        }
        Ok(())
    }

    fn refer(&self, _: &Changing, incoming: &Incoming<'_>) -> Result<Installed, StoreError> {
        let reference = Reference {
            name: incoming.origin.label(),
            arch: incoming.arch,
            digest: incoming.digest,
            origin: incoming.origin.clone(),
            verified: incoming.verified,
            updated_at_ms: host::now_ms(),
        };
        let folder = self.folder.join("references");
        fs::create_dir_all(&folder).map_err(StoreError::file("make", &folder))?;
        record::write(
            &self.reference_path(&reference),
            &reference,
            Durability::PowerCut,
        )?;
        let folder = self.image_folder(incoming.digest);
        self.get(incoming.digest)?
            .ok_or_else(|| StoreError::file("find", &folder)(io::ErrorKind::NotFound.into()))
    }
}

fn check_manifest(manifest: &Manifest, incoming: &Incoming<'_>) -> Result<(), StoreError> {
    if manifest.image.sha256 != incoming.digest {
        return Err(StoreError::OtherManifest {
            expected: manifest.image.sha256,
            found: incoming.digest,
        });
    }
    if manifest.arch != incoming.arch.to_string() {
        return Err(StoreError::Architecture {
            expected: incoming.arch,
            found: manifest.arch.clone(),
        });
    }
    Ok(())
}

/// Gives the file at `from` a second name, or where the file system has no such
/// thing, another one. Nobody but the user has to do with an image.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    if fs::hard_link(from, to).is_err() {
        fs::rename(from, to)?;
    }
    fs::set_permissions(to, fs::Permissions::from_mode(0o600))
}
