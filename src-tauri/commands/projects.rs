//! Projects: their config files, their credentials, and the folders that the guest sees.
//!
//! A secret's value leaves this module for the clipboard, for a `.env` file, or for the page that asked to see
//! that very one.

use std::path::Path;
use std::sync::Arc;

use emulator::credentials::ProjectCredentials;
use emulator::dotenv::{self, Variable};
use emulator::progress::Silent;
use tauri::State;
use tauri_plugin_dialog::DialogExt as _;
use zeroize::Zeroizing;

use super::Answer;
use super::desktop::chosen;
use crate::clipboard::KEPT_FOR;
use crate::desk::Desk;
use crate::notification;
use crate::wire::failure::Failure;
use crate::wire::projects::{
    Copied, Credentials, EnvWritten, Format, Project, SecretName, SharedFolder, value_of,
};
use crate::wire::status::State as Running;
use crate::wire::text::shown_path;

/// Lets the user choose a project's config file, and remembers it. Null if they did not.
#[tauri::command]
#[specta::specta]
pub(crate) async fn choose_config_file(desk: State<'_, Arc<Desk>>) -> Answer<Option<Project>> {
    let dialog = desk
        .app()
        .dialog()
        .file()
        .set_title("Choose the project's config file")
        .add_filter("Config files", &["ts", "js", "mjs", "cjs", "mts", "cts"])
        .add_filter("All files", &["*"]);
    match chosen(desk.app(), dialog).await? {
        Some(path) => remember(&desk, &path).map(Some),
        None => Ok(None),
    }
}

/// Remembers a config file that was named or dropped.
#[tauri::command]
#[specta::specta]
pub(crate) async fn add_project(
    desk: State<'_, Arc<Desk>>,
    config_file: String,
) -> Answer<Project> {
    remember(&desk, &config_file)
}

/// Takes a project off the list. Nothing of the project itself is touched.
#[tauri::command]
#[specta::specta]
pub(crate) async fn forget_project(desk: State<'_, Arc<Desk>>, config_file: String) -> Answer {
    Ok(desk.emulator().forget_project(&config_file)?)
}

/// Asks the emulator for a project's credentials. Values of secrets stay behind.
#[tauri::command]
#[specta::specta]
pub(crate) async fn project_credentials(
    desk: State<'_, Arc<Desk>>,
    config_file: String,
) -> Answer<Credentials> {
    let credentials = ask(&desk, &config_file).await?;
    Ok(Credentials::new(config_file, &credentials))
}

/// The value of one secret of a project, because the user asked to see it.
#[tauri::command]
#[specta::specta]
pub(crate) async fn reveal_credential(
    desk: State<'_, Arc<Desk>>,
    config_file: String,
    name: String,
) -> Answer<String> {
    let credentials = ask(&desk, &config_file).await?;
    Ok(named(&credentials, &name)?.to_owned())
}

/// Puts one value on the clipboard.
#[tauri::command]
#[specta::specta]
pub(crate) async fn copy_credential(
    desk: State<'_, Arc<Desk>>,
    config_file: String,
    name: String,
) -> Answer<Copied> {
    let credentials = ask(&desk, &config_file).await?;
    let value = Zeroizing::new(named(&credentials, &name)?.to_owned());
    copy(&desk, value, 1).await
}

/// Puts all of a project's variables on the clipboard.
#[tauri::command]
#[specta::specta]
pub(crate) async fn copy_credentials(
    desk: State<'_, Arc<Desk>>,
    config_file: String,
    format: Format,
) -> Answer<Copied> {
    copy_all(&desk, &config_file, format).await
}

/// Writes a project's variables into its `.env` file, leaving the rest of the file as it is.
#[tauri::command]
#[specta::specta]
pub(crate) async fn write_env(
    desk: State<'_, Arc<Desk>>,
    config_file: String,
    format: Format,
) -> Answer<EnvWritten> {
    let wanted = emulator::credentials::Format::from(format);
    let Some(kind) = wanted.kind() else {
        return Err(Failure::new(
            "env_file",
            "JSON cannot be written to a `.env` file",
        ));
    };
    let emulator = desk.emulator();
    let credentials = ask(&desk, &config_file).await?;
    // Asking has put it on the list.
    let project = emulator
        .projects()?
        .into_iter()
        .find(|project| project.config_file == config_file)
        .ok_or_else(|| Failure::new("config_file", "the project was removed from the list"))?;
    let variables = credentials.variables(kind);
    let set: Vec<_> = variables
        .iter()
        .map(|variable| Variable {
            name: &variable.name,
            value: variable.expose(),
        })
        .collect();
    let change = dotenv::set_in_file(&project.env_file(wanted), &set)
        .map_err(|error| Failure::of("env_file", "the variables could not be written", &error))?;
    emulator.choose_format(&config_file, wanted)?;
    desk.note_written(&change.path);
    Ok(change.into())
}

/// The value of one of the instance's four secrets, because the user asked to see it.
#[tauri::command]
#[specta::specta]
pub(crate) async fn reveal_secret(desk: State<'_, Arc<Desk>>, name: SecretName) -> Answer<String> {
    Ok(secret(&desk, name).await?.as_str().to_owned())
}

/// Puts one of the instance's four secrets on the clipboard.
#[tauri::command]
#[specta::specta]
pub(crate) async fn copy_secret(desk: State<'_, Arc<Desk>>, name: SecretName) -> Answer<Copied> {
    let value = secret(&desk, name).await?;
    copy(&desk, value, 1).await
}

/// Folders of the host that the guest sees.
#[tauri::command]
#[specta::specta]
pub(crate) async fn list_folders(desk: State<'_, Arc<Desk>>) -> Answer<Vec<SharedFolder>> {
    let emulator = desk.emulator();
    let mounted = desk
        .live
        .status
        .borrow()
        .as_ref()
        .is_some_and(|status| matches!(status.state, Running::Running | Running::Paused));
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
pub(crate) async fn remove_folder(desk: State<'_, Arc<Desk>>, path: String) -> Answer {
    let emulator = desk.emulator();
    Ok(emulator.remove_folder(Path::new(&path), &Silent).await?)
}

/// Copies a project's variables, and says how that went, since a menu cannot.
pub(crate) async fn copy_from_tray(desk: &Arc<Desk>, config_file: &str, format: Format) {
    let copied = copy_all(desk, config_file, format).await;
    notification::tell_copied(desk, &copied);
}

async fn copy_all(desk: &Desk, config_file: &str, format: Format) -> Answer<Copied> {
    let credentials = ask(desk, config_file).await?;
    let wanted = emulator::credentials::Format::from(format);
    let text = credentials.text(wanted);
    let count = match wanted.kind() {
        Some(kind) => credentials.variables(kind).len(),
        None => emulator::credentials::JSON_FIELDS,
    };
    let copied = copy(desk, text, count).await?;
    desk.emulator().choose_format(config_file, wanted)?;
    Ok(copied)
}

async fn copy(desk: &Desk, text: Zeroizing<String>, count: usize) -> Answer<Copied> {
    desk.clipboard.copy_secret(text).await?;
    Ok(Copied {
        count: u32::try_from(count).unwrap_or(u32::MAX),
        clears_after_seconds: u32::try_from(KEPT_FOR.as_secs()).unwrap_or(u32::MAX),
    })
}

fn remember(desk: &Desk, config_file: &str) -> Answer<Project> {
    let emulator = desk.emulator();
    let project = emulator.add_project(Path::new(config_file))?;
    Ok(Project::new(&project, &emulator))
}

async fn ask(desk: &Desk, config_file: &str) -> Answer<ProjectCredentials> {
    let emulator = desk.emulator();
    Ok(emulator
        .credentials(Path::new(config_file), &Silent)
        .await?)
}

fn named<'a>(credentials: &'a ProjectCredentials, name: &str) -> Answer<&'a str> {
    value_of(credentials, name)
        .ok_or_else(|| Failure::new("internal", format!("there is no variable {name:?}")))
}

async fn secret(desk: &Desk, name: SecretName) -> Answer<Zeroizing<String>> {
    let Some(set) = desk.emulator().secrets(&Silent).await? else {
        return Err(Failure::new("secrets_missing", "no secrets are stored")
            .with_hint("The next start creates new ones."));
    };
    let value = set.get(name.into()).expose().to_owned();
    Ok(Zeroizing::new(value))
}
