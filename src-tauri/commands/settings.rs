//! Settings: what is in force, who set it, and changing it.

use std::sync::Arc;

use emulator::preferences::Preferences;
use emulator::secrets::SecretText;
use emulator::token::TokenSource;
use emulator::variables::{CPUS, NO_ROTATION, RAM, Settings as InForce};
use emulator::{Emulator, vault};
use images::github::Repo;
use images::source::DEFAULT_BRANCH;
use tauri::{Manager as _, State};
use tauri_plugin_autostart::ManagerExt as _;

use super::Answer;
use crate::desk::Desk;
use crate::live::Live;
use crate::wire::failure::Failure;
use crate::wire::settings::{
    GithubToken, PortCheck, PortChoice, Settings, SettingsChange, SettingsLimits, SettingsOverride,
};

/// Changes settings; those that are null stay as they are.
#[tauri::command]
#[specta::specta]
pub(crate) async fn change_settings(
    desk: State<'_, Arc<Desk>>,
    change: SettingsChange,
) -> Answer<Settings> {
    // First, since it is not ours to undo.
    if let Some(open) = change.open_at_login {
        set_open_at_login(&desk, open)?;
    }
    let emulator = desk.emulator();
    let preferences = Preferences::update(emulator.home(), |preferences| {
        change.apply(preferences);
        emulator.check_preferences(preferences)
    })?;
    desk.go_by(&preferences);
    let now = look(&desk).await?;
    Live::publish(&desk.live.settings, now.clone());
    Ok(now)
}

/// Whether the given ports could be had.
#[tauri::command]
#[specta::specta]
pub(crate) async fn check_ports(
    desk: State<'_, Arc<Desk>>,
    ports: Vec<PortChoice>,
) -> Answer<Vec<PortCheck>> {
    let wanted: Vec<_> = ports
        .into_iter()
        .map(|choice| (choice.service, choice.port))
        .collect();
    let checks = desk.emulator().check_ports(&wanted)?;
    Ok(checks.into_iter().map(PortCheck::from).collect())
}

/// Puts a GitHub token into the keychain.
#[tauri::command]
#[specta::specta]
pub(crate) async fn save_github_token(
    desk: State<'_, Arc<Desk>>,
    token: String,
) -> Answer<GithubToken> {
    let token = SecretText::from_text(token).ok_or_else(|| {
        Failure::new("setting", "this is not a GitHub token")
            .with_hint("Paste the token alone: letters, digits and underscores.")
    })?;
    vault::save_github_token(token)
        .await
        .map_err(emulator::Error::from)?;
    token_changed(&desk).await
}

/// Takes the GitHub token out of the keychain.
#[tauri::command]
#[specta::specta]
pub(crate) async fn forget_github_token(desk: State<'_, Arc<Desk>>) -> Answer<GithubToken> {
    vault::forget_github_token()
        .await
        .map_err(emulator::Error::from)?;
    token_changed(&desk).await
}

/// Remembers that the first-run wizard need not be shown again.
#[tauri::command]
#[specta::specta]
pub(crate) async fn finish_first_run(desk: State<'_, Arc<Desk>>) -> Answer {
    Preferences::update(desk.emulator().home(), |preferences| {
        preferences.app.first_run_done = true;
        Ok::<_, emulator::Error>(())
    })?;
    desk.live.app.send_modify(|info| info.first_run = false);
    Ok(())
}

/// The settings in force.
pub(crate) async fn look(desk: &Desk) -> Answer<Settings> {
    let emulator = desk.emulator();
    let in_force = emulator.settings();
    let preferences = Preferences::read(emulator.home())?;
    let limits = emulator.host_limits()?;
    let ports = emulator.port_settings()?;
    Ok(Settings {
        ports: ports.into_iter().map(Into::into).collect(),
        ram_mib: in_force.ram_mib,
        vcpus: in_force.vcpus,
        limits: SettingsLimits {
            host_ram_mib: limits.ram_mib.unwrap_or(limits.max_ram_mib),
            host_cpus: limits.cpus,
            min_ram_mib: limits.min_ram_mib,
            max_ram_mib: limits.max_ram_mib,
            max_vcpus: limits.max_vcpus,
        },
        open_at_login: opens_at_login(desk),
        start_emulator_at_launch: preferences.app.start_at_launch,
        notifications: preferences.app.notifications,
        cache_limit_bytes: preferences.cache_limit_bytes,
        archive_after_days: preferences.archive_after_days,
        no_rotation: in_force.no_rotation,
        repository: preferences
            .repository
            .unwrap_or_else(|| Repo::default().to_string()),
        default_repository: Repo::default().to_string(),
        branch: preferences
            .branch
            .unwrap_or_else(|| DEFAULT_BRANCH.to_owned()),
        github_token: token_source(&emulator).await,
        overrides: overrides(in_force),
        restart_needed: emulator.runs_by_other_settings()?,
    })
}

/// The settings on the page that a variable has set. Those of ports are told with each port.
fn overrides(in_force: &InForce) -> Vec<SettingsOverride> {
    let fields = [
        ("ramMib", RAM),
        ("vcpus", CPUS),
        ("noRotation", NO_ROTATION),
    ];
    fields
        .into_iter()
        .filter(|(_, variable)| in_force.overrides.contains(*variable))
        .map(|(field, variable)| SettingsOverride {
            field: field.to_owned(),
            variable: variable.to_owned(),
        })
        .collect()
}

async fn token_changed(desk: &Desk) -> Answer<GithubToken> {
    let now = look(desk).await?;
    let source = now.github_token;
    Live::publish(&desk.live.settings, now);
    Ok(source)
}

async fn token_source(emulator: &Emulator) -> GithubToken {
    match emulator.github_token_source().await {
        Ok(TokenSource::Environment) => GithubToken::Environment,
        Ok(TokenSource::Keychain) => GithubToken::Keychain,
        Ok(TokenSource::Gh) => GithubToken::Gh,
        Ok(TokenSource::None) => GithubToken::None,
        // A keychain that does not answer has no token to give; `examine` says what is the matter with it.
        Err(error) => {
            tracing::info!(error = %emulator::chain(&error), "not known whether there is a token for GitHub");
            GithubToken::None
        }
    }
}

fn opens_at_login(desk: &Desk) -> bool {
    desk.app()
        .autolaunch()
        .is_enabled()
        .unwrap_or_else(|error| {
            tracing::info!(%error, "not known whether the app is opened at login");
            false
        })
}

fn set_open_at_login(desk: &Desk, open: bool) -> Answer {
    if open && cfg!(target_os = "linux") {
        make_autostart_folder(desk).map_err(|error| {
            Failure::of(
                "autostart",
                "the folder of apps to open at login could not be created",
                error.as_ref(),
            )
        })?;
    }
    let autolaunch = desk.app().autolaunch();
    // To disable what is not enabled is an error to it.
    let changed = match (open, opens_at_login(desk)) {
        (true, false) => autolaunch.enable(),
        (false, true) => autolaunch.disable(),
        (true, true) | (false, false) => Ok(()),
    };
    changed
        .map_err(|error| Failure::of("autostart", "opening at login could not be changed", &error))
}

/// The library makes the folder alone, and fails where a new user has not even the one that it is in.
fn make_autostart_folder(desk: &Desk) -> Result<(), Box<dyn std::error::Error>> {
    // Where the library puts its file, whatever `XDG_CONFIG_HOME` says.
    let folder = desk.app().path().home_dir()?.join(".config/autostart");
    std::fs::create_dir_all(folder)?;
    Ok(())
}
