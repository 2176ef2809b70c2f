//! `clone`: another instance from what this one has saved, in about a second and without a capture.
//!
//! A snapshot's files are never written to once it is committed, so the clone has the same files by
//! further names; where the file system does not allow that, copies of them. Each instance that has a
//! name of a file may remove it. A session's memory is not written to either; its disk is, and is
//! copied. A checkpoint is cloned as a session: the clone's first start restores it.
//!
//! The clone is made beside the instances, under a name that no instance can have, and appears by one rename. Its
//! ports are chosen and written down while no other instance can choose. Its guest was told the ports
//! of the source, by a disk that is part of the snapshot: [`Fingerprint::ports_of_another`] says so.
//!
//! [`Fingerprint::ports_of_another`]: crate::machine::fingerprint::Fingerprint

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use host::{FileStamp, IdentityError};
use serde::Serialize;

use super::checkpoint::put_memory;
use super::lock::Lock;
use super::shared::{SharedLock, incoming};
use super::{Emulator, LockedInstance};
use crate::config::paths::{
    CheckpointName, InstanceName, InstancePaths, SessionPaths, make_private_folder,
};
use crate::instance::error::InstanceError as Error;
use crate::machine::ports::ServicePort;
use crate::state::checkpoint::Checkpoint;
use crate::state::error::StateError;
use crate::state::instance_record::InstanceRecord;
use crate::state::prepared::copy_sparse;
use crate::state::session::{Base, SavedRecord, SessionRecord};
use crate::state::snapshot::{Found, KnownDamage, Sealed, Snapshot};
use progress::{Reporter, milliseconds};
use record::Durability;

/// What a clone begins with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CloneFrom {
    /// The snapshot: a clean start.
    #[default]
    Snapshot,
    /// The saved session, with all data in it.
    Session,
    /// A checkpoint, with all data in it.
    Checkpoint(CheckpointName),
}

impl Serialize for CloneFrom {
    /// Only of which kind it is.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Snapshot => "snapshot",
            Self::Session => "session",
            Self::Checkpoint(_) => "checkpoint",
        })
    }
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
    /// The checkpoint, if it is one.
    pub checkpoint: Option<CheckpointName>,
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
    disk: PathBuf,
    record: Option<SessionRecord>,
    memory: Memory,
}

/// The memory of a session.
enum Memory {
    /// It cannot be loaded.
    None,
    /// It was saved, and is in this session.
    Saved(Box<SavedRecord>, SessionPaths),
    /// It is a checkpoint's.
    Checkpoint(Box<Checkpoint>),
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
        from: &CloneFrom,
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
            CloneFrom::Checkpoint(name) => held.parts_of_checkpoint(name)?,
        };
        let record = InstanceRecord {
            port_offset: 0,
            moved_ports: false,
            folder: None,
            ..parts.record.clone()
        };
        let (mut unfinished, record) = target.begin(record)?;
        let ports = target.clone_ports(&record)?;
        // Files may have to be copied, which can take a while.
        let work = tokio::task::spawn_blocking(move || {
            fill(&unfinished.paths, parts)?;
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
            checkpoint: match from {
                CloneFrom::Checkpoint(name) => Some(name.clone()),
                CloneFrom::Snapshot | CloneFrom::Session => None,
            },
            from: from.clone(),
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
        let snapshot = self.snapshot_under(base.snapshot.as_deref())?;
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
                disk: session.disk(),
                record: record::read(&session.record()).ok(),
                memory: saved.map_or(Memory::None, |saved| {
                    Memory::Saved(Box::new(saved), session)
                }),
            }),
        })
    }

    /// The checkpoint called `name` as a session, on what its disk lies on.
    fn parts_of_checkpoint(&self, name: &CheckpointName) -> Result<Parts, Error> {
        let emulator = self.emulator;
        let checkpoint = emulator.checkpoint(name)?;
        if let Some(damage) = checkpoint.disk_damage(false) {
            let checkpoint = name.clone();
            return Err(Error::CheckpointDamaged { checkpoint, damage });
        }
        let base = checkpoint.record.base.clone();
        let boot_id = host::boot_id().map_err(IdentityError::BootId)?;
        let memory = checkpoint.memory_damage(&boot_id, false);
        Ok(Parts {
            record: InstanceRecord {
                image: Some(emulator.home.relative(&base.image_path)),
                image_content: Some(base.image.clone()),
                ..emulator.remembered()?
            },
            snapshot: self.snapshot_under(base.snapshot.as_deref())?,
            session: Some(Session {
                disk: checkpoint.paths.disk(),
                record: Some(base),
                // The disk is booted then, and the start says that there is no more.
                memory: memory.map_or_else(
                    || Memory::Checkpoint(Box::new(checkpoint)),
                    |_| Memory::None,
                ),
            }),
        })
    }

    /// The snapshot called `id`, whose disk is that under another; without one the snapshot in use.
    fn snapshot_under(&self, id: Option<&str>) -> Result<Option<Snapshot>, Error> {
        let paths = &self.emulator.paths;
        let Some(id) = id else {
            // The disk lies on the image itself, and the snapshot is what comes after the session.
            return Ok(match Snapshot::current(paths) {
                Found::Whole(snapshot) => Some(*snapshot),
                Found::None | Found::Damaged(_) => None,
            });
        };
        let snapshot = Snapshot::open(paths, id)?;
        let disk = snapshot.paths.disk();
        match snapshot.manifest.disk.damage(&disk, false) {
            Some(problem) => Err(StateError::SessionBase { problem }.into()),
            None => Ok(Some(snapshot)),
        }
    }
}

/// Puts all parts into the folder of the clone.
fn fill(clone: &InstancePaths, parts: Parts) -> Result<(), Error> {
    make_private_folder(&clone.snapshots())?;
    if let Some(snapshot) = parts.snapshot {
        let id = snapshot.manifest.id.clone();
        clone_snapshot(clone, snapshot)?;
        Snapshot::make_current(clone, &id)?;
    }
    match parts.session {
        Some(session) => clone_session(clone, session),
        None => Ok(()),
    }
}

/// Gives the instance `clone` the files of `snapshot`, which need not be the one in use there.
pub(super) fn clone_snapshot(clone: &InstancePaths, snapshot: Snapshot) -> Result<(), Error> {
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

fn clone_session(clone: &InstancePaths, session: Session) -> Result<(), Error> {
    let to = clone.main().session();
    make_private_folder(to.root())?;
    copy(&session.disk, &to.disk()).map_err(Error::file("copy", &session.disk))?;
    if let Some(record) = session.record {
        record::write(&to.record(), &record, Durability::PowerCut)?;
    }
    match session.memory {
        Memory::None => {}
        Memory::Saved(saved, from) => link_memory(*saved, &from, &to)?,
        Memory::Checkpoint(mut checkpoint) => {
            checkpoint.record.fingerprint.ports_of_another = true;
            put_memory(&checkpoint, &to)?;
        }
    }
    record::sync_folder(to.root()).map_err(Error::file("sync", to.root()))
}

/// Gives the session in `to`, whose disk is there, the saved memory of the one in `from`.
fn link_memory(
    mut saved: SavedRecord,
    from: &SessionPaths,
    to: &SessionPaths,
) -> Result<(), Error> {
    let part = |sealed: &mut Sealed, from: PathBuf, to: PathBuf| {
        link_or_copy(&from, &to)?;
        sealed.stamp = FileStamp::of(&to).map_err(Error::file("look at", &to))?;
        Ok::<_, Error>(())
    };
    if let Some(state) = &mut saved.device_state {
        part(state, from.device_state(), to.device_state())?;
        part(&mut saved.ram, from.prepared_ram(), to.prepared_ram())?;
    } else {
        part(&mut saved.ram, from.ram(), to.ram())?;
    }
    let disk = to.disk();
    saved.disk = FileStamp::of(&disk).map_err(Error::file("look at", &disk))?;
    saved.fingerprint.ports_of_another = true;
    // Last: from here on the memory can be loaded.
    Ok(record::write(&to.saved(), &saved, Durability::PowerCut)?)
}

/// Gives the file `from`, which nobody writes to any more, the further name `to`; or copies it, where
/// a file can have one name only, or not on another disk.
pub(super) fn link_or_copy(from: &Path, to: &Path) -> Result<(), Error> {
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
