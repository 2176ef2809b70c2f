//! What a session's disk lies on, also where the records that say so are lost.
//!
//! The user's data is in the overlay. As long as that and what lies under it
//! are there, the session boots: `session.json` only repeats what the overlay's
//! header names, and `snapshot.json` only says how its disk should look. Without
//! either of them memory is not loaded any more, since nothing shows that the
//! disk under it is the one it was saved with.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use images::Sha256Digest;
use images::qcow2::{Header, HeaderError};

use super::{SavedRecord, SessionRecord};
use crate::config::paths::{Home, InstanceName, InstancePaths, SessionPaths};
use crate::machine::fingerprint::Content;
use crate::state::error::StateError as Error;
use crate::state::instance_record::InstanceRecord;
use crate::state::snapshot::{Snapshot, is_id};

/// What a session's disk lies on.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    /// The snapshot under the disk; `None` if it lies on the image itself.
    pub snapshot: Option<String>,
    /// The image at the bottom; `None` if nothing is left that says.
    pub image: Option<Sha256Digest>,
    /// Where the image was.
    pub image_path: PathBuf,
    /// What is lost of the records about it: no memory is loaded then.
    pub doubt: Option<String>,
    /// Whether `session.json` says all this.
    pub recorded: bool,
    /// The snapshot's own word about the disk under the session's.
    under: Option<Snapshot>,
}

impl Base {
    /// What the session of the instance called `name` lies on; `None` if there
    /// is no session's disk.
    pub(crate) fn of(home: &Home, name: &InstanceName) -> Result<Option<Self>, Error> {
        let paths = home.instance(name);
        Self::under(home, &paths, &paths.main().session())
    }

    /// The same for the disk of `session`, one of the instance with these `paths`.
    pub(crate) fn under(
        home: &Home,
        paths: &InstancePaths,
        session: &SessionPaths,
    ) -> Result<Option<Self>, Error> {
        let disk = session.disk();
        // A disk that cannot be looked at is not a disk that is not there.
        if !disk.try_exists().map_err(Error::file("look at", &disk))? {
            return Ok(None);
        }
        let named = backing(&disk);
        let doubt = match record::read::<SessionRecord>(&session.record()) {
            Ok(record) if is_of(&record, named.as_deref()) => {
                let base = Self::new(paths, record.snapshot, |_| {
                    Some((record.image_path, Some(record.image.sha256)))
                });
                return base.map(Some);
            }
            Ok(_) => format!("{} is of another session", session.record().display()),
            Err(lost) => failure::chain(&lost),
        };
        let base = Self::by_the_disk(home, paths, session, named)?;
        Ok(Some(Self {
            doubt: Some(doubt),
            recorded: false,
            ..base
        }))
    }

    fn new(
        paths: &InstancePaths,
        snapshot: Option<String>,
        image: impl FnOnce(Option<&Snapshot>) -> Option<(PathBuf, Option<Sha256Digest>)>,
    ) -> Result<Self, Error> {
        let (mut under, mut doubt) = (None, None);
        if let Some(id) = &snapshot {
            match Snapshot::open(paths, id) {
                Ok(snapshot) => under = Some(snapshot),
                Err(lost) => doubt = Some(failure::chain(&lost)),
            }
        }
        let Some((image_path, image)) = image(under.as_ref()) else {
            return Err(Error::SessionBase {
                problem: "neither a record nor the disk itself says what it lies on".to_owned(),
            });
        };
        Ok(Self {
            snapshot,
            image,
            image_path,
            doubt,
            recorded: true,
            under,
        })
    }

    /// By what the overlays name, and by whatever else tells the image.
    fn by_the_disk(
        home: &Home,
        paths: &InstancePaths,
        session: &SessionPaths,
        named: Option<PathBuf>,
    ) -> Result<Self, Error> {
        let snapshot = named.as_deref().and_then(snapshot_with_disk);
        Self::new(paths, snapshot.clone(), |under| {
            let path = match &snapshot {
                // The folder of the instance may have been moved.
                Some(id) => backing(&paths.snapshot(id).disk())?,
                None => named?,
            };
            let saved = || record::read::<SavedRecord>(&session.saved()).ok();
            // Not changed while the session is kept, and not by a start that
            // finds another image.
            let used = || {
                let record: InstanceRecord = record::read(&paths.instance_record()).ok()?;
                let same = home.path().join(record.image?) == path;
                Some(record.image_content.filter(|_| same)?.sha256)
            };
            let image = under
                .map(|snapshot| snapshot.manifest.fingerprint.image.sha256)
                .or_else(|| Some(saved()?.fingerprint.image.sha256))
                .or_else(|| home.image_store().digest_at(&path))
                .or_else(used);
            Some((path, image))
        })
    }

    /// Refuses unless all that lies under the disk is there and is what it was.
    ///
    /// `asked`: whether the user has named the image at `path`.
    pub(crate) fn check(
        &self,
        paths: &InstancePaths,
        path: &Path,
        content: &Content,
        asked: bool,
    ) -> Result<(), Error> {
        let same = match self.image {
            Some(digest) => digest == content.sha256,
            None => self.image_path == path,
        };
        if !same {
            if asked && self.image_path != path {
                return Err(Error::OtherImage {
                    session: self.image_path.clone(),
                    asked: path.to_owned(),
                });
            }
            return Err(Error::SessionImage {
                path: self.image_path.clone(),
            });
        }
        let Some(id) = &self.snapshot else {
            return Ok(());
        };
        let disk = paths.snapshot(id).disk();
        let damage = match &self.under {
            Some(snapshot) => snapshot.manifest.disk.damage(&disk, false),
            None => Header::read(&disk)
                .err()
                .map(|error| failure::chain(&error)),
        };
        match damage {
            None => Ok(()),
            Some(damage) => Err(Error::SessionBase {
                problem: format!(
                    "{}, which is under it, is not what it was: {damage}",
                    disk.display()
                ),
            }),
        }
    }

    /// `session.json`, as it was or should have been.
    pub(crate) fn to_record(&self, image_path: &Path, image: &Content) -> SessionRecord {
        SessionRecord {
            snapshot: self.snapshot.clone(),
            image: image.clone(),
            image_path: image_path.to_owned(),
            created_at_ms: host::now_ms(),
        }
    }
}

/// Whether `record` fits a disk that names the file `named` as what it lies on.
fn is_of(record: &SessionRecord, named: Option<&Path>) -> bool {
    named.is_none_or(|named| snapshot_with_disk(named) == record.snapshot)
}

/// Refuses a file that no virtual machine can have as the disk of a session, whatever it was once.
pub(crate) fn check_disk(disk: &Path) -> Result<(), Error> {
    match Header::read(disk) {
        Err(error @ (HeaderError::Read(_) | HeaderError::Truncated | HeaderError::NotQcow2)) => {
            Err(Error::SessionBase {
                problem: format!("{} is damaged: {}", disk.display(), failure::chain(&error)),
            })
        }
        // QEMU knows more of the format than we do.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The file that the qcow2 file at `path` lies on.
pub(crate) fn backing(path: &Path) -> Option<PathBuf> {
    let name = Header::read(path).ok()?.backing_file?;
    Some(PathBuf::from(OsStr::from_bytes(&name)))
}

/// The identifier of the snapshot whose disk `path` is, in this folder or
/// wherever the home folder was before.
pub(crate) fn snapshot_with_disk(path: &Path) -> Option<String> {
    let folder = path.parent()?;
    let id = folder.file_name()?.to_str()?;
    let is_disk = path.file_name()? == "disk.qcow2" && folder.parent()?.file_name()? == "snapshots";
    (is_disk && is_id(id)).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use failure::Remedy;
    use images::{FileStamp, qcow2};

    use super::*;
    use record::Durability;

    const ID: &str = "0123456789abcdef";

    #[test]
    fn a_session_s_disk_that_is_none_is_named_with_a_way_out() {
        let kept = Kept::new(true);
        let disk = kept.paths.main().session().disk();
        check_disk(&disk).unwrap();
        let whole = std::fs::read(&disk).unwrap();
        for content in [
            &[][..],
            &whole[..50],
            b"something else entirely, and long enough",
        ] {
            std::fs::write(&disk, content).unwrap();
            let error = check_disk(&disk).unwrap_err();
            assert!(
                error.to_string().contains("disk.qcow2 is damaged"),
                "{error}"
            );
            assert_eq!(error.remedy(), Some(Remedy::RestoreFileOrDiscard));
        }
        std::fs::remove_file(&disk).unwrap();
        std::fs::create_dir(&disk).unwrap();
        check_disk(&disk).unwrap_err();
    }

    struct Kept {
        _dir: tempfile::TempDir,
        home: Home,
        name: InstanceName,
        paths: InstancePaths,
        image: PathBuf,
        content: Content,
    }

    impl Kept {
        /// A session on the disk of a snapshot without a manifest, or on the image.
        fn new(on_snapshot: bool) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let home = Home::new(dir.path().to_owned());
            let name = InstanceName::default();
            let paths = home.instance(&name);
            let image = dir.path().join("image.qcow2");
            std::fs::write(&image, "an image").unwrap();
            let content = Content::of(&image, None).unwrap();
            std::fs::create_dir_all(paths.main().session().root()).unwrap();
            let snapshot = paths.snapshot(ID);
            std::fs::create_dir_all(snapshot.root()).unwrap();
            let mut under = image.clone();
            if on_snapshot {
                qcow2::create_overlay(&snapshot.disk(), &image, 1 << 20).unwrap();
                // As it was before the home folder was moved.
                under = format!("/old/instances/default/snapshots/{ID}/disk.qcow2").into();
            }
            qcow2::create_overlay(&paths.main().session().disk(), &under, 1 << 20).unwrap();
            Self {
                _dir: dir,
                home,
                name,
                paths,
                image,
                content,
            }
        }

        fn base(&self) -> Base {
            Base::of(&self.home, &self.name).unwrap().unwrap()
        }

        fn check(&self, base: &Base, content: &Content) -> Result<(), Error> {
            base.check(&self.paths, &self.image, content, false)
        }

        fn remember_image(&self) {
            let record = InstanceRecord {
                image: Some(self.home.relative(&self.image)),
                image_content: Some(self.content.clone()),
                ..InstanceRecord::default()
            };
            let path = self.paths.instance_record();
            record::write(&path, &record, Durability::ThisBoot).unwrap();
        }
    }

    fn another() -> Content {
        Content {
            stamp: FileStamp {
                device: 1,
                inode: 2,
                bytes: 3,
                modified_ns: 4,
            },
            sha256: Sha256Digest::of(b"another"),
        }
    }

    #[test]
    fn without_records_the_disks_tell() {
        for on_snapshot in [true, false] {
            let kept = Kept::new(on_snapshot);
            let base = kept.base();
            assert_eq!(base.snapshot.as_deref(), on_snapshot.then_some(ID));
            assert_eq!(base.image_path, kept.image);
            assert!(!base.recorded && base.image.is_none());
            assert!(base.doubt.as_ref().unwrap().contains("session.json"));
            kept.check(&base, &kept.content).unwrap();

            // Written down again, it is known as before.
            let record = base.to_record(&kept.image, &kept.content);
            super::super::begin(&kept.paths.main().session(), &record).unwrap();
            let base = kept.base();
            assert!(base.recorded && base.image == Some(kept.content.sha256));
            let error = kept.check(&base, &another()).unwrap_err();
            assert!(matches!(error, Error::SessionImage { .. }), "{error}");
            // The snapshot's manifest is still lost.
            let doubt = base.doubt.unwrap_or_default();
            assert_eq!(doubt.contains("snapshot.json"), on_snapshot, "{doubt}");
        }
    }

    #[test]
    fn a_record_of_another_session_is_not_believed() {
        let kept = Kept::new(true);
        let of_another = SessionRecord {
            snapshot: Some("fedcba9876543210".to_owned()),
            ..kept.base().to_record(&kept.image, &kept.content)
        };
        super::super::begin(&kept.paths.main().session(), &of_another).unwrap();
        let base = kept.base();
        assert_eq!(base.snapshot.as_deref(), Some(ID));
        assert!(base.doubt.unwrap().contains("of another session"));
    }

    #[test]
    fn an_image_that_was_replaced_is_noticed_without_a_record() {
        let kept = Kept::new(false);
        kept.remember_image();
        let error = kept.check(&kept.base(), &another()).unwrap_err();
        assert!(matches!(error, Error::SessionImage { .. }), "{error}");
        assert_eq!(error.remedy(), Some(Remedy::RestoreImageOrDiscard));
    }

    #[test]
    fn a_disk_that_is_not_there_is_no_session_and_one_that_is_hidden_is_an_error() {
        let kept = Kept::new(false);
        let session = kept.paths.main().session();
        std::fs::remove_file(session.disk()).unwrap();
        assert!(Base::of(&kept.home, &kept.name).unwrap().is_none());
        // What `exists` would take for nothing, and a start for a clean slate.
        std::os::unix::fs::symlink("disk.qcow2", session.disk()).unwrap();
        let error = Base::of(&kept.home, &kept.name).unwrap_err();
        assert!(error.to_string().contains("disk.qcow2"), "{error}");
    }

    #[test]
    fn what_lies_under_it_has_to_be_there() {
        let kept = Kept::new(true);
        let base = kept.base();
        std::fs::remove_file(kept.paths.snapshot(ID).disk()).unwrap();
        let error = kept.check(&base, &kept.content).unwrap_err();
        assert!(matches!(error, Error::SessionBase { .. }), "{error}");
        assert_eq!(error.remedy(), Some(Remedy::RestoreFileOrDiscard));
    }
}
