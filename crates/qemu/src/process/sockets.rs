//! The sockets of one running machine, by name.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use super::SpawnError;

/// The longest socket path every supported system takes, in bytes (macOS: 104 with the final NUL).
pub const MAX_SOCKET_PATH: usize = 103;

/// The longest of the names below.
const LONGEST_NAME: &str = "control.sock";

/// Paths of the sockets in a run folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sockets {
    folder: PathBuf,
}

/// Listening sockets, ready to be handed to QEMU.
#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) control: UnixListener,
    pub(super) events: UnixListener,
    pub(super) agent: UnixListener,
    pub(super) rotate: UnixListener,
}

impl Sockets {
    /// The sockets in `folder`, whether they exist or not.
    ///
    /// # Errors
    ///
    /// [`SpawnError::SocketPathTooLong`] if the system could not use their paths.
    pub fn in_dir(folder: &Path) -> Result<Self, SpawnError> {
        let longest = folder.join(LONGEST_NAME);
        let length = longest.as_os_str().len();
        if length > MAX_SOCKET_PATH {
            return Err(SpawnError::SocketPathTooLong {
                path: longest,
                length,
                limit: MAX_SOCKET_PATH,
            });
        }
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// QMP for commands.
    pub fn control(&self) -> PathBuf {
        self.folder.join("control.sock")
    }

    /// QMP for events.
    pub fn events(&self) -> PathBuf {
        self.folder.join("events.sock")
    }

    /// The guest agent.
    pub fn agent(&self) -> PathBuf {
        self.folder.join("agent.sock")
    }

    /// The rotation port.
    pub fn rotate(&self) -> PathBuf {
        self.folder.join("rotate.sock")
    }

    /// Whether there are sockets for both monitors. Asks nobody.
    pub fn are_there(&self) -> bool {
        [self.control(), self.events()].iter().all(|path| {
            std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket())
        })
    }

    /// Moves them into `folder`, replacing what others have left there. Clients that are connected stay
    /// so, and QEMU goes on listening.
    ///
    /// # Errors
    ///
    /// [`SpawnError::SocketPathTooLong`] for `folder`; [`SpawnError::StaleSocket`] if one cannot be
    /// moved.
    pub fn move_to(&self, folder: &Path) -> Result<Self, SpawnError> {
        let moved = Self::in_dir(folder)?;
        for (from, to) in [
            (self.control(), moved.control()),
            (self.events(), moved.events()),
            (self.agent(), moved.agent()),
            (self.rotate(), moved.rotate()),
        ] {
            std::fs::rename(&from, &to)
                .map_err(|source| SpawnError::StaleSocket { path: from, source })?;
        }
        Ok(moved)
    }

    /// For a copy of another machine to come through; QEMU makes it and removes it. Short enough
    /// wherever the others are.
    pub fn copy(&self) -> PathBuf {
        self.folder.join("copy.sock")
    }

    /// Removes the sockets. For after the machine has ended.
    ///
    /// # Errors
    ///
    /// [`SpawnError::StaleSocket`] if one cannot be removed.
    pub fn remove(&self) -> Result<(), SpawnError> {
        [
            self.control(),
            self.events(),
            self.agent(),
            self.rotate(),
            self.copy(),
        ]
        .iter()
        .try_for_each(|path| remove_socket(path))
    }

    pub(super) fn listen(&self) -> Result<Listeners, SpawnError> {
        private_folder(&self.folder)?;
        remove_socket(&self.copy())?;
        let listen = |path: PathBuf| {
            remove_socket(&path)?;
            UnixListener::bind(&path).map_err(|source| SpawnError::Listen { path, source })
        };
        Ok(Listeners {
            control: listen(self.control())?,
            events: listen(self.events())?,
            agent: listen(self.agent())?,
            rotate: listen(self.rotate())?,
        })
    }
}

fn remove_socket(path: &Path) -> Result<(), SpawnError> {
    let stale = |source| SpawnError::StaleSocket {
        path: path.to_owned(),
        source,
    };
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.file_type().is_socket() => std::fs::remove_file(path).map_err(stale),
        Ok(_) => Err(stale(io::Error::from(io::ErrorKind::AlreadyExists))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(stale(error)),
    }
}

/// Makes sure that only this user can reach what is in `folder`: anyone who can connect to the
/// monitor controls the machine.
fn private_folder(folder: &Path) -> Result<(), SpawnError> {
    let failed = |source| SpawnError::RunFolder {
        path: folder.to_owned(),
        source,
    };
    match std::fs::DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(error)),
    }
    // A link may lead there, from a path that is short enough for sockets.
    let meta = std::fs::metadata(folder).map_err(failed)?;
    if !meta.is_dir() {
        return Err(failed(io::Error::from(io::ErrorKind::NotADirectory)));
    }
    if meta.mode() & 0o077 != 0 || meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(SpawnError::RunFolderNotPrivate {
            path: folder.to_owned(),
            mode: meta.mode() & 0o7777,
            owner: meta.uid(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_path_at_the_limit_works_and_one_beyond_is_named() {
        let root = tempfile::tempdir().unwrap();
        let room = MAX_SOCKET_PATH - root.path().as_os_str().len() - LONGEST_NAME.len() - 2;
        let folder = root.path().join("d".repeat(room));
        let sockets = Sockets::in_dir(&folder).unwrap();
        assert_eq!(sockets.control().as_os_str().len(), MAX_SOCKET_PATH);
        sockets.listen().unwrap();

        let error = Sockets::in_dir(&root.path().join("d".repeat(room + 1))).unwrap_err();
        assert!(
            matches!(error, SpawnError::SocketPathTooLong { length: 104, .. }),
            "{error}"
        );
    }

    #[test]
    fn the_folder_must_be_private() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("run");
        let sockets = Sockets::in_dir(&folder).unwrap();
        drop(sockets.listen().unwrap());
        assert_eq!(std::fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);

        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o750)).unwrap();
        let error = sockets.listen().unwrap_err();
        assert!(
            matches!(error, SpawnError::RunFolderNotPrivate { mode: 0o750, .. }),
            "{error}"
        );
    }

    #[test]
    fn stale_sockets_are_replaced_and_other_files_are_not() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("run");
        let sockets = Sockets::in_dir(&folder).unwrap();
        drop(sockets.listen().unwrap());
        drop(sockets.listen().unwrap());
        sockets.remove().unwrap();
        sockets.remove().unwrap();
        std::fs::write(sockets.agent(), b"something of the user").unwrap();
        let error = sockets.listen().unwrap_err();
        assert!(matches!(error, SpawnError::StaleSocket { .. }), "{error}");
        assert!(sockets.agent().exists());
    }
}
