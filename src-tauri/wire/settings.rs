//! Settings, and what they may be.

use serde::{Deserialize, Serialize};
use specta::Type;
use specta_typescript::Number;

/// The settings in force, and what sets them.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Settings {
    pub(crate) ports: Vec<PortSetting>,
    pub(crate) ram_mib: u32,
    pub(crate) vcpus: u32,
    /// What this machine has, and what may be asked of it.
    pub(crate) limits: SettingsLimits,
    /// Start the app with the session.
    pub(crate) open_at_login: bool,
    /// Start the emulator with the app.
    pub(crate) start_emulator_at_launch: bool,
    pub(crate) notifications: bool,
    /// Limit on the cache in bytes.
    #[specta(type = Option<Number>)]
    pub(crate) cache_limit_bytes: Option<u64>,
    /// After how many days an unused snapshot is compressed; never if null.
    pub(crate) archive_after_days: Option<u32>,
    /// Keep the image's placeholder secrets, which everybody knows.
    pub(crate) no_rotation: bool,
    /// `owner/name`
    pub(crate) repository: String,
    pub(crate) default_repository: String,
    pub(crate) branch: String,
    pub(crate) github_token: GithubToken,
    /// Settings that an environment variable has set, so that a change here has no effect.
    pub(crate) overrides: Vec<SettingsOverride>,
    /// Whether a change waits for the next start.
    pub(crate) restart_needed: bool,
}

/// What this machine has.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SettingsLimits {
    pub(crate) host_ram_mib: u32,
    pub(crate) host_cpus: u32,
    pub(crate) min_ram_mib: u32,
    pub(crate) max_ram_mib: u32,
    pub(crate) max_vcpus: u32,
}

/// A setting that the environment has set.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SettingsOverride {
    /// The name of the field in `Settings`.
    pub(crate) field: String,
    pub(crate) variable: String,
}

/// The host port of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PortSetting {
    pub(crate) service: String,
    /// For people.
    pub(crate) title: String,
    pub(crate) port: u16,
    pub(crate) default: u16,
    /// The environment variable that sets it, if one does.
    pub(crate) set_by: Option<String>,
}

/// New values; null leaves a setting as it is.
#[derive(Clone, Debug, PartialEq, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SettingsChange {
    pub(crate) ports: Option<Vec<PortChoice>>,
    pub(crate) ram_mib: Option<u32>,
    pub(crate) vcpus: Option<u32>,
    pub(crate) open_at_login: Option<bool>,
    pub(crate) start_emulator_at_launch: Option<bool>,
    pub(crate) notifications: Option<bool>,
    /// 0 takes the limit away.
    #[specta(type = Option<Number>)]
    pub(crate) cache_limit_bytes: Option<u64>,
    /// 0 means never.
    pub(crate) archive_after_days: Option<u32>,
    pub(crate) no_rotation: Option<bool>,
    pub(crate) repository: Option<String>,
    pub(crate) branch: Option<String>,
}

/// A port that the user thinks of.
#[derive(Clone, Debug, PartialEq, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PortChoice {
    /// The service's identifier.
    pub(crate) service: String,
    pub(crate) port: u16,
}

/// Whether a port could be had.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PortCheck {
    pub(crate) service: String,
    pub(crate) port: u16,
    pub(crate) verdict: PortVerdict,
    /// Who has it, where that can be told.
    pub(crate) taken_by: Option<String>,
}

/// Whether a port is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PortVerdict {
    Free,
    Ours,
    Taken,
    Invalid,
}

/// Where the GitHub token comes from, in the order in which they are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GithubToken {
    Environment,
    Keychain,
    Gh,
    None,
}
