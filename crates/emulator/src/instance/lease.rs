//! Who uses an emulator that one of them has started: the last one to leave
//! stops it, whichever that is.
//!
//! Each user holds a shared lock on one file. The one who started the emulator
//! writes into it, when leaving, that it is to be stopped; the one that is then alone
//! does that. A user that is killed lets go of its lock and leaves no mark.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use super::lock::open;
use crate::config::paths::make_private_folder;
use crate::instance::Emulator;
use crate::instance::error::InstanceError as Error;

const STOP: &str = "stop\n";

/// One user's hold on an emulator.
#[derive(Debug)]
pub struct Lease {
    file: File,
    path: PathBuf,
}

/// What there is to do for one who leaves.
#[derive(Debug)]
pub enum Leaving {
    /// Nothing: others use it, or nobody who left had started it.
    Nothing,
    /// Stop the emulator, and drop this only then: it keeps newcomers waiting.
    Stop(Lease),
    /// The emulator was started for this user, and others use it now.
    LeftToOthers,
}

impl Emulator {
    /// Takes part in using the emulator. Waits for one that is just being stopped.
    pub async fn lease(&self) -> Result<Lease, Error> {
        make_private_folder(self.paths.root())?;
        let path = self.paths.users();
        let taken = tokio::task::spawn_blocking({
            let path = path.clone();
            move || Lease::take(path)
        });
        match taken.await {
            Ok(taken) => taken.map_err(Error::file("lock", &path)),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
}

impl Lease {
    fn take(path: PathBuf) -> std::io::Result<Self> {
        let file = open(&path)?;
        // What was left by users who were killed is void.
        match file.try_lock() {
            Ok(()) => file.set_len(0)?,
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        file.lock_shared()?;
        Ok(Self { file, path })
    }

    /// Takes the place of the last user, if there is none: newcomers wait until this is dropped.
    pub(super) fn alone(path: &Path) -> std::io::Result<Option<Self>> {
        let file = open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self {
                file,
                path: path.to_owned(),
            })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Whether there is a user, or one who has just left and stops it.
    pub(super) fn is_taken(path: &Path) -> std::io::Result<bool> {
        // Who comes in the moment for which this has the lock waits for that moment.
        Ok(path.try_exists()? && Self::alone(path)?.is_none())
    }

    /// Leaves; `started` if the emulator was started for this user.
    pub fn leave(self, started: bool) -> Result<Leaving, Error> {
        let path = self.path.clone();
        self.try_leave(started).map_err(Error::file("lock", &path))
    }

    fn try_leave(mut self, started: bool) -> std::io::Result<Leaving> {
        if started {
            self.file.rewind()?;
            self.file.write_all(STOP.as_bytes())?;
        }
        self.file.unlock()?;
        match self.file.try_lock() {
            Err(TryLockError::WouldBlock) if started => Ok(Leaving::LeftToOthers),
            Err(TryLockError::WouldBlock) => Ok(Leaving::Nothing),
            Err(TryLockError::Error(error)) => Err(error),
            Ok(()) => {
                let mut mark = String::new();
                self.file.rewind()?;
                self.file.read_to_string(&mut mark)?;
                self.file.set_len(0)?;
                Ok(if mark == STOP {
                    Leaving::Stop(self)
                } else {
                    Leaving::Nothing
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(dir: &tempfile::TempDir) -> Lease {
        Lease::take(dir.path().join("users")).unwrap()
    }

    #[test]
    fn who_is_alone_stops_what_was_started() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(take(&dir).leave(true).unwrap(), Leaving::Stop(_)));
        assert!(matches!(take(&dir).leave(false).unwrap(), Leaving::Nothing));
    }

    #[test]
    fn the_last_one_stops_what_another_started() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second, third) = (take(&dir), take(&dir), take(&dir));
        assert!(matches!(first.leave(true).unwrap(), Leaving::LeftToOthers));
        assert!(matches!(second.leave(false).unwrap(), Leaving::Nothing));
        assert!(matches!(third.leave(false).unwrap(), Leaving::Stop(_)));
        assert!(matches!(take(&dir).leave(false).unwrap(), Leaving::Nothing));
    }

    #[test]
    fn the_word_of_users_who_were_killed_is_void() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (take(&dir), take(&dir));
        assert!(matches!(first.leave(true).unwrap(), Leaving::LeftToOthers));
        drop(second);
        assert!(matches!(take(&dir).leave(false).unwrap(), Leaving::Nothing));
    }
}
