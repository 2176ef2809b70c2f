//! The desktop around the window: the clipboard, the browser, the file browser, dialogs, and the end.

use emulator::Code;
use std::path::Path;
use std::sync::Arc;

use emulator::Emulator;
use emulator::preferences::Preferences;
use images::github::{PUBLIC_API, Repo};
use tauri::{AppHandle, Manager as _, State, Wry};
use tauri_plugin_dialog::{FileDialogBuilder, FilePath};
use tauri_plugin_opener::OpenerExt as _;
use tokio::sync::oneshot;
use url::{Host, Url};

use crate::app_state::AppState;
use crate::dashboard;
use crate::quit;
use crate::updates;
use crate::window;
use crate::wire::app::QuitChoice;
use crate::wire::failure::{Answer, Failure};

/// Puts text that is no secret on the clipboard.
#[tauri::command]
#[specta::specta]
pub(crate) async fn copy_text(state: State<'_, Arc<AppState>>, text: String) -> Answer {
    state.clipboard.copy_text(&text).await
}

/// Has a newer release of this program not told of again.
#[tauri::command]
#[specta::specta]
pub(crate) async fn dismiss_release(state: State<'_, Arc<AppState>>, version: String) -> Answer {
    updates::dismiss(&state, &version);
    Ok(())
}

/// Puts a newer release in the app's place, where the app can. Resolves when that is done or was canceled.
#[tauri::command]
#[specta::specta]
pub(crate) async fn install_release(state: State<'_, Arc<AppState>>, version: String) -> Answer {
    updates::install(&state, &version).await
}

/// Has the download of a newer release end, if there is one.
#[tauri::command]
#[specta::specta]
pub(crate) async fn cancel_install(state: State<'_, Arc<AppState>>) -> Answer {
    updates::cancel(&state);
    Ok(())
}

/// Restarts the app, with the release that was put in its place.
#[tauri::command]
#[specta::specta]
pub(crate) async fn restart_app(state: State<'_, Arc<AppState>>) -> Answer {
    updates::restart(&state)
}

/// Opens an address of the emulator, of the images' repository or of this program's in the user's browser.
#[tauri::command]
#[specta::specta]
pub(crate) async fn open_link(state: State<'_, Arc<AppState>>, url: String) -> Answer {
    let emulator = state.emulator();
    let services: Vec<String> = match state.published.status.borrow().as_ref() {
        Some(status) => status
            .report
            .services
            .iter()
            .map(|of| of.url.clone())
            .collect(),
        None => Vec::new(),
    };
    let pages = Pages::of(&emulator)?;
    let Some(url) = allowed(&url, &services, &pages) else {
        return Err(Failure::new(
            Code::Link,
            "the address does not belong to the emulator or its repositories",
        ));
    };
    let address = published_dashboard(&state).filter(|dashboard| is_root_of(&url, dashboard));
    if let Some(address) = address {
        return dashboard::open(&state, &address).await;
    }
    dashboard::browse(url.as_str()).await
}

/// Where the dashboard is, if the image has one.
fn published_dashboard(state: &AppState) -> Option<String> {
    let status = state.published.status.borrow();
    let mut services = status.as_ref()?.report.services.iter();
    let dashboard = services.find(|service| service.id == "dashboard")?;
    Some(dashboard.url.clone())
}

/// Whether `url` is the very page that the service at `address` begins with.
fn is_root_of(url: &Url, address: &str) -> bool {
    Url::parse(address).is_ok_and(|service| service == *url)
}

/// Shows a file in the desktop's file browser.
#[tauri::command]
#[specta::specta]
pub(crate) async fn show_in_folder(state: State<'_, Arc<AppState>>, path: String) -> Answer {
    let refused = || Failure::new(Code::Link, "the file does not belong to the emulator");
    let wanted = Path::new(&path);
    let real = wanted
        .canonicalize()
        .map_err(|error| Failure::of(Code::Link, "the file cannot be shown", &error))?;
    let emulator = state.emulator();
    let home = emulator.home().path().canonicalize();
    let listed = || {
        let projects = state.published.projects.borrow();
        let mut projects = projects.as_deref().unwrap_or_default().iter();
        projects.any(|project| Path::new(&project.config_file) == wanted)
    };
    let ours = home.is_ok_and(|home| real.starts_with(home));
    if !ours && !state.has_written(&real) && !listed() {
        return Err(refused());
    }
    let opener = state.app().clone();
    // It asks the desktop, whose answer may take its time.
    let shown =
        tauri::async_runtime::spawn_blocking(move || opener.opener().reveal_item_in_dir(&real));
    match shown.await {
        Ok(shown) => shown.map_err(|error| {
            Failure::of(Code::Link, "the file browser could not be opened", &error)
        }),
        Err(error) => Err(Failure::of(
            Code::Internal,
            "showing the file broke off",
            &error,
        )),
    }
}

/// Ends the app, after doing with a running emulator what the user said.
#[tauri::command]
#[specta::specta]
pub(crate) async fn quit(state: State<'_, Arc<AppState>>, choice: QuitChoice) -> Answer {
    quit::carry_out(&state, choice).await
}

/// Goes on: the user does not want to quit after all.
#[tauri::command]
#[specta::specta]
pub(crate) async fn stay(state: State<'_, Arc<AppState>>) -> Answer {
    state.published.quitting.send_replace(false);
    Ok(())
}

/// Has the user choose a file. `None` if they did not.
pub(super) async fn chosen(
    app: &AppHandle,
    dialog: FileDialogBuilder<Wry>,
) -> Answer<Option<String>> {
    let (answer, answered) = oneshot::channel();
    // Nobody waits for it once the page has been loaded again.
    over_window(app, dialog).pick_file(move |file| drop(answer.send(file)));
    path_of(answered).await
}

/// Has the user say where to put a file. `None` if they did not.
pub(super) async fn chosen_to_save(
    app: &AppHandle,
    dialog: FileDialogBuilder<Wry>,
) -> Answer<Option<String>> {
    let (answer, answered) = oneshot::channel();
    over_window(app, dialog).save_file(move |file| drop(answer.send(file)));
    path_of(answered).await
}

fn over_window(app: &AppHandle, dialog: FileDialogBuilder<Wry>) -> FileDialogBuilder<Wry> {
    match app.get_webview_window(window::LABEL) {
        Some(window) => dialog.set_parent(&window),
        None => dialog,
    }
}

async fn path_of(answered: oneshot::Receiver<Option<FilePath>>) -> Answer<Option<String>> {
    let Ok(Some(file)) = answered.await else {
        return Ok(None);
    };
    let path = file
        .into_path()
        .map_err(|error| Failure::of(Code::File, "the chosen file cannot be used", &error))?;
    match path.into_os_string().into_string() {
        Ok(path) => Ok(Some(path)),
        Err(path) => Err(Failure::new(
            Code::File,
            format!("the name of {} is not UTF-8", path.display()),
        )),
    }
}

/// The repositories' pages for people.
#[derive(Clone, Debug)]
struct Pages {
    host: String,
    /// That of the images, and this program's own.
    repositories: Vec<Repo>,
}

impl Pages {
    fn of(emulator: &Emulator) -> Result<Self, emulator::Error> {
        let preferences = Preferences::read(emulator.home())?;
        let chosen = preferences.repository.and_then(|text| text.parse().ok());
        let images: Repo = chosen.unwrap_or_default();
        let own = emulator.settings().updates.own_repository();
        let api = emulator.settings().github_api.as_ref();
        let host = api
            .map(Url::as_str)
            .filter(|api| *api != PUBLIC_API)
            .and_then(|api| Url::parse(api).ok()?.host_str().map(ToOwned::to_owned));
        Ok(Self {
            host: host.unwrap_or_else(|| "github.com".to_owned()),
            repositories: own.into_iter().chain([images]).collect(),
        })
    }

    fn have(&self, url: &Url) -> bool {
        let mut parts = url.path_segments().into_iter().flatten();
        let (owner, name) = (parts.next(), parts.next());
        let same = |part: Option<&str>, name: &str| {
            part.is_some_and(|part| part.eq_ignore_ascii_case(name))
        };
        let is_of =
            |repository: &Repo| same(owner, repository.owner()) && same(name, repository.name());
        url.scheme() == "https"
            && url.port().is_none()
            && (url.host_str() == Some(&self.host) || url.host_str() == Some("github.com"))
            && self.repositories.iter().any(is_of)
    }
}

/// The address, if it leads to a service of the emulator or to a page of one of the repositories.
fn allowed(text: &str, services: &[String], pages: &Pages) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let plain = url.username().is_empty() && url.password().is_none();
    let of_service = || {
        let port = |url: &Url| url.port_or_known_default();
        is_loopback(&url)
            && matches!(url.scheme(), "http" | "https")
            && services
                .iter()
                .filter_map(|service| Url::parse(service).ok())
                .any(|service| port(&service) == port(&url))
    };
    (plain && (of_service() || pages.have(&url))).then_some(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_allowed(text: &str) -> bool {
        let services = ["http://127.0.0.1:8101", "http://127.0.0.1:8102"].map(str::to_owned);
        let pages = Pages {
            host: "github.com".to_owned(),
            repositories: ["owner/name", "stack-auth/stack-auth"]
                .map(|name| name.parse().unwrap())
                .into(),
        };
        allowed(text, &services, &pages).is_some()
    }

    #[test]
    fn services_and_the_repositories_pages_are_opened() {
        for url in [
            "http://127.0.0.1:8101",
            "http://localhost:8102/projects?x=1#y",
            "https://github.com/stack-auth/stack-auth",
            "https://github.com/stack-auth/stack-auth/releases/tag/emulator-dev-latest",
            "https://github.com/Stack-Auth/stack-auth/pull/12",
            "https://github.com/owner/name/releases/tag/v1.2.3",
        ] {
            assert!(is_allowed(url), "{url}");
        }
    }

    #[test]
    fn nothing_else_is() {
        for url in [
            "http://127.0.0.1:9999",
            "http://10.0.0.1:8101",
            "http://example.com:8101",
            "http://127.0.0.1.example.com:8101",
            "http://ada@127.0.0.1:8101",
            "file:///etc/passwd",
            "ftp://127.0.0.1:8101",
            "javascript:alert(1)",
            "http://github.com/stack-auth/stack-auth",
            "https://github.com/stack-auth/other",
            "https://github.com/owner/stack-auth",
            "https://github.com/stack-auth/stack-auth/../../evil/repo",
            "https://github.com/stack-auth",
            "https://github.com.example.com/stack-auth/stack-auth",
            "https://github.com:8443/stack-auth/stack-auth",
            "https://ada:pw@github.com/stack-auth/stack-auth",
            "--new-window",
            "",
        ] {
            assert!(!is_allowed(url), "{url}");
        }
    }

    #[test]
    fn only_the_dashboard_itself_is_opened_signed_in() {
        let is_root = |url: &str, address| is_root_of(&Url::parse(url).unwrap(), address);
        let dashboard = "http://127.0.0.1:8101";
        for url in [dashboard, "http://127.0.0.1:8101/"] {
            assert!(is_root(url, dashboard), "{url}");
        }
        for url in [
            "http://127.0.0.1:8102",
            "http://localhost:8101",
            "http://127.0.0.1:8101/handler/sign-in",
            "http://127.0.0.1:8101/#/x",
            "https://github.com/stack-auth/stack-auth",
        ] {
            assert!(!is_root(url, dashboard), "{url}");
        }
        assert!(!is_root("http://127.0.0.1:8101", "not an address"));
    }
}
