//! An instance for each folder: that of a project, or of a `git worktree`.
//!
//! It is named after the folder, and known by the folder's path, which its record keeps: of two folders of one
//! name the second one's instance has a part of the digest of its path in its name. A folder that was moved is
//! another one, and gets another instance; the old one stays until it is deleted.
//!
//! Nothing is booted for it: its first start takes the snapshot of another instance, as a clone does, that of the
//! default one before others.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::clone::clone_snapshot;
use super::shared::SharedLock;
use super::{Emulator, LockedInstance};
use crate::config::paths::{InstanceName, make_private_folder};
use crate::instance::error::InstanceError as Error;
use crate::machine::folders::CONFIG_FILES;
use crate::state::instance_record::InstanceRecord;
use crate::state::snapshot::{Found, Snapshot};
use failure::chain;
use record::Durability;

/// The folder that an instance belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
pub struct InstanceFolder {
    /// Its path when the instance was made.
    pub path: PathBuf,
    /// Whether there is a folder at that path now.
    pub exists: bool,
}

impl InstanceFolder {
    pub(crate) fn of(path: PathBuf) -> Self {
        let exists = path.is_dir();
        Self { path, exists }
    }
}

/// The folder of the project that `from` is in: that of the nearest config file, else the top of the checkout (of
/// the `git worktree`, where there are several), else `from` itself. A config file outside the checkout is another
/// project's.
fn project_folder(from: &Path) -> PathBuf {
    for folder in from.ancestors() {
        let has = |name: &str| folder.join(name).is_file();
        // In a worktree, `.git` is a file.
        if CONFIG_FILES.into_iter().any(has) || folder.join(".git").exists() {
            return folder.to_owned();
        }
    }
    from.to_owned()
}

impl Emulator {
    /// The instance of the project that the folder `from` is in. It need not exist; with `reserve` it then does, and
    /// nobody else gets its name and its block of ports.
    ///
    /// # Errors
    ///
    /// The folder is not there, or the instances cannot be looked at.
    pub fn of_project(&self, from: &Path, reserve: bool) -> Result<Self, Error> {
        let from = from.canonicalize().map_err(Error::file("look at", from))?;
        let folder = project_folder(&from);
        if folder.to_str().is_none() {
            // It has no place in a record, and what is left of it may be left of another folder as well.
            let not_text = std::io::Error::other("its path is not UTF-8");
            return Err(Error::file("name an instance after", &folder)(not_text));
        }
        if !reserve {
            return self.of_folder(&folder);
        }
        let _shared = SharedLock::take(&self.home)?;
        let emulator = self.of_folder(&folder)?;
        let path = emulator.paths.instance_record();
        if record::read_optional::<InstanceRecord>(&path)?.is_none() {
            make_private_folder(emulator.paths.root())?;
            let record = emulator.inherited_record();
            let services = emulator.services_by(&record);
            let record = InstanceRecord {
                port_offset: emulator.choose_port_offset(&services)?,
                folder: Some(folder),
                ..record
            };
            record::write(&path, &record, Durability::PowerCut)?;
        }
        Ok(emulator)
    }

    /// The instance whose record has `folder`, else the one that would be made for it.
    fn of_folder(&self, folder: &Path) -> Result<Self, Error> {
        let mut free = InstanceName::of_folder(folder);
        for other in self.every_instance()? {
            let record = record::read_optional::<InstanceRecord>(&other.paths.instance_record());
            match record {
                Ok(Some(record)) if record.folder.as_deref() == Some(folder) => {
                    return Ok(self.named(other.name));
                }
                // A folder that a look has left; nobody has claimed the name.
                Ok(None) => {}
                // Whose it is cannot be told where its record is damaged.
                Ok(Some(_)) | Err(_) => free.retain(|name| *name != other.name),
            }
        }
        let name = free.into_iter().next();
        let name = name.ok_or_else(|| Error::NoNameLeft {
            folder: folder.to_owned(),
        })?;
        Ok(self.named(name))
    }

    /// The instance called `name`, with the image that this one was given.
    fn named(&self, name: InstanceName) -> Self {
        Self::new(self.settings.clone(), name, self.image.clone())
    }

    /// What a new instance remembers: the image of the default one, if that is still there.
    fn inherited_record(&self) -> InstanceRecord {
        let default = self.sibling(InstanceName::default());
        // That instance's damaged record is its own trouble.
        let record = record::read_optional::<InstanceRecord>(&default.paths.instance_record());
        let record = record.ok().flatten().unwrap_or_default();
        let image = record.image.as_ref();
        if !image.is_some_and(|image| self.home.path().join(image).exists()) {
            return InstanceRecord::default();
        }
        InstanceRecord {
            port_offset: 0,
            moved_ports: false,
            folder: None,
            ..record
        }
    }

    /// The instances that a snapshot can be had from, the default one first.
    fn donors(&self) -> Result<Vec<Self>, Error> {
        let mut others = self.every_instance()?;
        others.retain(|other| other.name != self.name);
        others.sort_by_key(|other| !other.name.is_default());
        Ok(others)
    }
}

impl LockedInstance<'_> {
    /// Gives an instance that belongs to a folder, and has nothing saved, the snapshot that another instance has of
    /// its image.
    ///
    /// The other instance is not locked: the files of a snapshot do not change once they are there, and one that is
    /// removed meanwhile is a reason to go without.
    pub(super) fn inherit_snapshot(&self) -> Result<(), Error> {
        let emulator = self.emulator;
        let (settings, paths) = (&emulator.settings, &emulator.paths);
        if settings.no_snapshot || settings.force_capture {
            return Ok(());
        }
        let remembered = emulator.remembered()?;
        let has_own = Snapshot::current_id(paths).is_some()
            || !Snapshot::archived_ids(paths).unwrap_or_default().is_empty()
            || paths.main().session().disk().try_exists().unwrap_or(true);
        if remembered.folder.is_none() || has_own {
            return Ok(());
        }
        let image = emulator.image_to_use(&remembered);
        let digest = emulator.home.image_store().digest_at(&image);
        let known = || Some(remembered.image_content.as_ref()?.sha256);
        let Some(digest) = digest.or_else(known) else {
            return Ok(());
        };
        for donor in emulator.donors()? {
            let Found::Whole(snapshot) = Snapshot::current(&donor.paths) else {
                continue;
            };
            if snapshot.manifest.fingerprint.image.sha256 != digest {
                continue;
            }
            let id = snapshot.manifest.id.clone();
            let own = paths.snapshot(&id);
            let cloned = clone_snapshot(paths, *snapshot)
                .and_then(|()| Ok(Snapshot::make_current(paths, &id)?));
            match cloned {
                Ok(()) => return Ok(()),
                Err(error) => {
                    tracing::debug!(donor = %donor.name, error = %chain(&error), "no snapshot from there");
                    record::remove_folder(own.root()).map_err(Error::file("remove", own.root()))?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::variables::{HOME, Settings};
    use crate::instance::archive::tests::snapshot::instance;
    use progress::Silent;

    fn emulator(home: &Path) -> Emulator {
        let settings = Settings::from_variables([(HOME.into(), home.into())]).unwrap();
        Emulator::new(settings, InstanceName::default(), None)
    }

    fn folder(path: &Path) -> PathBuf {
        std::fs::create_dir_all(path).unwrap();
        path.canonicalize().unwrap()
    }

    #[test]
    fn a_project_is_where_its_config_file_is() {
        let dir = tempfile::tempdir().unwrap();
        let checkout = folder(&dir.path().join("checkout"));
        let app = folder(&checkout.join("apps/web"));
        let deep = folder(&app.join("src/pages"));
        let outside = folder(&dir.path().join("outside"));
        assert_eq!(project_folder(&outside), outside);
        // As in a worktree.
        std::fs::write(checkout.join(".git"), "gitdir: elsewhere").unwrap();
        std::fs::write(dir.path().join(CONFIG_FILES[1]), "").unwrap();
        assert_eq!(project_folder(&deep), checkout);
        for name in CONFIG_FILES {
            std::fs::write(app.join(name), "").unwrap();
            assert_eq!(project_folder(&deep), app, "{name}");
            std::fs::remove_file(app.join(name)).unwrap();
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_folder_that_no_record_can_hold_is_refused() {
        use std::os::unix::ffi::OsStrExt as _;
        let dir = tempfile::tempdir().unwrap();
        let odd = folder(&dir.path().join(std::ffi::OsStr::from_bytes(b"shop\xff")));
        let home = emulator(&dir.path().join("home"));
        for reserve in [false, true] {
            let error = home.of_project(&odd, reserve).unwrap_err();
            assert!(chain(&error).contains("not UTF-8"), "{error}");
        }
    }

    #[test]
    fn folders_of_one_name_have_instances_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (
            folder(&dir.path().join("one/shop")),
            folder(&dir.path().join("two/shop")),
        );
        let home = emulator(&dir.path().join("home"));
        let looked = home.of_project(&one, false).unwrap();
        assert_eq!(looked.name.as_str(), "shop");
        assert!(!home.home.path().exists(), "a look makes nothing");

        let first = home.of_project(&one, true).unwrap();
        let second = home.of_project(&two, true).unwrap();
        assert_eq!(first.name.as_str(), "shop");
        assert!(second.name.as_str().starts_with("shop-"), "{}", second.name);
        for (emulator, folder) in [(&first, &one), (&second, &two)] {
            let again = home.of_project(folder, true).unwrap();
            assert_eq!(again.name, emulator.name);
            assert_eq!(home.of_project(folder, false).unwrap().name, emulator.name);
        }
        let offset = |emulator: &Emulator| emulator.remembered().unwrap().port_offset;
        assert!(offset(&first) != 0 && offset(&first) != offset(&second));
    }

    #[test]
    fn folders_that_come_together_get_different_instances() {
        let dir = tempfile::tempdir().unwrap();
        let home = emulator(&dir.path().join("home"));
        let threads = ["one", "two", "three", "four"].map(|name| {
            let home = home.clone();
            let folder = folder(&dir.path().join(name).join("shop"));
            std::thread::spawn(move || home.of_project(&folder, true).unwrap().name)
        });
        let mut names = threads.map(|thread| thread.join().unwrap().to_string());
        names.sort();
        assert!(names.windows(2).all(|two| two[0] != two[1]), "{names:?}");
    }

    #[test]
    fn an_instance_that_was_made_by_hand_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let home = emulator(&dir.path().join("home"));
        let by_hand = home.sibling("shop".parse().unwrap());
        std::fs::create_dir_all(by_hand.paths.root()).unwrap();
        by_hand.claim_ports().unwrap();
        let shop = folder(&dir.path().join("shop"));
        let own = home.of_project(&shop, true).unwrap();
        assert!(own.name.as_str().starts_with("shop-"), "{}", own.name);
    }

    #[tokio::test]
    async fn the_first_start_has_the_snapshot_of_another_instance() {
        let dir = tempfile::tempdir().unwrap();
        let (paths, snapshot) = instance(dir.path());
        let home = emulator(&dir.path().join("home"));
        let content = snapshot.manifest.fingerprint.image.clone();
        let record = InstanceRecord {
            image: Some(dir.path().join("home/image.qcow2")),
            image_content: Some(content),
            ..InstanceRecord::default()
        };
        std::fs::write(dir.path().join("home/image.qcow2"), "an image").unwrap();
        record::write(&paths.instance_record(), &record, Durability::ThisBoot).unwrap();

        let shop = folder(&dir.path().join("shop"));
        let own = home.of_project(&shop, true).unwrap();
        let held = own.hold("test", &Silent).await.unwrap();
        held.inherit_snapshot().unwrap();
        let Found::Whole(cloned) = Snapshot::current(&own.paths) else {
            panic!("there is a snapshot");
        };
        assert_eq!(cloned.manifest.id, snapshot.manifest.id);
        assert!(cloned.manifest.fingerprint.ports_of_another);
        // Once it has one it keeps that.
        held.inherit_snapshot().unwrap();
        drop(held);

        // One that belongs to no folder takes what it is told to.
        let other = home.sibling("other".parse().unwrap());
        let held = other.hold("test", &Silent).await.unwrap();
        held.inherit_snapshot().unwrap();
        assert!(matches!(Snapshot::current(&other.paths), Found::None));
    }
}
