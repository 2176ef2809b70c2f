//! The `.env` files that hold credentials: which they are, what a reset makes stale, and writing them all again.
//!
//! A file that credentials were written to is noted with its project (`projects.json`), without anything that
//! is secret. What is noted may be old by the time it is used: the project has moved, the file was removed,
//! edited or replaced by a link, or the note lies in a copy of this data folder, whose files are the original's.
//! So a file is only written again where it holds the project ID that was written there, under the very path
//! that was meant, by the folder that wrote it. Everything else is left as it is, and said.

use std::path::{Path, PathBuf};

use failure::{Code, chain};
use serde::{Deserialize, Serialize};

use super::clashes::ENV_FILES;
use super::credentials::{AppKind, Format, Names, ProjectCredentials, twin};
use super::dotenv::{FileChange, Variable, assignments};
use super::error::AppsError as Error;
use super::projects::{Project, read_small};
use crate::config::identity::FolderIdentity;
use crate::instance::Emulator;
use crate::machine::folders::ConfigFile;
use progress::Reporter;

/// What a file with credentials has in it, whatever prefix comes before.
const MARKS: [&str; 2] = ["HEXCLAVE_PROJECT_ID", "STACK_PROJECT_ID"];
/// How many files are noted of one project.
const NOTED: usize = 20;

/// A file that credentials were written to. Nothing of it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenFile {
    /// Its absolute path, without links.
    pub file: String,
    /// The format that it was written in.
    pub format: Format,
    /// The names that its variables have.
    pub names: Names,
    /// The project ID that was written.
    pub project_id: String,
    /// The instance's folder that wrote it: a copy of it is another.
    pub(crate) owner: FolderIdentity,
}

/// A file whose credentials stop working with a reset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StaleFile {
    /// The file.
    pub path: PathBuf,
    /// Whether [`Emulator::refresh_env_files`] writes it again. It does not for one that somebody else has written.
    pub refreshable: bool,
}

/// What writing all files again did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RefreshReport {
    /// The files that were noted.
    pub files: Vec<RefreshedFile>,
    /// Files with credentials that somebody else has written.
    pub not_ours: Vec<PathBuf>,
}

/// What became of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefreshedFile {
    /// The file.
    pub file: PathBuf,
    /// The config file of its app.
    pub config_file: String,
    /// What was done.
    #[serde(flatten)]
    pub outcome: Refreshed,
}

/// What was done with a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Refreshed {
    /// It has the present credentials now.
    Updated {
        /// Variables that were new to it.
        added: usize,
        /// Variables that had another value.
        changed: usize,
    },
    /// It had them.
    Unchanged,
    /// It is not what was written, and was left as it is.
    Skipped {
        /// Why.
        reason: SkipReason,
    },
    /// It could not be written, or its credentials not be had.
    Failed {
        /// What went wrong.
        error: String,
    },
}

/// Why a file is left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// There is no such file any more.
    Gone,
    /// Its path leads elsewhere now.
    Link,
    /// It holds another project ID, or none.
    OtherContent,
    /// The note was copied together with the data folder.
    Copied,
    /// The config file is gone.
    ConfigFileGone,
}

impl RefreshReport {
    /// Whether anything failed.
    pub fn has_failed(&self) -> bool {
        let failed = |file: &RefreshedFile| matches!(file.outcome, Refreshed::Failed { .. });
        self.files.iter().any(failed)
    }
}

impl Emulator {
    /// Sets a project's variables in a `.env` file and notes that, so that it can be written again. JSON has no
    /// variables; for it, those without a prefix are set.
    ///
    /// # Errors
    ///
    /// [`DotenvError`](super::dotenv::DotenvError), [`ShareError`](crate::folders::ShareError) of the config file, and
    /// those of the record.
    pub fn write_env_file(
        &self,
        config_file: &Path,
        credentials: &ProjectCredentials,
        file: &Path,
        format: Format,
        names: Names,
    ) -> Result<FileChange, Error> {
        let config_file = ConfigFile::name(config_file, &self.settings)?;
        let variables = credentials.variables(format.kind().unwrap_or(AppKind::Plain), names);
        let set: Vec<Variable<'_>> = variables
            .iter()
            .map(|variable| Variable {
                name: &variable.name,
                value: variable.expose(),
            })
            .collect();
        let change = self.set_in_env_file(file, &set)?;
        // A record holds text. A file whose path is not UTF-8 is written, but not noted.
        if let Some(path) = change.path.to_str() {
            let written = WrittenFile {
                file: path.to_owned(),
                format,
                names,
                project_id: credentials.project_id.clone(),
                owner: self.folder_identity()?,
            };
            self.note_written(config_file.path(), written)?;
        }
        Ok(change)
    }

    fn note_written(&self, config_file: &str, written: WrittenFile) -> Result<(), Error> {
        self.change_projects(|projects| {
            // The last one to write a file has it.
            for project in projects.iter_mut() {
                project.written.retain(|known| known.file != written.file);
            }
            let project = projects
                .iter_mut()
                .find(|project| project.config_file == config_file);
            if let Some(project) = project {
                project.written.insert(0, written);
                project.written.truncate(NOTED);
            }
        })
    }

    fn folder_identity(&self) -> Result<FolderIdentity, Error> {
        let root = self.paths.root();
        FolderIdentity::of(root).map_err(Error::file("look at", root))
    }

    /// The files whose credentials a reset makes stale: those that were written, and those in the apps' folders
    /// that hold credentials as well.
    ///
    /// # Errors
    ///
    /// As [`projects`](Self::projects).
    pub fn stale_env_files(&self) -> Result<Vec<StaleFile>, Error> {
        let projects = self.projects()?;
        let owner = self.folder_identity().ok();
        let mut stale: Vec<StaleFile> = Vec::new();
        for written in projects.iter().flat_map(|project| &project.written) {
            if judge(written, owner.as_ref()).is_ok() {
                stale.push(StaleFile {
                    path: written.file.clone().into(),
                    refreshable: true,
                });
            }
        }
        for path in not_ours(&projects, &stale) {
            stale.push(StaleFile {
                path,
                refreshable: false,
            });
        }
        Ok(stale)
    }

    /// Writes all noted files again, with the credentials that hold now. One that fails does not keep the others
    /// from it.
    ///
    /// # Errors
    ///
    /// [`InstanceError::NotRunning`](crate::InstanceError::NotRunning), and what else keeps all credentials from
    /// being had.
    pub async fn refresh_env_files(&self, reporter: &dyn Reporter) -> Result<RefreshReport, Error> {
        let projects = self.projects()?;
        let owner = self.folder_identity().ok();
        let mut report = RefreshReport::default();
        // A use puts a project on top of the list: this way round they stay in their order.
        for project in projects.iter().rev() {
            let mut given = None;
            for written in &project.written {
                let outcome = match judge(written, owner.as_ref()) {
                    Err(reason) => Refreshed::Skipped { reason },
                    Ok(()) if !Path::new(&project.config_file).exists() => Refreshed::Skipped {
                        reason: SkipReason::ConfigFileGone,
                    },
                    Ok(()) => {
                        if given.is_none() {
                            given = Some(self.credentials_of(project, reporter).await?);
                        }
                        self.refresh(project, written, given.as_ref())
                    }
                };
                report.files.push(RefreshedFile {
                    file: written.file.clone().into(),
                    config_file: project.config_file.clone(),
                    outcome,
                });
            }
        }
        let ours = report.files.iter().map(|file| StaleFile {
            path: file.file.clone(),
            refreshable: true,
        });
        report.not_ours = not_ours(&projects, &ours.collect::<Vec<_>>());
        Ok(report)
    }

    /// The credentials of `project`, or why this one has none. An error if none has any.
    async fn credentials_of(
        &self,
        project: &Project,
        reporter: &dyn Reporter,
    ) -> Result<Result<ProjectCredentials, String>, Error> {
        let asked = self.credentials(Path::new(&project.config_file), reporter);
        match Box::pin(asked).await {
            Ok(credentials) => Ok(Ok(credentials)),
            Err(error) => match error.code() {
                Code::ConfigFile
                | Code::FolderRefused
                | Code::FolderShare
                | Code::TooManyFolders => Ok(Err(chain(&error))),
                _ => Err(error),
            },
        }
    }

    fn refresh(
        &self,
        project: &Project,
        written: &WrittenFile,
        given: Option<&Result<ProjectCredentials, String>>,
    ) -> Refreshed {
        let credentials = match given {
            Some(Ok(credentials)) => credentials,
            Some(Err(error)) => {
                return Refreshed::Failed {
                    error: error.clone(),
                };
            }
            // Never: the caller has asked.
            None => return Refreshed::Unchanged,
        };
        let (config_file, file) = (Path::new(&project.config_file), Path::new(&written.file));
        let (format, names) = (written.format, written.names);
        match self.write_env_file(config_file, credentials, file, format, names) {
            Ok(FileChange {
                added: 0,
                changed: 0,
                ..
            }) => Refreshed::Unchanged,
            Ok(FileChange { added, changed, .. }) => Refreshed::Updated { added, changed },
            Err(error) => Refreshed::Failed {
                error: chain(&error),
            },
        }
    }
}

/// Whether a file is still what was written, as far as that matters.
fn judge(written: &WrittenFile, owner: Option<&FolderIdentity>) -> Result<(), SkipReason> {
    if owner != Some(&written.owner) {
        return Err(SkipReason::Copied);
    }
    let path = Path::new(&written.file);
    // What a link leads to now is not what was meant then.
    match path.canonicalize() {
        Ok(real) if real == path => {}
        Ok(_) => return Err(SkipReason::Link),
        Err(_) => return Err(SkipReason::Gone),
    }
    let content = read_small(path).unwrap_or_default();
    let has_id = assignments(&content).into_iter().any(|found| {
        is_project_id(&content[found.name])
            && content[found.value] == *written.project_id.as_bytes()
    });
    if has_id {
        Ok(())
    } else {
        Err(SkipReason::OtherContent)
    }
}

/// Whether a variable of that name holds a project's ID.
fn is_project_id(name: &[u8]) -> bool {
    let Ok(name) = std::str::from_utf8(name) else {
        return false;
    };
    MARKS.iter().any(|mark| name.ends_with(mark)) && twin(name).is_some()
}

/// The files in the apps' folders that hold credentials and are not among `known`.
fn not_ours(projects: &[Project], known: &[StaleFile]) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = Vec::new();
    for project in projects {
        let folder = project.folder();
        for file in ENV_FILES.map(|name| folder.join(name)) {
            let is_known = files.contains(&file) || known.iter().any(|known| known.path == file);
            let content = read_small(&file).unwrap_or_default();
            let mut found = assignments(&content).into_iter();
            if !is_known && found.any(|found| is_project_id(&content[found.name])) {
                files.push(file);
            }
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use secrets::SecretText;

    use super::*;
    use crate::apps::projects::tests::emulator;

    fn credentials(id: &str) -> ProjectCredentials {
        let secret = |text: &str| SecretText::from_text(text.to_owned()).unwrap();
        ProjectCredentials {
            project_id: id.to_owned(),
            publishable_client_key: secret("pck_1"),
            secret_server_key: secret("ssk_1"),
            super_secret_admin_key: secret("sak_1"),
            branch_config_override_string: "{}".into(),
            api_url: "http://127.0.0.1:26701".into(),
        }
    }

    /// A home with an app, whose credentials were written to its `.env.local`.
    struct World {
        _dir: tempfile::TempDir,
        app: PathBuf,
        config: PathBuf,
        file: PathBuf,
        emulator: Emulator,
    }

    impl World {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let home = dir.path().canonicalize().unwrap();
            let app = home.join("app");
            std::fs::create_dir_all(&app).unwrap();
            std::fs::write(app.join("package.json"), "{}").unwrap();
            let config = app.join("stack.config.ts");
            std::fs::write(&config, "export const config = {};").unwrap();
            let emulator = emulator(&home);
            emulator.add_project(&config).unwrap();
            let world = Self {
                file: app.join(".env.local"),
                _dir: dir,
                app,
                config,
                emulator,
            };
            world.write(&world.file, "p-1");
            world
        }

        fn write(&self, file: &Path, id: &str) -> FileChange {
            let (emulator, config) = (&self.emulator, &self.config);
            emulator
                .write_env_file(config, &credentials(id), file, Format::Vite, Names::Old)
                .unwrap()
        }

        fn written(&self) -> Vec<WrittenFile> {
            let projects = self.emulator.projects().unwrap();
            projects
                .into_iter()
                .flat_map(|project| project.written)
                .collect()
        }

        fn judged(&self) -> Result<(), SkipReason> {
            judge(
                &self.written()[0],
                self.emulator.folder_identity().ok().as_ref(),
            )
        }

        fn stale(&self) -> Vec<(PathBuf, bool)> {
            let stale = self.emulator.stale_env_files().unwrap().into_iter();
            stale.map(|file| (file.path, file.refreshable)).collect()
        }
    }

    #[test]
    fn a_written_file_is_noted_once_and_without_a_secret() {
        let world = World::new();
        world.write(&world.file, "p-2");
        let written = world.written();
        assert_eq!(written.len(), 1);
        assert_eq!(
            (written[0].project_id.as_str(), written[0].format),
            ("p-2", Format::Vite)
        );
        let record = std::fs::read_to_string(world.emulator.paths.projects()).unwrap();
        assert!(
            !record.contains("ssk_1") && !record.contains("pck_1"),
            "{record}"
        );
        // Using the project again forgets nothing.
        world.emulator.add_project(&world.config).unwrap();
        assert_eq!(world.written(), written);
        assert_eq!(world.judged(), Ok(()));
        assert_eq!(world.stale(), [(world.file.clone(), true)]);
        assert!(world.emulator.paths.root().exists());
    }

    #[test]
    fn a_file_that_is_another_one_by_now_is_left() {
        let world = World::new();
        std::fs::write(&world.file, "VITE_STACK_PROJECT_ID=cloud\n").unwrap();
        assert_eq!(world.judged(), Err(SkipReason::OtherContent));
        assert_eq!(
            world.stale(),
            [(world.file.clone(), false)],
            "it is somebody else's now"
        );
        std::fs::write(&world.file, "# VITE_STACK_PROJECT_ID=p-1\n").unwrap();
        assert_eq!(world.judged(), Err(SkipReason::OtherContent));
        std::fs::remove_file(&world.file).unwrap();
        assert_eq!(world.judged(), Err(SkipReason::Gone));
        // With all that would be in a file that was meant.
        let elsewhere = world.app.join("elsewhere");
        std::fs::write(&elsewhere, "VITE_STACK_PROJECT_ID=p-1\n").unwrap();
        symlink(&elsewhere, &world.file).unwrap();
        assert_eq!(world.judged(), Err(SkipReason::Link));
        assert_eq!(world.stale(), [(world.file.clone(), false)]);
    }

    #[test]
    fn a_link_that_the_user_names_is_noted_as_what_it_leads_to() {
        let world = World::new();
        let shared = world.app.join("shared.env");
        std::fs::write(&shared, "").unwrap();
        let link = world.app.join(".env");
        symlink(&shared, &link).unwrap();
        world.write(&link, "p-1");
        assert_eq!(Path::new(&world.written()[0].file), shared);
        assert_eq!(world.judged(), Ok(()));
    }

    #[test]
    fn a_copy_of_the_data_folder_does_not_write_the_original_s_files() {
        let world = World::new();
        let other = tempfile::tempdir().unwrap();
        let copy = emulator(other.path());
        std::fs::create_dir_all(copy.paths.root()).unwrap();
        std::fs::copy(world.emulator.paths.projects(), copy.paths.projects()).unwrap();
        let written = &copy.projects().unwrap()[0].written[0];
        let judged = judge(written, copy.folder_identity().ok().as_ref());
        assert_eq!(judged, Err(SkipReason::Copied));
        let stale = copy.stale_env_files().unwrap();
        assert!(stale.iter().all(|file| !file.refreshable), "{stale:?}");
        // What is moved is the same.
        let root = world.emulator.paths.root().to_owned();
        let moved = root.with_file_name("moved");
        std::fs::rename(&root, &moved).unwrap();
        let identity = FolderIdentity::of(&moved).unwrap();
        assert_eq!(judge(written, Some(&identity)), Ok(()));
    }

    #[test]
    fn what_others_have_written_into_an_app_s_folder_is_found() {
        let world = World::new();
        let env = world.app.join(".env");
        std::fs::write(&env, "\nNEXT_PUBLIC_HEXCLAVE_PROJECT_ID=p\n").unwrap();
        assert_eq!(
            world.stale(),
            [(world.file.clone(), true), (env.clone(), false)]
        );
        std::fs::write(&env, "OTHER=1\nMY_STACK_PROJECT_ID=1\n").unwrap();
        assert_eq!(world.stale(), [(world.file.clone(), true)]);
        // Nothing waits for a pipe.
        std::fs::remove_file(&env).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&env).status();
        assert!(made.unwrap().success());
        assert_eq!(world.stale(), [(world.file.clone(), true)]);
    }

    #[tokio::test]
    async fn nothing_is_asked_of_an_emulator_where_nothing_can_be_written() {
        let world = World::new();
        std::fs::remove_file(&world.file).unwrap();
        let report = world
            .emulator
            .refresh_env_files(&progress::Silent)
            .await
            .unwrap();
        let gone = Refreshed::Skipped {
            reason: SkipReason::Gone,
        };
        assert_eq!(report.files[0].outcome, gone);
        assert!(!report.has_failed() && report.not_ours.is_empty());
        world.write(&world.file, "p-1");
        let error = world
            .emulator
            .refresh_env_files(&progress::Silent)
            .await
            .unwrap_err();
        assert_eq!(error.code(), Code::NotRunning, "{error}");
        std::fs::remove_file(&world.config).unwrap();
        let report = world
            .emulator
            .refresh_env_files(&progress::Silent)
            .await
            .unwrap();
        let gone = Refreshed::Skipped {
            reason: SkipReason::ConfigFileGone,
        };
        assert_eq!(report.files[0].outcome, gone);
    }
}
