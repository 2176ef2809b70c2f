//! Settings, and what they may be.

use emulator::preferences::Preferences;
use serde::{Deserialize, Serialize};
use specta::Type;
use specta_typescript::Number;

/// The settings in force, and what sets them.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Settings {
    pub(crate) ports: Vec<PortSetting>,
    pub(crate) ram_mib: u32,
    pub(crate) vcpus: u16,
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
    pub(crate) host_cpus: u16,
    pub(crate) min_ram_mib: u32,
    pub(crate) max_ram_mib: u32,
    pub(crate) max_vcpus: u16,
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
    pub(crate) vcpus: Option<u16>,
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

impl From<emulator::ports::PortSetting> for PortSetting {
    fn from(setting: emulator::ports::PortSetting) -> Self {
        Self {
            service: setting.service,
            title: setting.name,
            port: setting.port,
            default: setting.default,
            set_by: setting.variable.filter(|_| setting.overridden),
        }
    }
}

impl From<emulator::ports::PortCheck> for PortCheck {
    fn from(check: emulator::ports::PortCheck) -> Self {
        use emulator::ports::PortVerdict as Theirs;
        Self {
            service: check.service,
            port: check.port,
            verdict: match check.verdict {
                Theirs::Free => PortVerdict::Free,
                Theirs::Ours => PortVerdict::Ours,
                Theirs::Taken => PortVerdict::Taken,
                Theirs::Invalid => PortVerdict::Invalid,
            },
            taken_by: check.taken_by,
        }
    }
}

impl SettingsChange {
    /// Makes the change to what is kept in the settings file.
    pub(crate) fn apply(&self, preferences: &mut Preferences) {
        for choice in self.ports.iter().flatten() {
            preferences
                .ports
                .insert(choice.service.clone(), choice.port);
        }
        preferences.ram_mib = self.ram_mib.or(preferences.ram_mib);
        preferences.vcpus = self.vcpus.or(preferences.vcpus);
        if let Some(bytes) = self.cache_limit_bytes {
            preferences.cache_limit_bytes = Some(bytes).filter(|bytes| *bytes > 0);
        }
        if let Some(days) = self.archive_after_days {
            preferences.archive_after_days = Some(days).filter(|days| *days > 0);
        }
        preferences.no_rotation = self.no_rotation.unwrap_or(preferences.no_rotation);
        let named = |text: &String| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        if let Some(repository) = &self.repository {
            preferences.repository = named(repository);
        }
        if let Some(branch) = &self.branch {
            preferences.branch = named(branch);
        }
        let app = &mut preferences.app;
        app.start_at_launch = self.start_emulator_at_launch.unwrap_or(app.start_at_launch);
        app.notifications = self.notifications.unwrap_or(app.notifications);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_leaves_alone_what_it_does_not_name() {
        let mut preferences = Preferences {
            ram_mib: Some(2048),
            cache_limit_bytes: Some(5),
            branch: Some("next".into()),
            ..Preferences::default()
        };
        let change = SettingsChange {
            ports: Some(vec![PortChoice {
                service: "backend".into(),
                port: 30001,
            }]),
            ram_mib: None,
            vcpus: Some(2),
            open_at_login: None,
            start_emulator_at_launch: Some(true),
            notifications: None,
            cache_limit_bytes: Some(0),
            archive_after_days: None,
            no_rotation: None,
            repository: None,
            branch: Some(" ".into()),
        };
        change.apply(&mut preferences);
        assert_eq!(
            (preferences.ram_mib, preferences.vcpus),
            (Some(2048), Some(2))
        );
        assert_eq!(preferences.cache_limit_bytes, None);
        assert_eq!(preferences.branch, None);
        assert_eq!(preferences.ports.get("backend"), Some(&30001));
        assert!(preferences.app.start_at_launch && preferences.app.notifications);
    }
}
