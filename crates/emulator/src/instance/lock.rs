//! One command at a time acts on an instance.
//!
//! The lock is advisory and the kernel's: it goes with the process that holds
//! it, however that ends. The file's content only tells others who it is.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use progress::{Event, Phase, Reporter, Running};

/// Who holds an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// What it is doing, for instance `start`.
    pub command: String,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` (pid {})", self.command, self.pid)
    }
}

/// The lock could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The lock file cannot be used.
    #[error("cannot use the lock file {}", path.display())]
    File {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The lock file is not there any more, and its folder may not be: the instance was deleted.
    #[error("the lock file {} is gone: the instance was deleted", path.display())]
    Gone {
        /// Where it was.
        path: PathBuf,
    },
    /// Another command holds the instance for too long.
    #[error("gave up after {} s: the emulator is busy with {}", waited.as_secs(), who(holder.as_ref()))]
    Busy {
        /// Who holds it, where that can be told.
        holder: Option<Holder>,
        /// How long it was waited for.
        waited: Duration,
    },
}

/// The lock, held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock at `path` for `command`, waiting for at most `limit` and
    /// saying who is waited for.
    pub(crate) async fn acquire(
        path: &Path,
        command: &str,
        limit: Duration,
        reporter: &dyn Reporter,
    ) -> Result<Self, LockError> {
        let error = |source| LockError::File {
            path: path.to_owned(),
            source,
        };
        let file = open(path).map_err(|source| unusable(path, source))?;
        let file = match file.try_lock() {
            Ok(()) => file,
            Err(std::fs::TryLockError::Error(source)) => return Err(error(source)),
            Err(std::fs::TryLockError::WouldBlock) => {
                let waiting = Running::begin(reporter, Phase::Lock);
                reporter.report(Event::Notice(&format!(
                    "Waiting up to {} for {}.",
                    minutes(limit),
                    who(read_holder(path).as_ref())
                )));
                let (locked, lock) = tokio::sync::oneshot::channel();
                // A thread of its own, not one of the runtime's: it may stay
                // blocked for ever, and the runtime would wait for it at exit.
                std::thread::spawn(move || {
                    let result = file.lock().map(|()| file);
                    // The receiver is gone if the wait was given up; then the
                    // file closes here, and the lock with it.
                    drop(locked.send(result));
                });
                let lock = tokio::time::timeout(limit, lock).await;
                drop(waiting);
                match lock {
                    Ok(Ok(file)) => file.map_err(error)?,
                    Ok(Err(_)) | Err(_) => {
                        return Err(LockError::Busy {
                            holder: read_holder(path),
                            waited: limit,
                        });
                    }
                }
            }
        };
        Self::noted(file, path, command)
    }

    /// Takes the lock at `path` if nobody has it.
    pub(crate) fn try_acquire(path: &Path, command: &str) -> Result<Option<Self>, LockError> {
        let file = open(path).map_err(|source| unusable(path, source))?;
        match file.try_lock() {
            Ok(()) => Self::noted(file, path, command).map(Some),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(source)) => Err(unusable(path, source)),
        }
    }

    /// Says in the file who has locked it. That only helps others to know: where
    /// it cannot be written, on a disk that is full, the lock holds all the same.
    ///
    /// A file that was locked is worth nothing if others would look at another one: between its
    /// opening and its locking, the instance may have been deleted.
    fn noted(file: File, path: &Path, command: &str) -> Result<Self, LockError> {
        if !is_at(&file, path) {
            return Err(LockError::Gone {
                path: path.to_owned(),
            });
        }
        if let Err(error) = note(&file, path, command) {
            tracing::debug!(%error, "the lock does not say who holds it");
        }
        Ok(Self { _file: file })
    }

    /// Who holds the lock at `path` right now; `Ok(None)` if nobody does.
    pub(crate) fn holder(path: &Path) -> std::io::Result<Option<Holder>> {
        let file = match record::regular::open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(std::fs::TryLockError::Error(error)) => Err(error),
            Err(std::fs::TryLockError::WouldBlock) => {
                Ok(Some(read_holder(path).unwrap_or(Holder {
                    pid: 0,
                    command: "another command".to_owned(),
                })))
            }
        }
    }
}

/// Whether the open `file` is the one at `path`.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |meta: &std::fs::Metadata| (meta.dev(), meta.ino());
    let (held, there) = (file.metadata(), std::fs::metadata(path));
    matches!((held, there), (Ok(held), Ok(there)) if identity(&held) == identity(&there))
}

fn unusable(path: &Path, source: std::io::Error) -> LockError {
    let path = path.to_owned();
    if source.kind() == std::io::ErrorKind::NotFound {
        LockError::Gone { path }
    } else {
        LockError::File { path, source }
    }
}

/// The command to wait for, for people.
fn who(holder: Option<&Holder>) -> String {
    holder.map_or("another command".to_owned(), ToString::to_string)
}

/// A limit, never shorter than it is: `6 min`.
fn minutes(limit: Duration) -> String {
    match limit.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds => format!("{} min", seconds.div_ceil(60)),
    }
}

/// Writes the note, so that who watches the file is told of the lock now, and again when it goes: Linux tells of
/// the write and of the close. macOS tells of what was written when that descriptor is closed, after its lock is
/// gone; so there the note is also written by a descriptor that is closed at once.
fn note(mut file: &File, path: &Path, command: &str) -> std::io::Result<()> {
    let holder = Holder {
        pid: std::process::id(),
        command: command.to_owned(),
    };
    let text = serde_json::to_vec(&holder)?;
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(&text)?;
    if cfg!(target_os = "macos") {
        File::options().write(true).open(path)?.write_all(&text)?;
    }
    Ok(())
}

/// Opens a file that is locked, and makes it where it is not there.
pub(super) fn open(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

fn read_holder(path: &Path) -> Option<Holder> {
    let mut text = String::new();
    record::regular::open(path)
        .ok()?
        .take(4096)
        .read_to_string(&mut text)
        .ok()?;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use progress::Silent;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_lock_holds_where_its_note_cannot_be_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        // As on a disk that is full: no byte of it can be written.
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        drop(Lock::try_acquire(&path, "stop --discard").unwrap().unwrap());
    }

    #[test]
    fn a_limit_is_told_in_minutes_and_never_too_short() {
        let told = |seconds| minutes(Duration::from_secs(seconds));
        assert_eq!(
            [told(61), told(120), told(121), told(360)],
            ["61 s", "2 min", "3 min", "6 min"]
        );
    }

    #[tokio::test]
    async fn the_second_waits_for_the_first_or_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let take = |command, limit| Lock::acquire(&path, command, limit, &Silent);
        let first = take("start", Duration::ZERO).await.unwrap();
        let error = take("stop", Duration::from_millis(50))
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("`start`") && error.contains(&std::process::id().to_string()),
            "{error}"
        );
        assert_eq!(Lock::holder(&path).unwrap().unwrap().command, "start");
        let (second, ()) = tokio::join!(take("stop", Duration::from_secs(30)), async {
            tokio::task::yield_now().await;
            drop(first);
        });
        assert_eq!(Lock::holder(&path).unwrap().unwrap().command, "stop");
        drop(second.unwrap());
        // A process that another test is just starting has all open files until it is that program.
        drop(take("third", Duration::from_secs(30)).await.unwrap());
    }
}
