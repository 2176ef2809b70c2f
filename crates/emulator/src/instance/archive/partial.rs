//! A file that appears at its place only when it is whole.
//!
//! It is written beside its place under a fixed hidden name and renamed at the
//! end. What a killed command left there is written over by the next; what a
//! running one writes is guarded by a lock on the file.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::error::ArchiveError;
use record::sync_folder;

/// The file while it is written. Dropped without [`Partial::commit`], it is removed.
#[derive(Debug)]
pub(super) struct Partial {
    target: PathBuf,
    path: PathBuf,
    file: File,
    committed: bool,
}

impl Partial {
    /// Begins a file that will be at `target`, readable by the user alone.
    pub(super) fn create(target: &Path) -> Result<Self, ArchiveError> {
        let error = |source| ArchiveError::Write {
            path: target.to_owned(),
            source,
        };
        let Some(name) = target.file_name() else {
            return Err(error(std::io::ErrorKind::InvalidFilename.into()));
        };
        record::regular::check_replaceable(target).map_err(error)?;
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(".partial");
        let path = target.with_file_name(hidden);
        // A pipe by that name is not waited for, and has no length that could be set.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        loop {
            let file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .custom_flags(flags.bits().cast_signed())
                .open(&path)
                .map_err(error)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::Error(source)) => return Err(error(source)),
                Err(TryLockError::WouldBlock) => {
                    return Err(ArchiveError::Busy {
                        path: target.to_owned(),
                    });
                }
            }
            // Another command may have put its file in place, or removed it,
            // between our opening and our locking it.
            let ours = file.metadata().map_err(error)?;
            let there = std::fs::symlink_metadata(&path);
            if there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
                let partial = Self {
                    target: target.to_owned(),
                    path,
                    file,
                    committed: false,
                };
                partial.file.set_len(0).map_err(error)?;
                return Ok(partial);
            }
        }
    }

    /// The file.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Where it will be.
    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    /// The folder it is in.
    pub(super) fn folder(&self) -> &Path {
        match self.target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }

    /// Syncs it and puts it at its place, in place of what is there.
    pub(super) fn commit(mut self) -> Result<(), ArchiveError> {
        let commit = || -> std::io::Result<()> {
            self.file.sync_all()?;
            std::fs::rename(&self.path, &self.target)
        };
        let error = |source| ArchiveError::Write {
            path: self.target.clone(),
            source,
        };
        commit().map_err(error)?;
        self.committed = true;
        sync_folder(self.folder()).map_err(|source| ArchiveError::Write {
            path: self.target.clone(),
            source,
        })
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.committed {
            // If it cannot be removed, the next command writes over it.
            drop(std::fs::remove_file(&self.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn names(dir: &Path) -> Vec<OsString> {
        let entries = std::fs::read_dir(dir).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn what_was_there_stays_until_the_new_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a.zst");
        std::fs::write(&target, "old").unwrap();
        let dropped = Partial::create(&target).unwrap();
        dropped.file().write_all(b"half").unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"old");
        drop(dropped);
        assert_eq!(names(dir.path()), ["a.zst"]);
        let whole = Partial::create(&target).unwrap();
        whole.file().write_all(b"new").unwrap();
        whole.commit().unwrap();
        assert_eq!(names(dir.path()), ["a.zst"]);
        assert_eq!(std::fs::read(&target).unwrap(), b"new");
        assert_eq!(std::fs::metadata(&target).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn two_at_once_are_refused_and_leftovers_are_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a.zst");
        std::fs::write(dir.path().join(".a.zst.partial"), "left by a kill").unwrap();
        let first = Partial::create(&target).unwrap();
        assert!(matches!(
            Partial::create(&target),
            Err(ArchiveError::Busy { .. })
        ));
        first.file().write_all(b"new").unwrap();
        first.commit().unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"new");
        Partial::create(&target).unwrap();
    }

    #[test]
    fn a_link_in_the_way_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let other = dir.path().join("other");
        std::fs::write(&other, "mine").unwrap();
        std::os::unix::fs::symlink(&other, dir.path().join(".a.zst.partial")).unwrap();
        assert!(Partial::create(&dir.path().join("a.zst")).is_err());
        assert_eq!(std::fs::read(&other).unwrap(), b"mine");
    }
}
