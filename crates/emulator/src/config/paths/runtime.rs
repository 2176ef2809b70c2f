//! Where a slot's sockets are: a folder that is ours alone, wherever one can be had.
//!
//! The usual places have names that everybody can know. In `/tmp` somebody else can have made a
//! folder or a link of that name before; then a folder with a random name is made there, and the
//! slot has a link that says which.

use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::{FolderError, SlotPaths, make_private_folder};
use crate::config::variables::RUNTIME_FOLDER;

/// Most bytes of the path of a base: room for a mark of 12 digits and the longest name of a socket is left.
const MOST_BYTES: usize = 75;
/// How often the link is made before it is given up: another command may make one meanwhile.
const ATTEMPTS: usize = 5;

impl SlotPaths {
    /// Says which folder is used in place of those with a usual name.
    fn runtime_link(&self) -> PathBuf {
        self.root.join("runtime")
    }

    /// Makes and returns the folder for sockets.
    pub fn runtime_folder(&self) -> Result<PathBuf, FolderError> {
        self.runtime_folder_in(user_folder(), Path::new("/tmp"))
    }

    /// The same with the user's own folder, if one is set, and one that is everybody's.
    fn runtime_folder_in(
        &self,
        set: Option<PathBuf>,
        shared: &Path,
    ) -> Result<PathBuf, FolderError> {
        let digest = self.folder_mark()?;
        let name = format!("stack-emulator-{}", rustix::process::getuid().as_raw());
        let own = set
            .filter(|path| path.is_absolute() && path.is_dir())
            .map(|path| path.join("stack-emulator"));
        for base in own.into_iter().chain([shared.join(&name)]) {
            if base.as_os_str().len() > MOST_BYTES {
                continue;
            }
            match private_below(&base, &digest) {
                Ok(folder) => return Ok(folder),
                Err(error) => {
                    let error = failure::chain(&error);
                    tracing::info!(error, "another folder is taken for sockets");
                }
            }
        }
        self.nameless(shared, &name, &digest)
    }

    /// The folder that the slot's link leads to; a new one, if that cannot be used.
    fn nameless(&self, shared: &Path, name: &str, digest: &str) -> Result<PathBuf, FolderError> {
        let link = self.runtime_link();
        let failed = |source| FolderError::Make {
            path: link.clone(),
            source,
        };
        let mut attempt = 0;
        loop {
            attempt += 1;
            // Whoever can write the link could write all else of the instance; it came here with a copy,
            // perhaps, and the folder is gone after a reboot.
            if let Ok(base) = std::fs::read_link(&link)
                && base.parent() == Some(shared)
                && base.is_dir()
                && let Ok(folder) = private_below(&base, digest)
            {
                return Ok(folder);
            }
            record::remove_file(&link).map_err(failed)?;
            let mut random = [0; 8];
            getrandom::fill(&mut random).map_err(|error| {
                let code = error.raw_os_error();
                failed(code.map_or(ErrorKind::Other.into(), std::io::Error::from_raw_os_error))
            })?;
            let base = shared.join(format!("{name}-{:016x}", u64::from_be_bytes(random)));
            let make = |source| FolderError::Make {
                path: base.clone(),
                source,
            };
            // Not recursive: one that is there already is somebody else's.
            std::fs::DirBuilder::new()
                .mode(0o700)
                .create(&base)
                .map_err(make)?;
            match std::os::unix::fs::symlink(&base, &link) {
                Ok(()) => return private_below(&base, digest),
                Err(source) => {
                    std::fs::remove_dir(&base).map_err(make)?;
                    if source.kind() != ErrorKind::AlreadyExists || attempt == ATTEMPTS {
                        return Err(failed(source));
                    }
                }
            }
        }
    }
}

/// The user's own folder, if the system has one. It must not depend on how a process was started: macOS is asked
/// for it where the variable is not set, as for a login over the network.
fn user_folder() -> Option<PathBuf> {
    if cfg!(target_os = "macos") {
        Some(std::env::temp_dir())
    } else {
        std::env::var_os(RUNTIME_FOLDER).map(PathBuf::from)
    }
}

/// The folder called `name` in `base`, both made for the user alone.
fn private_below(base: &Path, name: &str) -> Result<PathBuf, FolderError> {
    make_private_folder(base)?;
    let folder = base.join(name);
    make_private_folder(&folder)?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;
    use crate::config::paths::{Home, InstanceName};

    fn slot(home: &Path) -> SlotPaths {
        Home::new(home.to_owned())
            .instance(&InstanceName::default())
            .main()
    }

    fn usual(shared: &Path) -> PathBuf {
        shared.join(format!(
            "stack-emulator-{}",
            rustix::process::getuid().as_raw()
        ))
    }

    #[test]
    fn sockets_stay_short_however_long_the_home_is() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir
            .path()
            .join("größer als je gedacht ".repeat(8))
            .join("x".repeat(120));
        let folder = Home::new(long)
            .instance(&InstanceName::default())
            .main()
            .runtime_folder()
            .unwrap();
        assert!(folder.as_os_str().len() < 90, "{}", folder.display());
        std::fs::remove_dir(folder).unwrap();
    }

    /// `getconf DARWIN_USER_TEMP_DIR` on macOS 14: each user's has this length.
    #[test]
    fn a_mac_user_s_own_folder_leaves_room_for_sockets() {
        let base =
            Path::new("/var/folders/zz/zyxvpxvq6csfxvn_n0000000000000/T/").join("stack-emulator");
        assert!(base.as_os_str().len() <= MOST_BYTES);
        let longest = base.join("0123456789abc").join("control.sock");
        assert!(longest.as_os_str().len() < qemu::process::MAX_SOCKET_PATH);
    }

    #[test]
    fn what_others_put_in_the_usual_place_is_not_used_and_keeps_nobody_from_working() {
        let elsewhere = tempfile::tempdir().unwrap();
        let plant: [fn(&Path, &Path); 4] = [
            |usual, elsewhere| symlink(elsewhere, usual).unwrap(),
            |usual, _| symlink("/nowhere/at/all", usual).unwrap(),
            |usual, _| std::fs::write(usual, "").unwrap(),
            // What is in it may be: a folder of ours that was open to others for a while.
            |usual, elsewhere| {
                std::fs::create_dir(usual).unwrap();
                let main = slot(&elsewhere.join("home"));
                symlink(elsewhere, usual.join(main.folder_mark().unwrap())).unwrap();
            },
        ];
        for plant in plant {
            let shared = tempfile::tempdir().unwrap();
            let main = slot(&elsewhere.path().join("home"));
            plant(&usual(shared.path()), elsewhere.path());
            let folder = main.runtime_folder_in(None, shared.path()).unwrap();
            assert!(folder.starts_with(shared.path()));
            assert!(!folder.starts_with(usual(shared.path())));
            for folder in [folder.as_path(), folder.parent().unwrap()] {
                let meta = std::fs::symlink_metadata(folder).unwrap();
                assert!(meta.is_dir() && meta.mode() & 0o777 == 0o700);
            }
            // The next command finds it, and one after a reboot makes another.
            let again = main.runtime_folder_in(None, shared.path()).unwrap();
            assert_eq!(again, folder);
            std::fs::remove_dir_all(folder.parent().unwrap()).unwrap();
            let anew = main.runtime_folder_in(None, shared.path()).unwrap();
            assert!(anew.is_dir() && anew != folder);
        }
    }

    #[test]
    fn another_user_s_folder_is_not_used() {
        if !rustix::process::getuid().is_root() {
            return;
        }
        let (home, shared) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let planted = usual(shared.path());
        std::fs::create_dir(&planted).unwrap();
        std::fs::set_permissions(&planted, std::fs::Permissions::from_mode(0o777)).unwrap();
        std::os::unix::fs::chown(&planted, Some(65534), Some(65534)).unwrap();
        let main = slot(home.path());
        let folder = main.runtime_folder_in(None, shared.path()).unwrap();
        assert!(!folder.starts_with(&planted));
        assert_eq!(std::fs::read_dir(&planted).unwrap().count(), 0);
    }

    #[test]
    fn a_link_that_leads_elsewhere_is_made_anew() {
        let (home, shared) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let elsewhere = tempfile::tempdir().unwrap();
        std::fs::write(usual(shared.path()), "").unwrap();
        let main = slot(home.path());
        std::fs::create_dir_all(main.root()).unwrap();
        symlink(elsewhere.path(), main.runtime_link()).unwrap();
        let folder = main.runtime_folder_in(None, shared.path()).unwrap();
        assert!(folder.starts_with(shared.path()));
        assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    }
}
