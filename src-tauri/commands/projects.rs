//! Projects: their config files, their credentials, and the folders that the guest sees.
//!
//! A secret's value leaves this module for the clipboard, for a `.env` file, or for the page that asked to see
//! that very one.

use emulator::Code;
use std::path::Path;
use std::sync::Arc;

use emulator::State as Running;
use emulator::clashes::Clash;
use emulator::credentials::{Format, Names, ProjectCredentials};
use emulator::dotenv::FileChange;
use emulator::secrets::SecretName;
use progress::Silent;
use tauri::State;
use tauri_plugin_dialog::DialogExt as _;
use zeroize::Zeroizing;

use super::desktop::chosen;
use crate::app_state::AppState;
use crate::operations::{copy_all, copy_secret as copy, credentials};
use crate::wire::failure::{Answer, Failure};
use crate::wire::projects::{Copied, Credentials, Project, RefreshedFiles, SharedFolder, value_of};
use crate::wire::text::shown_path;

/// Lets the user choose a project's config file, and remembers it. Null if they did not.
#[tauri::command]
#[specta::specta]
pub(crate) async fn choose_config_file(state: State<'_, Arc<AppState>>) -> Answer<Option<Project>> {
    let dialog = state
        .app()
        .dialog()
        .file()
        .set_title("Choose the project's config file")
        .add_filter("Config files", &["ts", "js", "mjs", "cjs", "mts", "cts"])
        .add_filter("All files", &["*"]);
    match chosen(state.app(), dialog).await? {
        Some(path) => remember(&state, &path).map(Some),
        None => Ok(None),
    }
}

/// Remembers a config file that was named or dropped.
#[tauri::command]
#[specta::specta]
pub(crate) async fn add_project(
    state: State<'_, Arc<AppState>>,
    config_file: String,
) -> Answer<Project> {
    remember(&state, &config_file)
}

/// Takes a project off the list. Nothing of the project itself is touched.
#[tauri::command]
#[specta::specta]
pub(crate) async fn forget_project(state: State<'_, Arc<AppState>>, config_file: String) -> Answer {
    Ok(state.emulator().forget_project(&config_file)?)
}

/// Asks the emulator for a project's credentials. Values of secrets stay behind.
#[tauri::command]
#[specta::specta]
pub(crate) async fn project_credentials(
    state: State<'_, Arc<AppState>>,
    config_file: String,
) -> Answer<Credentials> {
    let credentials = credentials(&state, &config_file).await?;
    Ok(Credentials::new(config_file, &credentials))
}

/// The value of one secret of a project, because the user asked to see it.
#[tauri::command]
#[specta::specta]
pub(crate) async fn reveal_credential(
    state: State<'_, Arc<AppState>>,
    config_file: String,
    name: String,
) -> Answer<String> {
    let credentials = credentials(&state, &config_file).await?;
    Ok(named(&credentials, &name)?.to_owned())
}

/// Puts one value on the clipboard.
#[tauri::command]
#[specta::specta]
pub(crate) async fn copy_credential(
    state: State<'_, Arc<AppState>>,
    config_file: String,
    name: String,
) -> Answer<Copied> {
    let credentials = credentials(&state, &config_file).await?;
    let value = Zeroizing::new(named(&credentials, &name)?.to_owned());
    copy(&state, value, 1).await
}

/// Puts all of a project's variables on the clipboard.
#[tauri::command]
#[specta::specta]
pub(crate) async fn copy_credentials(
    state: State<'_, Arc<AppState>>,
    config_file: String,
    format: Format,
) -> Answer<Copied> {
    copy_all(&state, &config_file, format).await
}

/// Writes a project's variables into its `.env` file, leaving the rest of the file as it is.
#[tauri::command]
#[specta::specta]
pub(crate) async fn write_env(
    state: State<'_, Arc<AppState>>,
    config_file: String,
    format: Format,
) -> Answer<FileChange> {
    if format.kind().is_none() {
        return Err(Failure::new(
            Code::EnvFile,
            "JSON cannot be written to a `.env` file",
        ));
    }
    let emulator = state.emulator();
    let credentials = credentials(&state, &config_file).await?;
    // Asking has put it on the list.
    let project = emulator
        .projects()?
        .into_iter()
        .find(|project| project.config_file == config_file)
        .ok_or_else(|| Failure::new(Code::ConfigFile, "the project was removed from the list"))?;
    let change = emulator.write_env_file(
        Path::new(&config_file),
        &credentials,
        &project.env_file(format),
        format,
        Names::Both,
    )?;
    emulator.choose_format(&config_file, format)?;
    state.note_written(&change.path);
    // JSON has no other text than Unicode.
    let unicode = |path: &Path| path.to_string_lossy().into_owned().into();
    let clashes = change.clashes.into_iter();
    Ok(FileChange {
        path: unicode(&change.path),
        clashes: clashes
            .map(|clash| Clash {
                file: unicode(&clash.file),
                ..clash
            })
            .collect(),
        ..change
    })
}

/// Writes all `.env` files again that credentials were written to, with those that hold now.
#[tauri::command]
#[specta::specta]
pub(crate) async fn refresh_env_files(state: State<'_, Arc<AppState>>) -> Answer<RefreshedFiles> {
    let report = state.emulator().refresh_env_files(&Silent).await?;
    Ok(report.into())
}

/// The files whose credentials a reset makes stale, `~` being the user's own folder.
#[tauri::command]
#[specta::specta]
pub(crate) async fn stale_env_files(state: State<'_, Arc<AppState>>) -> Answer<Vec<String>> {
    let emulator = state.emulator();
    let user_home = emulator.settings().user_home.as_deref();
    let files = emulator.stale_env_files()?.into_iter();
    Ok(files
        .map(|file| shown_path(&file.path, user_home))
        .collect())
}

/// The value of one of the instance's four secrets, because the user asked to see it.
#[tauri::command]
#[specta::specta]
pub(crate) async fn reveal_secret(
    state: State<'_, Arc<AppState>>,
    name: SecretName,
) -> Answer<String> {
    Ok(secret(&state, name).await?.as_str().to_owned())
}

/// Puts one of the instance's four secrets on the clipboard.
#[tauri::command]
#[specta::specta]
pub(crate) async fn copy_secret(
    state: State<'_, Arc<AppState>>,
    name: SecretName,
) -> Answer<Copied> {
    let value = secret(&state, name).await?;
    copy(&state, value, 1).await
}

/// Folders of the host that the guest sees.
#[tauri::command]
#[specta::specta]
pub(crate) async fn list_folders(state: State<'_, Arc<AppState>>) -> Answer<Vec<SharedFolder>> {
    let emulator = state.emulator();
    let mounted = state
        .published
        .status
        .borrow()
        .as_ref()
        .is_some_and(|status| matches!(status.report.state, Running::Running | Running::Paused));
    let user_home = emulator.settings().user_home.as_deref();
    let folders = emulator.folders()?.into_iter();
    Ok(folders
        .map(|folder| SharedFolder {
            shown_path: shown_path(Path::new(&folder.path), user_home),
            path: folder.path,
            mounted,
        })
        .collect())
}

/// Takes a folder from the guest.
#[tauri::command]
#[specta::specta]
pub(crate) async fn remove_folder(state: State<'_, Arc<AppState>>, path: String) -> Answer {
    let emulator = state.emulator();
    Ok(emulator.remove_folder(Path::new(&path), &Silent).await?)
}

fn remember(state: &AppState, config_file: &str) -> Answer<Project> {
    let emulator = state.emulator();
    let project = emulator.add_project(Path::new(config_file))?;
    Ok(Project::new(&project, &emulator))
}

fn named<'a>(credentials: &'a ProjectCredentials, name: &str) -> Answer<&'a str> {
    value_of(credentials, name)
        .ok_or_else(|| Failure::new(Code::Internal, format!("there is no variable {name:?}")))
}

async fn secret(state: &AppState, name: SecretName) -> Answer<Zeroizing<String>> {
    let Some(set) = state.emulator().secrets(&Silent).await? else {
        return Err(Failure::new(Code::SecretsMissing, "no secrets are stored")
            .with_hint("The next start creates new ones."));
    };
    let value = set.get(name).expose().to_owned();
    Ok(Zeroizing::new(value))
}
