//! The apps' config files that were used, and what is known of the apps around them.
//!
//! The list is a convenience: using a config file puts it on top. It has a
//! lock of its own, held for the moment of a change, so that a file can be added
//! while a command is at work on the instance.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use crate::apps::credentials::Format;
use crate::apps::env_files::WrittenFile;
use crate::apps::error::AppsError as Error;
use crate::config::paths::make_private_folder;
use crate::instance::Emulator;
use crate::machine::folders::ConfigFile;
use record::{self, Durability, Record};

/// How many config files are remembered.
const REMEMBERED: usize = 50;
/// Longest file of an app that is looked at, in bytes.
const LONGEST_FILE: u64 = 1 << 20;

/// A config file that was used, for lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// The config file's absolute path.
    pub config_file: String,
    /// Milliseconds since the Unix epoch.
    pub last_used_ms: u64,
    /// The format that was chosen for it last, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// The files that its credentials were written to, the last one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub written: Vec<WrittenFile>,
}

/// `projects.json`, last used first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Projects {
    projects: Vec<Project>,
}

impl Record for Projects {
    const FORMAT: &'static str = "stack-emulator-projects";
    const VERSION: u32 = 1;
}

impl Project {
    /// The folder of the app: the nearest one with a `package.json` within the
    /// same checkout, else the config file's own.
    pub fn folder(&self) -> PathBuf {
        folder_of(Path::new(&self.config_file))
    }

    /// The format that was chosen last, else the one that the app's
    /// `package.json` suggests.
    pub fn format(&self) -> Format {
        self.format.unwrap_or_else(|| {
            let manifest = read_small(&self.folder().join("package.json"));
            manifest.map_or(Format::Dotenv, |manifest| suggest(&manifest))
        })
    }

    /// The `.env` file that an app reads variables of `format` from.
    ///
    /// Next.js and Vite have `.env.local` for what is not to be committed.
    pub fn env_file(&self, format: Format) -> PathBuf {
        self.folder().join(match format {
            Format::Next | Format::Vite => ".env.local",
            Format::Env | Format::Dotenv | Format::Expo | Format::Json => ".env",
        })
    }
}

/// The folder of the app that a config file is of: the nearest one with a `package.json` within the
/// same checkout, else the config file's own.
pub fn folder_of(config_file: &Path) -> PathBuf {
    let absolute = std::path::absolute(config_file).unwrap_or_else(|_| config_file.to_owned());
    let own = absolute.parent().unwrap_or(Path::new("/"));
    for folder in own.ancestors() {
        if folder.join("package.json").is_file() {
            return folder.to_owned();
        }
        if folder.join(".git").exists() {
            break;
        }
    }
    own.to_owned()
}

/// What is in a regular file; `None` if it is something else, or cannot be read.
pub(super) fn read_small(path: &Path) -> Option<Vec<u8>> {
    // Should it be a pipe, it is not waited for.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut content = Vec::new();
    file.take(LONGEST_FILE).read_to_end(&mut content).ok()?;
    Some(content)
}

/// The format that a `package.json` suggests by what the app depends on.
fn suggest(manifest: &[u8]) -> Format {
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Manifest {
        dependencies: serde_json::Value,
        dev_dependencies: serde_json::Value,
    }
    let manifest: Manifest = serde_json::from_slice(manifest).unwrap_or_default();
    let needs = |name: &str| {
        manifest.dependencies.get(name).is_some() || manifest.dev_dependencies.get(name).is_some()
    };
    // Vite comes last: it is also what tests of other apps run on.
    [
        ("next", Format::Next),
        ("expo", Format::Expo),
        ("vite", Format::Vite),
    ]
    .into_iter()
    .find_map(|(name, format)| needs(name).then_some(format))
    .unwrap_or(Format::Dotenv)
}

impl Emulator {
    /// The config files that were used, last used first.
    pub fn projects(&self) -> Result<Vec<Project>, Error> {
        let known: Option<Projects> = record::read_optional(&self.paths.projects())?;
        Ok(known.unwrap_or_default().projects)
    }

    /// Puts a config file on top of the list, without asking for credentials.
    ///
    /// # Errors
    ///
    /// [`ShareError`](crate::folders::ShareError) if the file is not there or its folder is not for sharing.
    pub fn add_project(&self, config_file: &Path) -> Result<Project, Error> {
        let file = ConfigFile::name(config_file, &self.settings)?;
        self.remember_project(&file)
    }

    /// Takes a config file off the list; one that is not on it is fine.
    pub fn forget_project(&self, config_file: &str) -> Result<(), Error> {
        self.change_projects(|projects| {
            projects.retain(|project| project.config_file != config_file);
        })
    }

    /// Notes which format a project on the list is wanted in.
    pub fn choose_format(&self, config_file: &str, format: Format) -> Result<(), Error> {
        self.change_projects(|projects| {
            let known = projects
                .iter_mut()
                .find(|project| project.config_file == config_file);
            if let Some(project) = known {
                project.format = Some(format);
            }
        })
    }

    pub(crate) fn remember_project(&self, file: &ConfigFile) -> Result<Project, Error> {
        self.change_projects(|projects| {
            let known = projects
                .iter()
                .position(|project| project.config_file == file.path());
            let known = known.map(|at| projects.remove(at));
            let used = Project {
                config_file: file.path().to_owned(),
                last_used_ms: host::now_ms(),
                format: known.as_ref().and_then(|project| project.format),
                written: known.map(|project| project.written).unwrap_or_default(),
            };
            projects.insert(0, used.clone());
            projects.truncate(REMEMBERED);
            used
        })
    }

    pub(super) fn change_projects<T>(
        &self,
        change: impl FnOnce(&mut Vec<Project>) -> T,
    ) -> Result<T, Error> {
        make_private_folder(self.paths.root())?;
        let lock = self.paths.projects_lock();
        let _held = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock)
            .and_then(|file| file.lock().map(|()| file))
            .map_err(Error::file("lock", &lock))?;
        let mut projects = self.projects()?;
        let before = projects.clone();
        let result = change(&mut projects);
        if projects != before {
            record::write(
                &self.paths.projects(),
                &Projects { projects },
                Durability::ThisBoot,
            )?;
        }
        Ok(result)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::paths::InstanceName;
    use crate::config::variables::Settings;

    /// The default instance of a user whose home is `home`.
    pub(in crate::apps) fn emulator(home: &Path) -> Emulator {
        let variables = [
            ("HOME", home.as_os_str().to_owned()),
            (
                "STACK_EMULATOR_HOME",
                home.join(".stack/emulator").into_os_string(),
            ),
        ]
        .map(|(name, value)| (name.into(), value));
        let settings = Settings::from_variables(variables).unwrap();
        Emulator::new(settings, InstanceName::default(), None)
    }

    #[test]
    fn a_package_json_suggests_by_dependencies_of_either_kind() {
        for (manifest, format) in [
            (r#"{"dependencies": {"next": "15"}}"#, Format::Next),
            (
                r#"{"dependencies": {"next": "15"}, "devDependencies": {"vite": "7"}}"#,
                Format::Next,
            ),
            (r#"{"devDependencies": {"vite": "7"}}"#, Format::Vite),
            (r#"{"dependencies": {"expo": "~53"}}"#, Format::Expo),
            (r#"{"dependencies": {"express": "5"}}"#, Format::Dotenv),
            (r#"{"dependencies": ["next"]}"#, Format::Dotenv),
            ("not JSON", Format::Dotenv),
        ] {
            assert_eq!(suggest(manifest.as_bytes()), format, "{manifest}");
        }
    }

    #[test]
    fn the_app_is_looked_for_within_its_checkout() {
        let dir = tempfile::tempdir().unwrap();
        let app = dir.path().join("checkout/app");
        std::fs::create_dir_all(app.join("config")).unwrap();
        let project = Project {
            config_file: app.join("config/stack.config.ts").display().to_string(),
            last_used_ms: 0,
            format: None,
            written: Vec::new(),
        };
        std::fs::write(dir.path().join("package.json"), "{}").unwrap();
        std::fs::create_dir(dir.path().join("checkout/.git")).unwrap();
        assert_eq!(project.folder(), app.join("config"));
        std::fs::write(
            app.join("package.json"),
            r#"{"dependencies": {"next": "15"}}"#,
        )
        .unwrap();
        assert_eq!(project.folder(), app);
        assert_eq!(project.format(), Format::Next);
        assert_eq!(project.env_file(Format::Next), app.join(".env.local"));
        assert_eq!(project.env_file(Format::Expo), app.join(".env"));
    }

    #[test]
    fn a_project_is_remembered_with_its_format_and_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let app = dir.path().join("app");
        std::fs::create_dir(&app).unwrap();
        let (one, two) = (app.join("one.ts"), app.join("two.ts"));
        std::fs::write(&one, "").unwrap();
        std::fs::write(&two, "").unwrap();
        let emulator = emulator(dir.path());
        let first = emulator.add_project(&one).unwrap();
        emulator
            .choose_format(&first.config_file, Format::Vite)
            .unwrap();
        emulator.add_project(&two).unwrap();
        let again = emulator.add_project(&one).unwrap();
        assert_eq!(again.format, Some(Format::Vite));
        let names = |emulator: &Emulator| -> Vec<String> {
            let projects = emulator.projects().unwrap();
            projects.into_iter().map(|p| p.config_file).collect()
        };
        assert_eq!(names(&emulator).len(), 2);
        assert_eq!(names(&emulator)[0], first.config_file);
        emulator.forget_project(&first.config_file).unwrap();
        assert!(!names(&emulator).contains(&first.config_file));
        let error = emulator.add_project(&app.join("three.ts")).unwrap_err();
        assert_eq!(error.code(), failure::Code::ConfigFile, "{error}");
    }

    proptest! {
        #[test]
        fn any_manifest_gives_some_format(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            suggest(&bytes);
        }
    }
}
