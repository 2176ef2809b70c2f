//! Settings: what is in force, who set it, and changing it.

use emulator::Code;
use std::sync::Arc;

use emulator::ports::PortCheck;
use emulator::preferences::Preferences;
use emulator::secrets::SecretText;
use emulator::token::TokenSource;
use emulator::vault;
use tauri::{Manager as _, State};
use tauri_plugin_autostart::ManagerExt as _;

use crate::app_state::AppState;
use crate::operations::watch_idle;
use crate::published::Published;
use crate::settings::{in_force, opens_at_login};
use crate::wire::failure::{Answer, Failure};
use crate::wire::settings::{PortChoice, Settings, SettingsChange};

/// Changes settings; those that are null stay as they are.
#[tauri::command]
#[specta::specta]
pub(crate) async fn change_settings(
    state: State<'_, Arc<AppState>>,
    change: SettingsChange,
) -> Answer<Settings> {
    // First, since it is not ours to undo.
    if let Some(open) = change.open_at_login {
        set_open_at_login(&state, open)?;
    }
    let emulator = state.emulator();
    let preferences = Preferences::update(emulator.home(), |preferences| {
        change.apply(preferences);
        emulator.check_preferences(preferences)
    })?;
    state.apply_preferences(&preferences);
    if change.stop_when_idle_min.is_some() {
        watch_what_runs(&state)?;
    }
    let now = in_force(&state).await?;
    Published::publish(&state.published.settings, now.clone());
    Ok(now)
}

/// Whether the given ports could be had.
#[tauri::command]
#[specta::specta]
pub(crate) async fn check_ports(
    state: State<'_, Arc<AppState>>,
    ports: Vec<PortChoice>,
) -> Answer<Vec<PortCheck>> {
    let wanted: Vec<_> = ports
        .into_iter()
        .map(|choice| (choice.service, choice.port))
        .collect();
    Ok(state.emulator().check_ports(&wanted)?)
}

/// Puts a GitHub token into the keychain.
#[tauri::command]
#[specta::specta]
pub(crate) async fn save_github_token(
    state: State<'_, Arc<AppState>>,
    token: String,
) -> Answer<TokenSource> {
    let token = SecretText::from_text(token).ok_or_else(|| {
        Failure::new(Code::Setting, "this is not a GitHub token")
            .with_hint("Paste the token alone: letters, digits and underscores.")
    })?;
    vault::save_github_token(token)
        .await
        .map_err(emulator::Error::from)?;
    token_changed(&state).await
}

/// Takes the GitHub token out of the keychain.
#[tauri::command]
#[specta::specta]
pub(crate) async fn forget_github_token(state: State<'_, Arc<AppState>>) -> Answer<TokenSource> {
    vault::forget_github_token()
        .await
        .map_err(emulator::Error::from)?;
    token_changed(&state).await
}

/// Remembers that the first-run wizard need not be shown again.
#[tauri::command]
#[specta::specta]
pub(crate) async fn finish_first_run(state: State<'_, Arc<AppState>>) -> Answer {
    Preferences::update(state.emulator().home(), |preferences| {
        preferences.app.first_run_done = true;
        Ok::<_, emulator::Error>(())
    })?;
    state
        .published
        .app
        .send_modify(|info| info.first_run = false);
    Ok(())
}

/// Has each instance that runs already watched for as long as the setting says now.
fn watch_what_runs(state: &AppState) -> Answer {
    let emulator = state.emulator();
    for name in emulator.instance_names()? {
        watch_idle(&emulator.sibling(name));
    }
    Ok(())
}

async fn token_changed(state: &AppState) -> Answer<TokenSource> {
    let now = in_force(state).await?;
    let source = now.github_token;
    Published::publish(&state.published.settings, now);
    Ok(source)
}

fn set_open_at_login(state: &AppState, open: bool) -> Answer {
    if open && cfg!(target_os = "linux") {
        make_autostart_folder(state).map_err(|error| {
            Failure::of(
                Code::Autostart,
                "the folder of apps to open at login could not be created",
                error.as_ref(),
            )
        })?;
    }
    let autolaunch = state.app().autolaunch();
    // To disable what is not enabled is an error to it.
    let changed = match (open, opens_at_login(state)) {
        (true, false) => autolaunch.enable(),
        (false, true) => autolaunch.disable(),
        (true, true) | (false, false) => Ok(()),
    };
    changed.map_err(|error| {
        Failure::of(
            Code::Autostart,
            "opening at login could not be changed",
            &error,
        )
    })
}

/// The library makes the folder alone, and fails where a new user has not even the one that it is in.
fn make_autostart_folder(state: &AppState) -> Result<(), Box<dyn std::error::Error>> {
    // Where the library puts its file, whatever `XDG_CONFIG_HOME` says.
    let folder = state.app().path().home_dir()?.join(".config/autostart");
    std::fs::create_dir_all(folder)?;
    Ok(())
}
