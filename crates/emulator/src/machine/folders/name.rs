//! What a user names: a config file, and with it the folder to share.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ShareError;
use crate::config::variables::Settings;

/// What tells a folder from whatever may be put in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(data: &std::fs::Metadata) -> Self {
        Self {
            device: data.dev(),
            inode: data.ino(),
        }
    }
}

/// A folder that may be shared, as it was when it was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFolder {
    /// Absolute, without links.
    pub(super) path: String,
    pub(super) identity: Identity,
}

/// A config file in a folder that may be shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFile {
    folder: NamedFolder,
    path: String,
}

/// The usual names of config files, the newer first.
pub const CONFIG_FILES: [&str; 2] = ["hexclave.config.ts", "stack.config.ts"];

/// The config file that a folder has under a usual name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsualConfigFile {
    /// The file.
    pub path: PathBuf,
    /// Another one under the older name. Its project is another one, whatever is in the two files.
    pub passed_over: Option<PathBuf>,
}

impl ConfigFile {
    /// Looks for a config file in `folder`, under its usual names.
    ///
    /// # Errors
    ///
    /// [`ShareError::NoConfigFile`].
    pub fn usual(folder: &Path) -> Result<UsualConfigFile, ShareError> {
        let mut there = CONFIG_FILES
            .into_iter()
            .map(|name| folder.join(name))
            // What is wrong with one that cannot be looked at is told when it is used.
            .filter(|path| path.symlink_metadata().is_ok());
        let path = there.next().ok_or_else(|| ShareError::NoConfigFile {
            folder: std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned()),
        })?;
        Ok(UsualConfigFile {
            path,
            passed_over: there.next(),
        })
    }

    /// Looks at the config file at `path`, which may be relative to the current folder.
    ///
    /// # Errors
    ///
    /// [`ShareError`], with a reason for everything that is refused.
    pub fn name(path: &Path, settings: &Settings) -> Result<Self, ShareError> {
        let not_there = |source| ShareError::NotThere {
            what: "config file",
            path: path.to_owned(),
            source,
        };
        let not_a_file = || ShareError::WrongKind {
            what: "regular file",
            path: path.to_owned(),
        };
        let absolute = std::path::absolute(path).map_err(not_there)?;
        // Its content is the guest's to judge; that it is there, ours.
        let file = absolute.canonicalize().map_err(not_there)?;
        if !file.is_file() {
            return Err(not_a_file());
        }
        let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name()) else {
            return Err(not_a_file());
        };
        let folder = NamedFolder::name(parent, settings)?;
        if !file.starts_with(&folder.path) {
            return Err(ShareError::LeadsOut {
                path: absolute,
                target: file,
            });
        }
        let named = Path::new(&folder.path).join(name);
        Ok(Self {
            path: text(&named)?,
            folder,
        })
    }

    /// Its absolute path, by which the guest knows its project.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The folder that is shared for it.
    pub fn folder(&self) -> &NamedFolder {
        &self.folder
    }
}

impl NamedFolder {
    /// Looks at the folder at `path`, and whether it may be shared.
    fn name(path: &Path, settings: &Settings) -> Result<Self, ShareError> {
        let folder = path.canonicalize().map_err(|source| ShareError::NotThere {
            what: "folder",
            path: path.to_owned(),
            source,
        })?;
        let canonical = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let user_home = settings.user_home.as_deref().map(canonical);
        let home = canonical(&settings.home);
        let refused = refusal(
            &folder,
            user_home.as_deref(),
            &home,
            cfg!(target_os = "macos"),
        );
        if let Some(reason) = refused {
            return Err(ShareError::Refused {
                path: folder,
                reason,
            });
        }
        Self::of(&folder)
    }

    /// Looks again at the folder that was named as `path` before. Only that very
    /// path counts: a link that took its place leads to what nobody named.
    pub(super) fn again(path: &str, settings: &Settings) -> Result<Self, ShareError> {
        let path = Path::new(path);
        if path.canonicalize().is_ok_and(|real| real != path) {
            return Err(ShareError::Replaced {
                path: path.to_owned(),
            });
        }
        Self::name(path, settings)
    }

    /// The folder that is at `path` now.
    fn of(path: &Path) -> Result<Self, ShareError> {
        let data = path.metadata().map_err(|source| ShareError::NotThere {
            what: "folder",
            path: path.to_owned(),
            source,
        })?;
        if !data.is_dir() {
            return Err(ShareError::WrongKind {
                what: "folder",
                path: path.to_owned(),
            });
        }
        Ok(Self {
            path: text(path)?,
            identity: Identity::of(&data),
        })
    }

    /// Whether `path` leads to this very folder.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        path.metadata()
            .is_ok_and(|data| Identity::of(&data) == self.identity)
    }
}

fn text(path: &Path) -> Result<String, ShareError> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| ShareError::NotUtf8 {
            path: path.to_owned(),
        })
}

/// Why `folder` is not shared; all paths absolute and without links. On a Mac, what other systems keep in hidden
/// folders of a home is in its `Library`.
fn refusal(
    folder: &Path,
    user_home: Option<&Path>,
    emulator_home: &Path,
    mac: bool,
) -> Option<String> {
    /// Not a project's folder on any system, and with secrets of all programs in it.
    const SYSTEM: [&str; 15] = [
        "/bin",
        "/boot",
        "/dev",
        "/etc",
        "/lib",
        "/proc",
        "/run",
        "/sbin",
        "/sys",
        "/usr",
        "/System",
        "/Library",
        "/private/etc",
        "/private/var/db",
        "/private/var/root",
    ];
    let around = |inner: &Path| inner.starts_with(folder);
    if folder == Path::new("/") {
        return Some("it is the root of the whole file system".to_owned());
    }
    if let Some(home) = user_home {
        if folder == home {
            return Some("it is your home folder, with all that is in it".to_owned());
        }
        if around(home) {
            return Some(format!("your home folder {} is in it", home.display()));
        }
        // Keys, tokens, browser profiles: `~/.ssh` and its like.
        let hidden = folder
            .strip_prefix(home)
            .ok()
            .and_then(|below| below.components().next())
            .filter(|first| {
                let name = first.as_os_str();
                name.as_encoded_bytes().starts_with(b".") || mac && name == "Library"
            });
        if let Some(hidden) = hidden {
            let name: PathBuf = hidden.as_os_str().into();
            return Some(format!("~/{} is for settings and keys", name.display()));
        }
    }
    if around(emulator_home) || folder.starts_with(emulator_home) {
        return Some("the emulator keeps its own files there".to_owned());
    }
    let system = SYSTEM.into_iter().find(|system| {
        folder.starts_with(system)
            && !emulator_home.starts_with(system)
            && !folder.starts_with("/run/media")
    });
    system.map(|system| format!("{system} belongs to the system"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn settings(home: &Path) -> Settings {
        let variables = [
            ("HOME", home.as_os_str()),
            (
                "STACK_EMULATOR_HOME",
                home.join(".stack/emulator").as_os_str(),
            ),
        ]
        .map(|(name, value)| (name.into(), value.to_owned()));
        Settings::from_variables(variables).unwrap()
    }

    fn refused_on(mac: bool, folder: &str) -> Option<String> {
        refusal(
            Path::new(folder),
            Some(Path::new("/home/ada")),
            Path::new("/data/emulator"),
            mac,
        )
    }

    fn refused(folder: &str) -> Option<String> {
        refused_on(false, folder)
    }

    #[test]
    fn a_mac_keeps_keys_and_settings_in_the_library() {
        for folder in ["/home/ada/Library", "/home/ada/Library/Keychains"] {
            let said = refused_on(true, folder).unwrap_or_default();
            assert!(said.contains("~/Library"), "{folder}: {said}");
            assert_eq!(refused(folder), None, "a plain folder elsewhere: {folder}");
        }
        assert_eq!(refused_on(true, "/home/ada/app/Library"), None);
        let said = refused_on(true, "/private/etc/ssl").unwrap_or_default();
        assert!(
            said.contains("/private/etc belongs to the system"),
            "{said}"
        );
    }

    #[test]
    fn what_is_not_a_project_is_refused_with_the_reason() {
        for (folder, reason) in [
            ("/", "root"),
            ("/home/ada", "your home folder"),
            ("/home", "/home/ada is in it"),
            ("/home/ada/.ssh", "~/.ssh"),
            ("/home/ada/.config/app", "~/.config"),
            ("/data", "own files"),
            ("/data/emulator/instances/default", "own files"),
            ("/etc/ssl", "/etc belongs to the system"),
            ("/proc/self", "/proc"),
        ] {
            let said = refused(folder).unwrap_or_default();
            assert!(said.contains(reason), "{folder}: {said}");
        }
        for folder in [
            "/home/ada/app",
            "/home/ada/a/.hidden",
            "/srv/app",
            "/run/media/ada/usb",
        ] {
            assert_eq!(refused(folder), None, "{folder}");
        }
    }

    #[test]
    fn the_newer_name_of_a_config_file_goes_first() {
        let dir = tempfile::tempdir().unwrap();
        let [newer, older] = CONFIG_FILES.map(|name| dir.path().join(name));
        let error = ConfigFile::usual(dir.path()).unwrap_err();
        assert_eq!(error.code(), failure::Code::ConfigFile);
        for name in CONFIG_FILES {
            assert!(error.to_string().contains(name), "{error}");
        }
        let usual = |path: &Path, passed_over: Option<&Path>| UsualConfigFile {
            path: path.to_owned(),
            passed_over: passed_over.map(Path::to_owned),
        };
        std::fs::write(&older, "").unwrap();
        assert_eq!(ConfigFile::usual(dir.path()).unwrap(), usual(&older, None));
        std::fs::write(&newer, "").unwrap();
        let both = ConfigFile::usual(dir.path()).unwrap();
        assert_eq!(both, usual(&newer, Some(&older)));
        std::fs::remove_file(&older).unwrap();
        assert_eq!(ConfigFile::usual(dir.path()).unwrap(), usual(&newer, None));
    }

    #[test]
    fn a_file_is_named_by_the_real_path_of_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let project = root.join("a b\n'ü");
        std::fs::create_dir(&project).unwrap();
        std::fs::write(project.join("stack.config.ts"), "").unwrap();
        symlink(&project, root.join("link")).unwrap();
        let settings = settings(&root);
        let file = ConfigFile::name(&root.join("link/stack.config.ts"), &settings).unwrap();
        assert_eq!(Path::new(file.path()), project.join("stack.config.ts"));
        assert!(file.folder().is_at(&project));

        symlink(project.join("stack.config.ts"), project.join("inside.ts")).unwrap();
        let inside = ConfigFile::name(&project.join("inside.ts"), &settings).unwrap();
        assert_eq!(Path::new(inside.path()), project.join("inside.ts"));
    }

    #[test]
    fn links_out_folders_and_nothing_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let project = root.join("app");
        std::fs::create_dir_all(project.join("sub")).unwrap();
        std::fs::write(root.join("outside.ts"), "").unwrap();
        symlink("../outside.ts", project.join("out.ts")).unwrap();
        symlink("nowhere", project.join("dangling.ts")).unwrap();
        let name =
            |file: &str| ConfigFile::name(&project.join(file), &settings(&root)).unwrap_err();
        assert!(matches!(name("out.ts"), ShareError::LeadsOut { .. }));
        assert!(matches!(name("dangling.ts"), ShareError::NotThere { .. }));
        assert!(matches!(name("gone.ts"), ShareError::NotThere { .. }));
        assert!(matches!(name("sub"), ShareError::WrongKind { .. }));
        assert!(matches!(name("../outside.ts"), ShareError::Refused { .. }));
    }

    #[test]
    fn a_folder_that_was_replaced_is_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let (project, other) = (dir.path().join("app"), dir.path().join("other"));
        std::fs::create_dir(&project).unwrap();
        std::fs::create_dir(&other).unwrap();
        let named = NamedFolder::of(&project).unwrap();
        std::fs::rename(&project, dir.path().join("old")).unwrap();
        symlink(&other, &project).unwrap();
        assert!(!named.is_at(&project));
    }

    #[test]
    fn a_link_in_a_folder_s_place_is_not_what_was_named() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let (project, other) = (root.join("app"), root.join("other"));
        std::fs::create_dir(&project).unwrap();
        std::fs::create_dir(&other).unwrap();
        let again = || NamedFolder::again(project.to_str().unwrap(), &settings(&root));
        assert!(again().unwrap().is_at(&project));
        std::fs::remove_dir(&project).unwrap();
        assert!(matches!(again(), Err(ShareError::NotThere { .. })));
        // Another folder that may be shared, and one that may not.
        for target in [&other, &root] {
            symlink(target, &project).unwrap();
            assert!(matches!(again(), Err(ShareError::Replaced { .. })));
            std::fs::remove_file(&project).unwrap();
        }
    }
}
