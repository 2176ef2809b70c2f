//! `clone`: another instance from what this one has saved, in about a second and without a capture.
//!
//! A snapshot's files are never written to once it is committed, so the clone has the same files by
//! further names; where the file system does not allow that, copies of them. Each instance that has a
//! name of a file may remove it. A session's memory is not written to either; its disk is, and is
//! copied.
//!
//! The clone is made beside the instances, under a name that no instance can have, and appears by one rename. Its
//! ports are chosen and written down while no other instance can choose. Its guest was told the ports
//! of the source, by a disk that is part of the snapshot: [`Fingerprint::ports_of_another`] says so.
//!
//! [`Fingerprint::ports_of_another`]: crate::machine::fingerprint::Fingerprint

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use host::FileStamp;
use serde::Serialize;

use super::lock::Lock;
use super::shared::{SharedLock, incoming};
use super::{Emulator, LockedInstance};
use crate::config::paths::{InstanceName, InstancePaths, make_private_folder};
use crate::instance::error::InstanceError as Error;
use crate::machine::ports::ServicePort;
use crate::state::error::StateError;
use crate::state::instance_record::InstanceRecord;
use crate::state::prepared::copy_sparse;
use crate::state::session::{Base, SavedRecord, SessionRecord};
use crate::state::snapshot::{Found, KnownDamage, Sealed, Snapshot};
use progress::{Reporter, milliseconds};
use record::Durability;

/// What a clone begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CloneFrom {
    /// The snapshot: a clean start.
    #[default]
    Snapshot,
    /// The saved session, with all data in it.
    Session,
}

/// What cloning reports.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CloneReport {
    /// The new instance.
    pub instance: InstanceName,
    /// The instance that it was made from.
    pub source: InstanceName,
    /// What it begins with.
    pub from: CloneFrom,
    /// The host ports of its services.
    pub ports: Vec<ServicePort>,
    /// Milliseconds.
    pub total_ms: f64,
}

/// What a clone is made of: all of it is the source's.
struct Parts {
    record: InstanceRecord,
    snapshot: Option<Snapshot>,
    session: Option<Session>,
}

/// A saved session, as far as it can be used.
struct Session {
    record: Option<SessionRecord>,
    /// There if the memory can be loaded.
    saved: Option<SavedRecord>,
}

/// An instance that is being made; removed again unless it is committed.
struct Unfinished {
    root: PathBuf,
    paths: InstancePaths,
    committed: bool,
    _lock: Lock,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.committed
            && let Err(error) = record::remove_folder(&self.root)
        {
            tracing::warn!(%error, "an unfinished clone is left to the next command");
        }
    }
}

impl Emulator {
    /// Makes the instance called `name` from this one. Of a running instance only the snapshot can be
    /// cloned.
    pub async fn clone_to(
        &self,
        name: &InstanceName,
        from: CloneFrom,
        reporter: &dyn Reporter,
    ) -> Result<CloneReport, Error> {
        let begun = std::time::Instant::now();
        self.check_exists()?;
        let target = self.sibling(name.clone());
        target.check_free()?;
        let held = self.hold("clone", reporter).await?;
        let parts = match from {
            CloneFrom::Snapshot => held.parts_of_snapshot(reporter).await?,
            CloneFrom::Session => held.parts_of_session()?,
        };
        let record = InstanceRecord {
            port_offset: 0,
            ..parts.record.clone()
        };
        let (mut unfinished, record) = target.begin(record)?;
        let ports = target.clone_ports(&record)?;
        let source = self.paths.clone();
        // Files may have to be copied, which can take a while.
        let work = tokio::task::spawn_blocking(move || {
            fill(&unfinished.paths, &source, parts)?;
            let root = unfinished.paths.root();
            record::sync_folder(root).map_err(Error::file("sync", root))?;
            Ok::<_, Error>(unfinished)
        });
        unfinished = match work.await {
            Ok(unfinished) => unfinished?,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        target.commit(unfinished)?;
        Ok(CloneReport {
            instance: target.name,
            source: self.name.clone(),
            from,
            ports,
            total_ms: milliseconds(begun.elapsed()),
        })
    }

    /// Refuses if there is such an instance.
    fn check_free(&self) -> Result<(), Error> {
        // Not only a folder is in the way.
        match std::fs::symlink_metadata(self.paths.root()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(_) | Ok(_) => Err(Error::InstanceExists {
                instance: self.name.clone(),
            }),
        }
    }

    /// Takes the name and a block of ports.
    fn begin(&self, record: InstanceRecord) -> Result<(Unfinished, InstanceRecord), Error> {
        let _shared = SharedLock::take(&self.home)?;
        self.check_free()?;
        let root = incoming(&self.home, &self.name);
        let paths = InstancePaths { root: root.clone() };
        let lock = paths.main().lock();
        if matches!(Lock::holder(&lock), Ok(Some(_))) {
            // Another command is about to make it.
            return Err(Error::InstanceExists {
                instance: self.name.clone(),
            });
        }
        record::remove_folder(&root).map_err(Error::file("remove", &root))?;
        make_private_folder(&root)?;
        let taken = Lock::try_acquire(&lock, "clone")?;
        let Some(lock) = taken else {
            return Err(Error::InstanceExists {
                instance: self.name.clone(),
            });
        };
        let unfinished = Unfinished {
            root,
            paths,
            committed: false,
            _lock: lock,
        };
        let record = InstanceRecord {
            port_offset: self.choose_port_offset(&self.services_by(&record))?,
            ..record
        };
        let path = unfinished.paths.instance_record();
        record::write(&path, &record, Durability::PowerCut)?;
        Ok((unfinished, record))
    }

    fn clone_ports(&self, record: &InstanceRecord) -> Result<Vec<ServicePort>, Error> {
        let (endpoints, _) = self.endpoints_of(self.services_by(record), record.port_offset)?;
        Ok(endpoints.into_iter().map(ServicePort::from).collect())
    }

    /// Makes it an instance. The lock stays with it until it is dropped.
    fn commit(&self, mut unfinished: Unfinished) -> Result<(), Error> {
        let _shared = SharedLock::take(&self.home)?;
        // A start of that name may have made the folder in the meantime.
        self.check_free()?;
        let root = self.paths.root();
        std::fs::rename(&unfinished.root, root).map_err(Error::file("make", root))?;
        unfinished.committed = true;
        let instances = self.home.instances();
        record::sync_folder(&instances).map_err(Error::file("sync", &instances))
    }
}

impl LockedInstance<'_> {
    /// The snapshot in use, whole as far as a quick look tells.
    async fn parts_of_snapshot(&self, reporter: &dyn Reporter) -> Result<Parts, Error> {
        let emulator = self.emulator;
        let snapshot = match Snapshot::current(&emulator.paths) {
            Found::Whole(mut snapshot) => {
                // What was just read in full need not be read again by each clone.
                snapshot.restamp()?;
                *snapshot
            }
            Found::Damaged(damage) => return Err(StateError::SnapshotDamaged { damage }.into()),
            Found::None => {
                let archived = Snapshot::archived_ids(&emulator.paths).unwrap_or_default();
                let unpacked = if archived.is_empty() {
                    None
                } else {
                    let spec = self.prepare().await?;
                    self.unpack_compressed(&spec, reporter).await?
                };
                unpacked.ok_or(StateError::NoSnapshot)?
            }
        };
        Ok(Parts {
            record: emulator.remembered()?,
            snapshot: Some(snapshot),
            session: None,
        })
    }

    /// The saved session, and what its disk lies on.
    fn parts_of_session(&self) -> Result<Parts, Error> {
        self.refuse_running_named("clone the session of")?;
        let emulator = self.emulator;
        let Some(base) = Base::of(&emulator.home, &emulator.name)? else {
            return Err(Error::NoSession {
                instance: emulator.name.clone(),
            });
        };
        let session = self.slot.paths.session();
        let snapshot = match &base.snapshot {
            Some(id) => {
                let snapshot = Snapshot::open(&emulator.paths, id)?;
                let disk = snapshot.paths.disk();
                if let Some(damage) = snapshot.manifest.disk.damage(&disk, false) {
                    return Err(StateError::SessionBase { problem: damage }.into());
                }
                Some(snapshot)
            }
            // The disk lies on the image itself, and the snapshot is what comes after the session.
            None => match Snapshot::current(&emulator.paths) {
                Found::Whole(snapshot) => Some(*snapshot),
                Found::None | Found::Damaged(_) => None,
            },
        };
        let disk = FileStamp::of(&session.disk()).ok();
        let known_damage = KnownDamage::at(&session.known_damage());
        // What a start would not load is not worth a copy: the disk is booted.
        let saved = record::read_optional(&session.saved()).ok().flatten();
        let saved = saved.filter(|saved: &SavedRecord| {
            Some(saved.disk) == disk && base.doubt.is_none() && known_damage.is_none()
        });
        Ok(Parts {
            record: emulator.remembered()?,
            snapshot,
            session: Some(Session {
                record: record::read(&session.record()).ok(),
                saved,
            }),
        })
    }
}

/// Puts all parts of `source` into the folder of the clone.
fn fill(clone: &InstancePaths, source: &InstancePaths, parts: Parts) -> Result<(), Error> {
    make_private_folder(&clone.snapshots())?;
    if let Some(snapshot) = parts.snapshot {
        let id = snapshot.manifest.id.clone();
        clone_snapshot(clone, snapshot)?;
        Snapshot::make_current(clone, &id)?;
    }
    match parts.session {
        Some(session) => clone_session(clone, source, session),
        None => Ok(()),
    }
}

fn clone_snapshot(clone: &InstancePaths, snapshot: Snapshot) -> Result<(), Error> {
    let Snapshot {
        paths: from,
        mut manifest,
    } = snapshot;
    let to = clone.snapshot(&manifest.id);
    make_private_folder(to.root())?;
    let part = |sealed: &mut Sealed, from: PathBuf, to: PathBuf| {
        link_or_copy(&from, &to)?;
        // That of a further name of the same file is the same.
        sealed.stamp = FileStamp::of(&to).map_err(Error::file("look at", &to))?;
        Ok::<_, Error>(())
    };
    part(&mut manifest.ram, from.ram(), to.ram())?;
    part(
        &mut manifest.device_state,
        from.device_state(),
        to.device_state(),
    )?;
    part(&mut manifest.disk, from.disk(), to.disk())?;
    part(&mut manifest.config_iso, from.config_iso(), to.config_iso())?;
    manifest.fingerprint.ports_of_another = true;
    if let Some(damage) = KnownDamage::at(&from.known_damage()) {
        KnownDamage::note(&to.known_damage(), Some(&damage))?;
    }
    record::write(&to.manifest(), &manifest, Durability::PowerCut)?;
    Ok(())
}

fn clone_session(
    clone: &InstancePaths,
    source: &InstancePaths,
    session: Session,
) -> Result<(), Error> {
    let (from, to) = (source.main().session(), clone.main().session());
    make_private_folder(to.root())?;
    copy(&from.disk(), &to.disk()).map_err(Error::file("copy", &from.disk()))?;
    if let Some(record) = session.record {
        record::write(&to.record(), &record, Durability::PowerCut)?;
    }
    if let Some(mut saved) = session.saved {
        link_or_copy(&from.ram(), &to.ram())?;
        let stamp = |path: PathBuf| FileStamp::of(&path).map_err(Error::file("look at", &path));
        saved.ram.stamp = stamp(to.ram())?;
        saved.disk = stamp(to.disk())?;
        saved.fingerprint.ports_of_another = true;
        // Last: from here on the memory can be loaded.
        record::write(&to.saved(), &saved, Durability::PowerCut)?;
    }
    record::sync_folder(to.root()).map_err(Error::file("sync", to.root()))
}

/// Gives the file `from`, which nobody writes to any more, the further name `to`; or copies it, where
/// a file can have one name only, or not on another disk.
fn link_or_copy(from: &Path, to: &Path) -> Result<(), Error> {
    match std::fs::hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(error) if is_about_links(&error) => copy(from, to).map_err(Error::file("copy", from)),
        Err(error) => Err(Error::file("link to", from)(error)),
    }
}

fn is_about_links(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::CrossesDevices
            | io::ErrorKind::TooManyLinks
            | io::ErrorKind::Unsupported
            // What file systems without links say.
            | io::ErrorKind::PermissionDenied
    )
}

/// Copies a file, holes as holes, and syncs the copy.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    copy_sparse(from, to)?;
    File::open(to)?.sync_all()
}

#[cfg(test)]
mod tests;
