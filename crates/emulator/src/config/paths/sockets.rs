//! Sockets, and what else is there for a running machine alone.
//!
//! Sockets are in the slot's folder: nobody tidies up there, as others do in `/tmp` and at a logout in
//! `/run/user`, and they move with it. A socket's path is limited to 104 bytes on macOS and 108 on
//! Linux, and a home folder can be longer than that by itself: a link in the runtime folder then
//! leads there, which every command makes anew. Where the home's file system has no sockets, they are
//! in the runtime folder themselves.

use std::path::{Path, PathBuf};

use super::{FolderError, SlotName, SlotPaths, make_private_folder};
use crate::config::identity::FolderIdentity;

/// The longest path of a folder of sockets, in bytes.
const LONGEST: usize = qemu::process::MAX_SOCKET_PATH - "/control.sock".len();

impl SlotPaths {
    /// What versions that wrote no token into their run record marked their QEMU with: 12 hex characters
    /// of the slot's path, whatever spelling of it is used.
    pub(crate) fn digest(&self) -> Result<String, FolderError> {
        use sha2::Digest as _;
        use std::os::unix::ffi::OsStrExt as _;
        make_private_folder(&self.root)?;
        let root = self
            .root
            .canonicalize()
            .map_err(|source| FolderError::Make {
                path: self.root.clone(),
                source,
            })?;
        let digest = images::Sha256Digest::from(<[u8; 32]>::from(sha2::Sha256::digest(
            root.as_os_str().as_bytes(),
        )));
        Ok(digest.short())
    }

    /// Names the slot's folder among the files of this boot. It goes by the instance's folder and not by
    /// its path: moved, the instance keeps it, and a copy has another.
    pub(super) fn folder_mark(&self) -> Result<String, FolderError> {
        make_private_folder(&self.root)?;
        let identity = FolderIdentity::of(&self.instance).map_err(|source| FolderError::Make {
            path: self.instance.clone(),
            source,
        })?;
        let suffix = match self.name {
            SlotName::Main => "",
            SlotName::Ahead => "a",
            SlotName::Checkpoint => "c",
        };
        Ok(format!("{}{suffix}", identity.mark()))
    }

    /// The folder of its sockets, where the file system has such.
    pub fn sockets_folder(&self) -> PathBuf {
        self.root.join("sockets")
    }

    /// [`Self::sockets_folder`] by a path that is short enough for a socket.
    pub fn sockets(&self) -> Result<PathBuf, FolderError> {
        let folder = self.sockets_folder();
        if folder.as_os_str().len() <= LONGEST {
            return Ok(folder);
        }
        let link = self.runtime_folder()?.join("here");
        let root = self.root.canonicalize();
        let linked = root.and_then(|root| lead_to(&link, &root.join("sockets")));
        linked.map_err(|source| FolderError::Make {
            path: link.clone(),
            source,
        })?;
        Ok(link)
    }

    /// Where the QEMU that carries `token` writes its process id.
    pub fn pid_file(&self, token: &str) -> PathBuf {
        let name: String = token.chars().take(8).collect();
        self.sockets_folder().join(format!("{name}.pid"))
    }
}

/// Has `link` lead to `target`. Others may be about the same.
fn lead_to(link: &Path, target: &Path) -> std::io::Result<()> {
    loop {
        match std::os::unix::fs::symlink(target, link) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            done => return done,
        }
        match std::fs::read_link(link) {
            Ok(there) if there == target => return Ok(()),
            // Of an instance that was moved.
            Ok(_) => record::remove_file(link)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::paths::{Home, InstanceName};

    #[test]
    fn sockets_are_found_by_a_short_path_wherever_the_home_is_moved() {
        let dir = tempfile::tempdir().unwrap();
        let slot = |home: &Path| {
            Home::new(home.to_owned())
                .instance(&InstanceName::default())
                .main()
        };
        let short = slot(&dir.path().join("h"));
        assert_eq!(short.sockets().unwrap(), short.sockets_folder());
        let long = dir.path().join("x".repeat(100));
        make_private_folder(&slot(&long).sockets_folder()).unwrap();
        std::fs::write(slot(&long).sockets_folder().join("mark"), "").unwrap();
        let moved = dir.path().join("y".repeat(100));
        let seen = |home: &Path| {
            let sockets = slot(home).sockets().unwrap();
            sockets.as_os_str().len() <= LONGEST && sockets.join("mark").exists()
        };
        assert!(seen(&long));
        std::fs::rename(&long, &moved).unwrap();
        assert!(seen(&moved) && seen(&moved));
        std::fs::remove_dir_all(slot(&moved).runtime_folder().unwrap()).unwrap();
        assert!(seen(&moved));
        std::fs::remove_dir_all(slot(&moved).runtime_folder().unwrap()).unwrap();
    }
}
