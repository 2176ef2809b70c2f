//! The settings in force, from the settings file, the environment, and the desktop.

use emulator::Emulator;
use emulator::preferences::Preferences;
use emulator::token::TokenSource;
use emulator::variables::{AHEAD, CPUS, NETWORK, NO_ROTATION, RAM, UPDATES};
use images::github::Repo;
use images::source::DEFAULT_BRANCH;
use tauri_plugin_autostart::ManagerExt as _;

use crate::app_state::AppState;
use crate::wire::failure::Answer;
use crate::wire::settings::{Settings, SettingsOverride};

/// The settings in force.
pub(crate) async fn in_force(state: &AppState) -> Answer<Settings> {
    let emulator = state.emulator();
    let settings = emulator.settings();
    let preferences = Preferences::read(emulator.home())?;
    Ok(Settings {
        ports: emulator.port_settings()?,
        ram_mib: emulator.ram_mib()?,
        vcpus: settings.vcpus,
        limits: emulator.host_limits()?,
        open_at_login: opens_at_login(state),
        start_emulator_at_launch: preferences.app.start_at_launch,
        notifications: preferences.app.notifications,
        updates: settings.updates.repository().is_some(),
        cache_limit_bytes: preferences.cache_limit_bytes,
        archive_after_days: preferences.archive_after_days,
        stop_when_idle_min: preferences.stop_when_idle_min,
        no_rotation: settings.no_rotation,
        ahead: settings.ahead,
        network: settings.network,
        room_for_standby: emulator.has_room_for_standby()?,
        repository: preferences
            .repository
            .unwrap_or_else(|| Repo::default().to_string()),
        default_repository: Repo::default().to_string(),
        own_repository: settings.updates.own_repository().map(|own| own.to_string()),
        branch: preferences
            .branch
            .unwrap_or_else(|| DEFAULT_BRANCH.to_owned()),
        github_token: token_source(&emulator).await,
        overrides: overrides(settings),
        restart_needed: emulator.runs_by_other_settings()?,
    })
}

/// The settings on the page that a variable has set. Those of ports are told with each port.
fn overrides(settings: &emulator::variables::Settings) -> Vec<SettingsOverride> {
    let fields = [
        ("ram_mib", RAM),
        ("vcpus", CPUS),
        ("no_rotation", NO_ROTATION),
        ("ahead", AHEAD),
        ("network", NETWORK),
        ("updates", UPDATES),
    ];
    fields
        .into_iter()
        .filter(|(_, variable)| settings.overrides.contains(*variable))
        .map(|(field, variable)| SettingsOverride {
            field: field.to_owned(),
            variable: variable.to_owned(),
        })
        .collect()
}

async fn token_source(emulator: &Emulator) -> TokenSource {
    match emulator.github_token_source().await {
        Ok(source) => source,
        // A keychain that does not answer has no token to give; `examine` says what is the matter with it.
        Err(error) => {
            tracing::info!(error = %emulator::chain(&error), "not known whether there is a token for GitHub");
            TokenSource::None
        }
    }
}

/// Whether the app is opened with the session.
pub(crate) fn opens_at_login(state: &AppState) -> bool {
    state
        .app()
        .autolaunch()
        .is_enabled()
        .unwrap_or_else(|error| {
            tracing::info!(%error, "not known whether the app is opened at login");
            false
        })
}
