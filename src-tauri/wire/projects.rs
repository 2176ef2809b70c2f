//! Projects: their config files, credentials and folders.

use serde::{Deserialize, Serialize};
use specta::Type;
use specta_typescript::Number;

/// A config file that was used.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
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
    /// The `.env` file that `write_env` writes, with `~` for the user's own folder.
    pub(crate) env_file: String,
}

/// A project's variables.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Credentials {
    pub(crate) config_file: String,
    pub(crate) values: Vec<Credential>,
}

/// One variable of a project.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Credential {
    /// The variable's name without any public prefix, for instance `STACK_PROJECT_ID`.
    pub(crate) name: String,
    /// What it is, for people.
    pub(crate) title: String,
    /// Null for a secret, which only `reveal_credential` gives.
    pub(crate) value: Option<String>,
}

/// How variables are written and named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, Type)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    Env,
    Dotenv,
    Next,
    Vite,
    Expo,
    Json,
}

/// Something is on the clipboard.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Copied {
    /// How many variables.
    pub(crate) count: u32,
    /// After how many seconds the clipboard is cleared, if it still holds this.
    pub(crate) clears_after_seconds: u32,
}

/// A `.env` file was written.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EnvWritten {
    pub(crate) path: String,
    /// Whether there was no such file before.
    pub(crate) created: bool,
    /// Variables that were new to it.
    pub(crate) added: u32,
    /// Variables that had another value.
    pub(crate) changed: u32,
}

/// A folder of the host that the guest sees.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SharedFolder {
    pub(crate) path: String,
    pub(crate) shown_path: String,
    /// Whether it is mounted now; otherwise it will be at the next start.
    pub(crate) mounted: bool,
}

/// One of the instance's four secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, Type)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SecretName {
    Pck,
    Ssk,
    Sak,
    Cron,
}
