//! What the instances of a home share: the folder that they lie in, and the blocks of ports.
//!
//! A command that adds an instance, takes a block of ports or removes leftovers has this lock, for
//! milliseconds and never while it waits for anything else. A folder whose name begins with a dot
//! is no instance: `.new-NAME` is on its way in, locked by the command that makes it, and
//! `.old-NAME-…` is on its way out. What a killed command has left of either goes with the next
//! command, whatever that does.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use super::Emulator;
use super::lock::{Lock, LockError, open};
use crate::config::paths::{Home, InstanceName, make_private_folder};
use crate::instance::error::InstanceError as Error;
use crate::machine::error::MachineError;
use crate::state::snapshot::new_id;
use failure::chain;

/// How long somebody else may have the lock.
const LIMIT: Duration = Duration::from_secs(30);
/// Begins the name of a folder that will be an instance.
const NEW: &str = ".new-";
/// Begins the name of a folder that was an instance.
const OLD: &str = ".old-";

/// The lock on what the instances share, held until it is dropped.
pub(super) struct SharedLock {
    _file: File,
}

impl SharedLock {
    /// Takes the lock; who has it gives it back at once, unless that process is stopped.
    pub(super) fn take(home: &Home) -> Result<Self, Error> {
        let folder = home.instances();
        make_private_folder(&folder)?;
        let path = folder.join(".lock");
        let file = open(&path).map_err(Error::file("open", &path))?;
        let file = match file.try_lock() {
            Ok(()) => file,
            Err(TryLockError::WouldBlock) => {
                let (locked, lock) = mpsc::channel();
                // It stays blocked as long as it takes; a command that gives up leaves it behind.
                std::thread::spawn(move || {
                    let result = file.lock().map(|()| file);
                    drop(locked.send(result));
                });
                let lock = lock.recv_timeout(LIMIT).map_err(|_| LockError::Busy {
                    holder: None,
                    waited: LIMIT,
                })?;
                lock.map_err(Error::file("lock", &path))?
            }
            Err(TryLockError::Error(source)) => return Err(Error::file("lock", &path)(source)),
        };
        Ok(Self { _file: file })
    }

    /// The same if nobody has it.
    fn try_take(home: &Home) -> Option<Self> {
        let file = open(&home.instances().join(".lock")).ok()?;
        file.try_lock().ok()?;
        Some(Self { _file: file })
    }
}

/// Where the instance called `name` is made.
pub(super) fn incoming(home: &Home, name: &InstanceName) -> PathBuf {
    home.instances().join(format!("{NEW}{name}"))
}

/// A place for the instance called `name` to be removed from, not used before.
pub(super) fn outgoing(home: &Home, name: &InstanceName) -> Result<PathBuf, Error> {
    let id = new_id().map_err(MachineError::Random)?;
    Ok(home.instances().join(format!("{OLD}{name}-{id}")))
}

impl Emulator {
    /// Removes what killed commands have left of instances that were to be made or removed. What
    /// cannot be removed is in nobody's way.
    pub(super) fn remove_leftovers(&self) {
        let is_left = |path: &Path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with(NEW) || name.starts_with(OLD))
        };
        let entries = std::fs::read_dir(self.home.instances());
        let entries = entries.into_iter().flatten().flatten();
        let left: Vec<_> = entries.map(|entry| entry.path()).collect();
        let left: Vec<_> = left.into_iter().filter(|path| is_left(path)).collect();
        if left.is_empty() {
            return;
        }
        // A folder is made and locked with this lock held, so one that is found is locked or left.
        let Some(_lock) = SharedLock::try_take(&self.home) else {
            return;
        };
        for path in left {
            if matches!(Lock::holder(&path.join("lock")), Ok(Some(_))) {
                continue;
            }
            if let Err(error) = record::remove_folder(&path) {
                tracing::warn!(path = %path.display(), error = %chain(&error), "a leftover stays");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::variables::{HOME, Settings};

    #[test]
    fn what_was_left_goes_and_what_is_being_made_stays() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings::from_variables([(HOME.into(), dir.path().into())]).unwrap();
        let emulator = Emulator::new(settings, InstanceName::default(), None);
        // Nothing to do in a home that is not there yet.
        emulator.remove_leftovers();
        let (one, two) = ("one".parse().unwrap(), "two".parse().unwrap());
        let left = incoming(&emulator.home, &one);
        let made = incoming(&emulator.home, &two);
        let old = outgoing(&emulator.home, &one).unwrap();
        assert_ne!(old, outgoing(&emulator.home, &one).unwrap());
        let other = emulator.home.instances().join(".git");
        for folder in [&left, &made, &old, &other] {
            std::fs::create_dir_all(folder.join("snapshots")).unwrap();
        }
        let lock = Lock::try_acquire(&made.join("lock"), "clone")
            .unwrap()
            .unwrap();
        let busy = SharedLock::take(&emulator.home).unwrap();
        emulator.remove_leftovers();
        assert!(left.exists(), "somebody is at work");
        drop(busy);
        emulator.remove_leftovers();
        assert!(!left.exists() && !old.exists());
        assert!(made.exists() && other.exists());
        drop(lock);
        emulator.remove_leftovers();
        assert!(!made.exists());
        assert_eq!(emulator.instance_names().unwrap(), []);
    }
}
