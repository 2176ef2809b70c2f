//! The exclusive right to fetch one thing, across processes.
//!
//! Each thing has a folder in the staging folder, named by its key, and a lock
//! file beside that. The lock is the kernel's: it goes with the process that
//! holds it, however that ends, and what the process left in the folder is
//! continued by the next one.
//!
//! The folder and the lock file go when the thing has been brought home
//! ([`Claim::finish`]), so a process that waited for the lock makes sure that the file
//! it got is still the one with the name.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use progress::{Phase, Reporter, Running};
use record::{Durability, Record};
use serde::{Deserialize, Serialize};

use crate::source::{Arch, Origin, Resolved};

const LOCK_SUFFIX: &str = "lock";
const LABEL_FILE: &str = "label";
const INFO_FILE: &str = "errand.json";

/// What is fetched in a claim's folder, so that it can be continued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DownloadInfo {
    /// Where it comes from.
    pub origin: Origin,
    /// Architecture of the guest.
    pub arch: Arch,
    /// Name of the file that is transferred.
    pub file: String,
    /// Length of that file in bytes, where known beforehand.
    pub bytes: Option<u64>,
}

impl Record for DownloadInfo {
    const FORMAT: &'static str = "stack-emulator-download-errand";
    const VERSION: u32 = 1;
}

impl From<&Resolved> for DownloadInfo {
    fn from(resolved: &Resolved) -> Self {
        Self {
            origin: resolved.origin.clone(),
            arch: resolved.arch,
            file: resolved.name.clone(),
            bytes: resolved.bytes,
        }
    }
}

/// The right could not be had, or given back.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct ClaimError {
    pub(crate) action: &'static str,
    pub(crate) path: PathBuf,
    #[source]
    pub(crate) source: io::Error,
}

fn error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ClaimError {
    move |source| ClaimError {
        action,
        path: path.to_owned(),
        source,
    }
}

/// The exclusive right to fetch one thing; given back when dropped.
#[derive(Debug)]
pub struct Claim {
    folder: PathBuf,
    lock_path: PathBuf,
    lease: Lease,
}

/// Keeps the lock held. Threads that write have one of their own, for they may
/// outlive a dropped future by a moment, and with it the claim.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    _lock: Arc<File>,
}

impl Claim {
    /// Takes the right to fetch what has `key`, waiting for the one that has it.
    pub(crate) async fn acquire(
        staging: &Path,
        key: &str,
        label: &str,
        reporter: &dyn Reporter,
    ) -> Result<Self, ClaimError> {
        std::fs::create_dir_all(staging).map_err(error("create", staging))?;
        let lock_path = staging.join(key).with_extension(LOCK_SUFFIX);
        let locked = loop {
            let file = open_lock(&lock_path).map_err(error("open the lock file", &lock_path))?;
            let file = wait(file, reporter)
                .await
                .map_err(error("lock", &lock_path))?;
            // The one who had it may have finished and removed it.
            if is_at(&file, &lock_path).map_err(error("look at", &lock_path))? {
                break file;
            }
        };
        let folder = staging.join(key);
        std::fs::create_dir_all(&folder).map_err(error("create", &folder))?;
        let label_path = folder.join(LABEL_FILE);
        // Only for people who ask what lies there, so it need not be synced.
        std::fs::write(&label_path, label).map_err(error("write", &label_path))?;
        Ok(Self {
            folder,
            lock_path,
            lease: Lease {
                _lock: Arc::new(locked),
            },
        })
    }

    /// Notes what the claim is for, so that another program can offer to go on.
    pub(crate) fn note(&self, info: &DownloadInfo) {
        // Not to be able to note it costs the offer, no more.
        record::write(&self.folder.join(INFO_FILE), info, Durability::ThisBoot).ok();
    }

    /// Where files lie until they are brought home.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn lease(&self) -> Lease {
        self.lease.clone()
    }

    /// Gives the right back after the thing was brought home, and removes the
    /// rest. Dropped without, the folder stays, to be continued.
    pub fn finish(self) -> Result<(), ClaimError> {
        remove(&self.folder, &self.lock_path)
    }
}

fn remove(folder: &Path, lock: &Path) -> Result<(), ClaimError> {
    // The lock file last: with it goes the protection of the folder.
    std::fs::remove_dir_all(folder).map_err(error("remove", folder))?;
    std::fs::remove_file(lock).map_err(error("remove", lock))
}

fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

/// Whether `file` is what `path` names now.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

async fn wait(file: File, reporter: &dyn Reporter) -> io::Result<File> {
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(std::fs::TryLockError::Error(error)) => return Err(error),
        Err(std::fs::TryLockError::WouldBlock) => {}
    }
    let _running = Running::begin(reporter, Phase::Lock);
    let (locked, lock) = tokio::sync::oneshot::channel();
    // A thread of its own, not one of the runtime's: it may stay blocked for
    // long, and the runtime would wait for it at exit.
    std::thread::spawn(move || {
        let result = file.lock().map(|()| file);
        // The receiver is gone if the wait was given up; then the file closes
        // here, and the lock with it.
        drop(locked.send(result));
    });
    lock.await
        .unwrap_or_else(|_| Err(io::Error::other("the waiting thread ended")))
}

/// What an interrupted fetch has left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// Its folder.
    pub folder: PathBuf,
    /// What was being fetched.
    pub label: String,
    /// Bytes on disk (blocks, not apparent sizes).
    pub bytes: u64,
    /// Somebody is at it right now.
    pub busy: bool,
    /// What it was about, if that was noted.
    pub info: Option<DownloadInfo>,
}

/// What interrupted fetches have left in `staging`.
pub fn leftovers(staging: &Path) -> Result<Vec<Leftover>, ClaimError> {
    let entries = match std::fs::read_dir(staging) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        entries => entries.map_err(error("read", staging))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let folder = entry.map_err(error("read", staging))?.path();
        if !folder.is_dir() {
            continue;
        }
        let lock_path = folder.with_extension(LOCK_SUFFIX);
        let busy = match record::regular::open(&lock_path) {
            Ok(lock) => matches!(
                lock.try_lock_shared(),
                Err(std::fs::TryLockError::WouldBlock)
            ),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(source) => return Err(error("open", &lock_path)(source)),
        };
        found.push(Leftover {
            bytes: blocks(&folder).map_err(error("read", &folder))?,
            label: std::fs::read_to_string(folder.join(LABEL_FILE)).unwrap_or_default(),
            // An older program left none, and a damaged one is as good as none.
            info: record::read_optional(&folder.join(INFO_FILE)).unwrap_or_default(),
            folder,
            busy,
        });
    }
    found.sort_by(|a, b| a.folder.cmp(&b.folder));
    Ok(found)
}

/// Bytes that the files in `folder` have on disk; it has no folders in it.
fn blocks(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        match entry?.metadata() {
            // `st_blocks` counts 512 bytes, whatever the file system's blocks.
            Ok(meta) => bytes += meta.blocks() * 512,
            // Another process has just renamed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

/// What of the file that `resolved` stands for lies in `staging` from earlier tries, in bytes.
pub fn bytes_here(staging: &Path, resolved: &Resolved) -> u64 {
    received(&staging.join(&resolved.key), &resolved.name)
}

/// The length of a file that may be here in part.
fn received(folder: &Path, file: &str) -> u64 {
    [file.to_owned(), format!("{file}.part")]
        .iter()
        .filter_map(|name| std::fs::metadata(folder.join(name)).ok())
        .map(|meta| meta.len())
        .max()
        .unwrap_or_default()
}

impl Leftover {
    /// What of the file has arrived, in bytes; 0 if it is not known which file.
    pub fn received(&self) -> u64 {
        self.info
            .as_ref()
            .map_or(0, |info| received(&self.folder, &info.file))
    }

    /// Removes it, unless somebody is at it: then `false`.
    pub fn remove(&self) -> Result<bool, ClaimError> {
        let lock_path = self.folder.with_extension(LOCK_SUFFIX);
        let lock = open_lock(&lock_path).map_err(error("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Ok(false),
            Err(std::fs::TryLockError::Error(source)) => {
                return Err(error("lock", &lock_path)(source));
            }
        }
        if !is_at(&lock, &lock_path).map_err(error("look at", &lock_path))? {
            return Ok(false);
        }
        remove(&self.folder, &lock_path)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use progress::{Event, Silent};

    struct Waits(std::sync::mpsc::SyncSender<()>);

    impl Reporter for Waits {
        fn report(&self, event: Event<'_>) {
            if event == Event::Begin(Phase::Lock) {
                self.0.send(()).unwrap();
            }
        }
    }

    #[tokio::test]
    async fn what_is_left_says_what_it_is_of_and_how_much_has_come() {
        let dir = tempfile::tempdir().unwrap();
        let claim = Claim::acquire(dir.path(), "k", "thing", &Silent)
            .await
            .unwrap();
        std::fs::write(claim.folder().join("disk.part"), "12345").unwrap();
        assert_eq!(leftovers(dir.path()).unwrap()[0].info, None);
        let info = DownloadInfo {
            origin: Origin::File {
                path: "/disk".into(),
            },
            arch: Arch::Amd64,
            file: "disk".into(),
            bytes: Some(9),
        };
        claim.note(&info);
        drop(claim);
        let left = leftovers(dir.path()).unwrap();
        assert_eq!(left[0].info, Some(info));
        assert_eq!(left[0].received(), 5);
        assert!(!left[0].busy);
        std::fs::write(left[0].folder.join(INFO_FILE), "damaged").unwrap();
        assert_eq!(leftovers(dir.path()).unwrap()[0].info, None);
    }

    #[tokio::test]
    async fn the_second_waits_and_gets_a_folder_that_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let first = Claim::acquire(dir.path(), "k", "thing", &Silent)
            .await
            .unwrap();
        std::fs::write(first.folder().join("half"), "half").unwrap();
        assert!(leftovers(dir.path()).unwrap()[0].busy);
        assert!(!leftovers(dir.path()).unwrap()[0].remove().unwrap());

        let (waits, waiting) = std::sync::mpsc::sync_channel(1);
        let staging = dir.path().to_owned();
        let second =
            tokio::spawn(
                async move { Claim::acquire(&staging, "k", "thing", &Waits(waits)).await },
            );
        tokio::task::spawn_blocking(move || waiting.recv())
            .await
            .unwrap()
            .unwrap();
        first.finish().unwrap();
        let second = second.await.unwrap().unwrap();
        assert!(second.folder().is_dir() && !second.folder().join("half").exists());
        assert!(
            leftovers(dir.path()).unwrap()[0].busy,
            "its lock is the one that has the name"
        );
    }

    #[tokio::test]
    async fn what_was_left_is_found_and_can_be_removed() {
        let dir = tempfile::tempdir().unwrap();
        let claim = Claim::acquire(dir.path(), "k", "pr-1", &Silent)
            .await
            .unwrap();
        std::fs::write(claim.folder().join("half"), vec![1; 100_000]).unwrap();
        drop(claim);
        let found = leftovers(dir.path()).unwrap();
        assert_eq!(
            (found.len(), found[0].label.as_str(), found[0].busy),
            (1, "pr-1", false)
        );
        assert!(found[0].bytes >= 100_000);
        assert!(found[0].remove().unwrap());
        assert_eq!(leftovers(dir.path()).unwrap(), []);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
