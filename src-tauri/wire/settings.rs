//! Settings, and what they may be.

use emulator::ports::PortSetting;
use emulator::preferences::{Ahead, Preferences};
use emulator::token::TokenSource;
use emulator::{HostLimits, NetworkChoice};
use serde::{Deserialize, Serialize};
use specta::Type;
use specta_typescript::Number;

/// The settings in force, and what sets them.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
pub(crate) struct Settings {
    pub(crate) ports: Vec<PortSetting>,
    pub(crate) ram_mib: u32,
    pub(crate) vcpus: u16,
    /// What this machine has, and what may be asked of it.
    pub(crate) limits: HostLimits,
    /// Start the app with the session.
    pub(crate) open_at_login: bool,
    /// Start the emulator with the app.
    pub(crate) start_emulator_at_launch: bool,
    pub(crate) notifications: bool,
    /// Whether newer releases of this program are looked for.
    pub(crate) updates: bool,
    /// Limit on the cache in bytes.
    #[specta(type = Option<Number>)]
    pub(crate) cache_limit_bytes: Option<u64>,
    /// After how many days an unused snapshot is compressed; never if null.
    pub(crate) archive_after_days: Option<u32>,
    /// After how many minutes a running emulator is stopped if nothing uses it; never if null.
    pub(crate) stop_when_idle_min: Option<u32>,
    /// Keep the image's placeholder secrets, which everybody knows.
    pub(crate) no_rotation: bool,
    /// How much of the next start is done ahead of it.
    pub(crate) ahead: Ahead,
    /// Whom the virtual machine can connect to.
    pub(crate) network: NetworkChoice,
    /// Whether this machine has room for a virtual machine that stands by.
    pub(crate) room_for_standby: bool,
    /// `owner/name`
    pub(crate) repository: String,
    pub(crate) default_repository: String,
    /// The repository that this program was released in, which has the starter image; null if it was released nowhere.
    pub(crate) own_repository: Option<String>,
    pub(crate) branch: String,
    pub(crate) github_token: TokenSource,
    /// Settings that an environment variable has set, so that a change here has no effect.
    pub(crate) overrides: Vec<SettingsOverride>,
    /// Whether a change waits for the next start.
    pub(crate) restart_needed: bool,
}

/// A setting that the environment has set.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
pub(crate) struct SettingsOverride {
    /// The name of the field in `Settings`.
    pub(crate) field: String,
    pub(crate) variable: String,
}

/// New values; null leaves a setting as it is.
#[derive(Clone, Debug, PartialEq, Deserialize, Type)]
pub(crate) struct SettingsChange {
    pub(crate) ports: Option<Vec<PortChoice>>,
    pub(crate) ram_mib: Option<u32>,
    pub(crate) vcpus: Option<u16>,
    pub(crate) open_at_login: Option<bool>,
    pub(crate) start_emulator_at_launch: Option<bool>,
    pub(crate) notifications: Option<bool>,
    pub(crate) updates: Option<bool>,
    /// 0 takes the limit away.
    #[specta(type = Option<Number>)]
    pub(crate) cache_limit_bytes: Option<u64>,
    /// 0 means never.
    pub(crate) archive_after_days: Option<u32>,
    /// In minutes; 0 means never.
    pub(crate) stop_when_idle_min: Option<u32>,
    pub(crate) no_rotation: Option<bool>,
    pub(crate) ahead: Option<Ahead>,
    pub(crate) network: Option<NetworkChoice>,
    pub(crate) repository: Option<String>,
    pub(crate) branch: Option<String>,
}

/// A port that the user thinks of.
#[derive(Clone, Debug, PartialEq, Deserialize, Type)]
pub(crate) struct PortChoice {
    /// The service's identifier.
    pub(crate) service: String,
    pub(crate) port: u16,
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
        if let Some(minutes) = self.stop_when_idle_min {
            preferences.stop_when_idle_min = Some(minutes).filter(|minutes| *minutes > 0);
        }
        preferences.no_rotation = self.no_rotation.unwrap_or(preferences.no_rotation);
        preferences.ahead = self.ahead.or(preferences.ahead);
        preferences.network = self.network.or(preferences.network);
        preferences.updates = self.updates.or(preferences.updates);
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
            updates: Some(false),
            cache_limit_bytes: Some(0),
            archive_after_days: None,
            stop_when_idle_min: Some(30),
            no_rotation: None,
            ahead: Some(Ahead::Off),
            network: Some(NetworkChoice::Closed),
            repository: None,
            branch: Some(" ".into()),
        };
        change.apply(&mut preferences);
        assert_eq!(
            (preferences.ram_mib, preferences.vcpus),
            (Some(2048), Some(2))
        );
        assert_eq!(preferences.ahead, Some(Ahead::Off));
        assert_eq!(preferences.network, Some(NetworkChoice::Closed));
        assert_eq!(preferences.updates, Some(false));
        assert_eq!(preferences.cache_limit_bytes, None);
        assert_eq!(preferences.stop_when_idle_min, Some(30));
        assert_eq!(preferences.branch, None);
        assert_eq!(preferences.ports.get("backend"), Some(&30001));
        assert!(preferences.app.start_at_launch && preferences.app.notifications);
    }
}
