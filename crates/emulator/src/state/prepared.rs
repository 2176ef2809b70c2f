//! Prepared machines: what the next start would bring up and rotate, brought up and rotated already.
//!
//! ```text
//! ahead/session/disk.qcow2    the disk of the kept session, copied; or a new overlay on the snapshot's
//! ahead/session/session.json  what it lies on
//! ahead/session/ram.raw       memory, to be mapped privately
//! ahead/session/device.state  devices
//! ahead/session/prepared.json written last: all of it is whole, and what it was made from
//! ```
//!
//! It is a copy, and never the only place of anything: what it was made from stays as it is until a
//! start from it has succeeded. In any doubt it is dropped.
//!
//! A start that takes it exchanges it with the session, so that the disk is where a session's disk
//! is, and `prepared.json` stays beside it until the machine is adopted. Found beside the session of
//! a machine that was not, it says that the user's own is in the other place: [`give_back`].

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use host::FileStamp;
use images::Sha256Digest;
use images::store::bytes_on_disk;
use record::{Durability, Record, RecordError};
use serde::{Deserialize, Serialize};

use super::session::SavedRecord;
use super::snapshot::Sealed;
use super::{aside, sparse};
use crate::config::paths::{InstancePaths, SessionPaths, SlotName};
use crate::machine::fingerprint::Fingerprint;

/// What a prepared machine was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum PreparedFrom {
    /// The clean snapshot, for a start without a session.
    Snapshot {
        /// Its identifier.
        id: String,
    },
    /// The session that was kept.
    Session {
        /// When it was saved, in milliseconds since the Unix epoch.
        saved_at_ms: u64,
        /// Its disk at that moment.
        disk: FileStamp,
    },
}

impl PreparedFrom {
    /// The session that `saved` tells of.
    pub(crate) fn session(saved: &SavedRecord) -> Self {
        Self::Session {
            saved_at_ms: saved.saved_at_ms,
            disk: saved.disk,
        }
    }
}

/// `prepared.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PreparedRecord {
    pub from: PreparedFrom,
    /// Which values the guest holds: [`secrets::SecretSet::mark`].
    pub secrets: String,
    pub fingerprint: Fingerprint,
    pub ram: Sealed,
    pub device_state: Sealed,
    /// The disk at the same moment.
    pub disk: FileStamp,
    /// The boot of the host in which it was made: the files are not synced, so after another boot
    /// they are read in full before they are trusted.
    pub boot_id: String,
    /// Milliseconds since the Unix epoch.
    pub made_at_ms: u64,
}

impl Record for PreparedRecord {
    const FORMAT: &'static str = "stack-emulator-prepared-start";
    const VERSION: u32 = 1;
}

/// A prepared machine, as far as the room that it takes matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InPlace {
    /// The image that it is of.
    pub image: Sha256Digest,
    pub bytes_on_disk: u64,
    pub made_at_ms: u64,
}

/// The prepared machine of an instance, whether a start could take it or not.
pub(crate) fn in_place(paths: &InstancePaths) -> Option<InPlace> {
    let session = paths.slot(SlotName::Ahead).session();
    // One that is only half made, or whose record is damaged, is removed by the next command.
    let record: PreparedRecord = record::read_optional(&session.prepared()).ok()??;
    Some(InPlace {
        image: record.fingerprint.image.sha256,
        bytes_on_disk: bytes_on_disk(session.root()),
        made_at_ms: record.made_at_ms,
    })
}

/// What lies in the place for a prepared machine.
#[derive(Clone, Debug)]
pub(crate) enum PreparedOnDisk {
    /// Nothing, or what is only half made.
    None,
    /// A machine that a start can take.
    Ready(Box<PreparedRecord>),
    /// One that none can take any more, and why.
    Unusable(String),
}

/// Looks at the prepared machine, for a start from `from` on the machine of `now`.
pub(crate) fn look(
    paths: &SessionPaths,
    from: &PreparedFrom,
    now: &Fingerprint,
    boot_id: &str,
) -> PreparedOnDisk {
    let prepared: PreparedRecord = match record::read_optional(&paths.prepared()) {
        Ok(None) => return PreparedOnDisk::None,
        Ok(Some(prepared)) => prepared,
        Err(error) => return PreparedOnDisk::Unusable(error.to_string()),
    };
    if prepared.from != *from {
        let reason = match from {
            PreparedFrom::Snapshot { .. } => "the snapshot is another one now",
            PreparedFrom::Session { .. } => "the session is another one now",
        };
        return PreparedOnDisk::Unusable(reason.to_owned());
    }
    if let Some(mismatch) = prepared.fingerprint.mismatches(now).first() {
        return PreparedOnDisk::Unusable(mismatch.to_string());
    }
    if !FileStamp::of(&paths.disk()).is_ok_and(|stamp| stamp == prepared.disk) {
        return PreparedOnDisk::Unusable("its disk was changed".to_owned());
    }
    let full = prepared.boot_id != boot_id;
    let damage = prepared
        .device_state
        .damage(&paths.device_state(), true)
        .or_else(|| prepared.ram.damage(&paths.prepared_ram(), full));
    match damage {
        Some(damage) => PreparedOnDisk::Unusable(damage),
        None => PreparedOnDisk::Ready(Box::new(prepared)),
    }
}

/// Writes down that the machine in `paths` is whole, last of all.
pub(crate) fn commit(paths: &SessionPaths, prepared: &PreparedRecord) -> Result<(), RecordError> {
    record::write(&paths.prepared(), prepared, Durability::ThisBoot)
}

/// Puts the prepared machine where the session is, and the session, if there is one, where the
/// prepared machine was.
pub(crate) fn take(instance: &InstancePaths) -> io::Result<()> {
    let (main, ahead) = (instance.main(), instance.slot(SlotName::Ahead));
    swap(main.session().root(), ahead.session().root())?;
    record::sync_folder(main.root())
}

/// Undoes [`take`] where it was done and its start came to nothing: the user's session is where it
/// was, and the prepared machine, which has run, is gone. True if there was something to undo.
pub(crate) fn give_back(instance: &InstancePaths) -> io::Result<bool> {
    let (main, ahead) = (instance.main(), instance.slot(SlotName::Ahead));
    let (session, other) = (main.session(), ahead.session());
    if !session.prepared().try_exists()? {
        // Left by an adoption that was cut short.
        if other.root().try_exists()? && !other.prepared().try_exists()? {
            record::remove_folder(other.root())?;
        }
        return Ok(false);
    }
    // One that is prepared itself is not the user's.
    if other.disk().try_exists()? && !other.prepared().try_exists()? {
        swap(session.root(), other.root())?;
        record::sync_folder(main.root())?;
        record::remove_folder(other.root())?;
    } else {
        // It was made from the snapshot: nobody has done anything in it.
        record::remove_file(&session.prepared())?;
        record::remove_folder(session.root())?;
    }
    Ok(true)
}

/// Makes the machine that was taken the user's. What it was made from is no longer needed, and
/// [put aside](aside).
pub(crate) fn adopt(instance: &InstancePaths) -> io::Result<()> {
    let session = instance.main().session();
    let standby = session.standby_disk();
    if standby.try_exists()? {
        // The machine is the one that stood by, which runs on that disk.
        std::fs::rename(&standby, session.disk())?;
    }
    record::remove_file(&session.prepared())?;
    record::sync_folder(session.root())?;
    for path in [session.prepared_ram(), session.device_state()] {
        // Its pages stay with the process that has mapped it.
        record::remove_file(&path)?;
    }
    let ahead = instance.slot(SlotName::Ahead);
    let former = ahead.session();
    aside::put(&ahead, former.root())
}

/// Exchanges two folders, or moves `two` where `one` is not there.
fn swap(one: &Path, two: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    if !one.try_exists()? {
        return std::fs::rename(two, one);
    }
    Ok(renameat_with(CWD, one, CWD, two, RenameFlags::EXCHANGE)?)
}

/// Copies a file with its holes, for the user alone. Where the file system can share blocks, it does.
pub(crate) fn copy_sparse(from: &Path, to: &Path) -> io::Result<()> {
    let source = File::open(from)?;
    if host::disk::clone_file(&source, to)?.is_some() {
        return Ok(());
    }
    let target = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)?;
    target.set_len(source.metadata()?.len())?;
    sparse::for_each_stored(&source, |at, bytes| {
        let mut written = Ok(());
        // What is stored may be zeros all the same, and need not be stored again.
        sparse::for_each_run(bytes, |run| {
            if written.is_ok() {
                written = target.write_all_at(&bytes[run.clone()], at + run.start as u64);
            }
        });
        written
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::paths::{Home, InstanceName};

    struct Place {
        _folder: tempfile::TempDir,
        instance: InstancePaths,
    }

    /// An instance whose session's disk holds `user`, if any, with a prepared machine beside it.
    fn place(user: Option<&str>) -> Place {
        let folder = tempfile::tempdir().unwrap();
        let instance = Home::new(folder.path().to_owned()).instance(&InstanceName::default());
        let ahead = instance.slot(SlotName::Ahead).session();
        std::fs::create_dir_all(ahead.root()).unwrap();
        for (path, text) in [
            (ahead.disk(), "prepared"),
            (ahead.prepared_ram(), "ram"),
            (ahead.device_state(), "devices"),
            (ahead.prepared(), "{}"),
        ] {
            std::fs::write(path, text).unwrap();
        }
        if let Some(text) = user {
            let session = instance.main().session();
            std::fs::create_dir_all(session.root()).unwrap();
            std::fs::write(session.disk(), text).unwrap();
            std::fs::write(session.saved(), "{}").unwrap();
        }
        Place {
            _folder: folder,
            instance,
        }
    }

    fn disk(instance: &InstancePaths) -> Option<String> {
        std::fs::read_to_string(instance.main().session().disk()).ok()
    }

    #[test]
    fn what_was_taken_can_be_given_back_or_adopted() {
        for user in [Some("user"), None] {
            let place = place(user);
            let instance = &place.instance;
            assert!(!give_back(instance).unwrap(), "nothing was taken");
            take(instance).unwrap();
            assert_eq!(disk(instance).as_deref(), Some("prepared"));
            assert!(give_back(instance).unwrap());
            assert_eq!(disk(instance).as_deref(), user);
            let session = instance.main().session();
            assert_eq!(session.saved().exists(), user.is_some());
            assert!(!instance.slot(SlotName::Ahead).session().root().exists());
            assert!(!give_back(instance).unwrap(), "it was given back");
        }
        for user in [Some("user"), None] {
            let place = place(user);
            let instance = &place.instance;
            take(instance).unwrap();
            adopt(instance).unwrap();
            assert_eq!(disk(instance).as_deref(), Some("prepared"));
            assert!(!instance.slot(SlotName::Ahead).session().root().exists());
            assert!(!give_back(instance).unwrap(), "it is the user's now");
            adopt(instance).unwrap();
            let ahead = instance.slot(SlotName::Ahead);
            assert_eq!(ahead.used().exists(), user.is_some());
            aside::remove(&ahead).unwrap();
            assert!(!ahead.used().exists());
        }
    }

    /// A machine prepared from `from` in `place`, on the machine of `fingerprint`.
    fn prepared(place: &SessionPaths, from: PreparedFrom, fingerprint: &Fingerprint) {
        let record = PreparedRecord {
            from,
            secrets: "0123456789abcdef".into(),
            fingerprint: fingerprint.clone(),
            ram: Sealed::of(&place.prepared_ram()).unwrap(),
            device_state: Sealed::of(&place.device_state()).unwrap(),
            disk: FileStamp::of(&place.disk()).unwrap(),
            boot_id: "this boot".into(),
            made_at_ms: 1,
        };
        commit(place, &record).unwrap();
    }

    #[test]
    fn a_machine_is_taken_only_for_what_it_was_made_from_and_whole() {
        let place = place(None);
        let ahead = place.instance.slot(SlotName::Ahead).session();
        let now = Fingerprint::sample();
        let session = PreparedFrom::Session {
            saved_at_ms: 7,
            disk: FileStamp::of(&ahead.disk()).unwrap(),
        };
        let snapshot = PreparedFrom::Snapshot { id: "1".into() };
        for from in [session, snapshot.clone()] {
            prepared(&ahead, from.clone(), &now);
            let found = look(&ahead, &from, &now, "this boot");
            assert!(matches!(found, PreparedOnDisk::Ready(_)), "{found:?}");
            // Read in full, and found to be what it was.
            let found = look(&ahead, &from, &now, "another boot");
            assert!(matches!(found, PreparedOnDisk::Ready(_)), "{found:?}");
        }
        let reason = |from: &PreparedFrom, now: &Fingerprint, boot: &str| match look(
            &ahead, from, now, boot,
        ) {
            PreparedOnDisk::Unusable(reason) => reason,
            other => panic!("{other:?}"),
        };
        let other = PreparedFrom::Snapshot { id: "2".into() };
        assert!(reason(&other, &now, "this boot").contains("another one"));
        let bigger = Fingerprint {
            ram_mib: now.ram_mib * 2,
            ..now.clone()
        };
        assert!(reason(&snapshot, &bigger, "this boot").contains("guest memory"));
        for (path, text) in [
            (ahead.device_state(), "devicez"),
            (ahead.prepared_ram(), "rum"),
            (ahead.disk(), "prepared and more"),
        ] {
            let before = std::fs::read(&path).unwrap();
            std::fs::write(&path, text).unwrap();
            reason(&snapshot, &now, "another boot");
            std::fs::write(&path, before).unwrap();
            prepared(&ahead, snapshot.clone(), &now);
        }
        std::fs::write(ahead.prepared(), "{}").unwrap();
        reason(&snapshot, &now, "this boot");
        std::fs::remove_file(ahead.prepared()).unwrap();
        let found = look(&ahead, &snapshot, &now, "this boot");
        assert!(matches!(found, PreparedOnDisk::None), "{found:?}");
    }

    #[test]
    fn a_copy_has_the_holes_of_its_source() {
        use std::os::unix::fs::MetadataExt as _;
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let file = File::create(&from).unwrap();
        file.set_len(8 << 20).unwrap();
        file.write_all_at(b"here", 3 << 20).unwrap();
        copy_sparse(&from, &to).unwrap();
        assert_eq!(std::fs::read(&from).unwrap(), std::fs::read(&to).unwrap());
        assert!(to.metadata().unwrap().blocks() * 512 <= 1 << 20);
        assert!(copy_sparse(&from, &to).is_err(), "it is there already");
    }
}
