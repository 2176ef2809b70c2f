//! Projects: their config files, credentials and folders.

use std::path::Path;

use emulator::Emulator;
use emulator::credentials::{Format, ProjectCredentials};
use emulator::env_files::{RefreshReport, Refreshed};
use serde::Serialize;
use specta::Type;
use specta_typescript::Number;

use super::text::shown_path;

/// A config file that was used.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
pub(crate) struct Project {
    /// Absolute path.
    pub(crate) config_file: String,
    /// The same, with `~` for the user's own folder.
    pub(crate) shown_path: String,
    /// The folder's name.
    pub(crate) name: String,
    /// Whether the file is there.
    pub(crate) exists: bool,
    /// When it was last used, in milliseconds since the Unix epoch.
    #[specta(type = Number)]
    pub(crate) last_used_at_ms: u64,
    /// The format chosen last, else the one that the project's `package.json` suggests.
    pub(crate) format: Format,
    /// The `.env` files that `write_env` writes.
    pub(crate) env_files: Vec<EnvFile>,
    /// How many files its credentials were written to; `refresh_env_files` writes them again.
    pub(crate) written_files: u32,
}

/// The file that variables of a format are written to; there is none for JSON, which holds no variables.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
pub(crate) struct EnvFile {
    pub(crate) format: Format,
    /// Its name in the project's folder.
    pub(crate) name: String,
}

/// What writing all `.env` files again did, in numbers of files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Type)]
pub(crate) struct RefreshedFiles {
    /// They have other values than before.
    pub(crate) updated: u32,
    /// They had the present ones.
    pub(crate) unchanged: u32,
    /// They are not what was written, and were left as they are.
    pub(crate) skipped: u32,
    /// Those that could not be written, with the reasons.
    pub(crate) failed: Vec<String>,
}

impl From<RefreshReport> for RefreshedFiles {
    fn from(report: RefreshReport) -> Self {
        let mut done = Self::default();
        for file in report.files {
            match file.outcome {
                Refreshed::Updated { .. } => done.updated += 1,
                Refreshed::Unchanged => done.unchanged += 1,
                Refreshed::Skipped { .. } => done.skipped += 1,
                Refreshed::Failed { error } => {
                    done.failed
                        .push(format!("{}: {error}", file.file.display()));
                }
            }
        }
        done
    }
}

/// A project's variables.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
pub(crate) struct Credentials {
    pub(crate) config_file: String,
    pub(crate) values: Vec<Credential>,
}

/// One variable of a project.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
pub(crate) struct Credential {
    /// The variable's name without any public prefix, for instance `STACK_PROJECT_ID`.
    pub(crate) name: String,
    /// What it is, for people.
    pub(crate) title: String,
    /// Null for a secret, which only `reveal_credential` gives.
    pub(crate) value: Option<String>,
}

/// Something is on the clipboard.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
pub(crate) struct Copied {
    /// How many variables.
    pub(crate) count: u32,
    /// After how many seconds the clipboard is cleared, if it still holds this.
    pub(crate) clears_after_seconds: u32,
}

/// A folder of the host that the guest sees.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
pub(crate) struct SharedFolder {
    pub(crate) path: String,
    pub(crate) shown_path: String,
    /// Whether it is mounted now; otherwise it will be at the next start.
    pub(crate) mounted: bool,
}

impl Project {
    /// Every project that is remembered, last used first.
    pub(crate) fn list(emulator: &Emulator) -> Result<Vec<Self>, emulator::Error> {
        let projects = emulator.projects()?;
        Ok(projects
            .iter()
            .map(|project| Self::new(project, emulator))
            .collect())
    }

    pub(crate) fn new(project: &emulator::projects::Project, emulator: &Emulator) -> Self {
        let user_home = emulator.settings().user_home.as_deref();
        let path = Path::new(&project.config_file);
        let folder = project.folder();
        let format = project.format();
        Self {
            config_file: project.config_file.clone(),
            shown_path: shown_path(path, user_home),
            name: folder
                .file_name()
                .unwrap_or(folder.as_os_str())
                .to_string_lossy()
                .into_owned(),
            exists: path.is_file(),
            last_used_at_ms: project.last_used_ms,
            format,
            env_files: Format::ALL
                .into_iter()
                .filter_map(|format| EnvFile::of(project, format))
                .collect(),
            written_files: u32::try_from(project.written.len()).unwrap_or(u32::MAX),
        }
    }
}

impl EnvFile {
    fn of(project: &emulator::projects::Project, format: Format) -> Option<Self> {
        format.kind()?;
        let path = project.env_file(format);
        Some(Self {
            format,
            name: path.file_name()?.to_string_lossy().into_owned(),
        })
    }
}

/// The name of the key that may do everything; no app reads it from a variable.
const ADMIN_KEY: &str = "STACK_SUPER_SECRET_ADMIN_KEY";
const SERVER_KEY: &str = "STACK_SECRET_SERVER_KEY";

impl Credentials {
    /// All that may be seen, and the names of what may not.
    pub(crate) fn new(config_file: String, credentials: &ProjectCredentials) -> Self {
        let public = |name: &str, title: &str, value: &str| Credential {
            name: name.to_owned(),
            title: title.to_owned(),
            value: Some(value.to_owned()),
        };
        let secret = |name: &str, title: &str| Credential {
            name: name.to_owned(),
            title: title.to_owned(),
            value: None,
        };
        Self {
            config_file,
            values: vec![
                public("STACK_PROJECT_ID", "Project", &credentials.project_id),
                public(
                    "STACK_PUBLISHABLE_CLIENT_KEY",
                    "Publishable client key",
                    credentials.publishable_client_key.expose(),
                ),
                secret(SERVER_KEY, "Secret server key"),
                secret(ADMIN_KEY, "Super secret admin key"),
                public("STACK_API_URL", "Address of the API", &credentials.api_url),
            ],
        }
    }
}

/// The value that a project's credentials have under `name`.
pub(crate) fn value_of<'a>(credentials: &'a ProjectCredentials, name: &str) -> Option<&'a str> {
    Some(match name {
        "STACK_PROJECT_ID" => &credentials.project_id,
        "STACK_PUBLISHABLE_CLIENT_KEY" => credentials.publishable_client_key.expose(),
        "STACK_API_URL" => &credentials.api_url,
        SERVER_KEY => credentials.secret_server_key.expose(),
        ADMIN_KEY => credentials.super_secret_admin_key.expose(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use emulator::secrets::SecretText;

    use super::*;

    fn credentials() -> ProjectCredentials {
        let secret = |text: &str| SecretText::from_text(text.to_owned()).unwrap();
        ProjectCredentials {
            project_id: "p-1".into(),
            publishable_client_key: secret("pck_1"),
            secret_server_key: secret("ssk_1"),
            super_secret_admin_key: secret("sak_1"),
            branch_config_override_string: "{}".into(),
            api_url: "http://127.0.0.1:8102".into(),
        }
    }

    #[test]
    fn what_the_page_gets_has_no_secret_and_each_name_has_a_value() {
        let credentials = credentials();
        let wire = Credentials::new("/app/stack.config.ts".into(), &credentials);
        let json = serde_json::to_string(&wire).unwrap();
        assert!(!json.contains("ssk_1") && !json.contains("sak_1"), "{json}");
        for known in &wire.values {
            let value = value_of(&credentials, &known.name).unwrap();
            assert!(known.value.as_deref().is_none_or(|shown| shown == value));
        }
        assert_eq!(value_of(&credentials, "PATH"), None);
    }
}
