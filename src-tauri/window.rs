//! The window: made hidden at the launch, shown when it is wanted, hidden when it is closed.

use std::sync::Arc;

use emulator::changes::Changed;
use tauri::utils::config::Color;
use tauri::{
    AppHandle, DragDropEvent, Manager as _, WebviewUrl, WebviewWindow, WebviewWindowBuilder,
    WindowEvent,
};
use tauri_plugin_window_state::{StateFlags, WindowExt as _};
use tauri_specta::Event as _;

use crate::app_state::AppState;
use crate::wire::app::{ConfigFileDrag, Page};

/// The only window.
pub(crate) const LABEL: &str = "main";
/// What the desktop calls it, and the app.
pub(crate) const TITLE: &str = "Stack Emulator";
/// What of the window is remembered. Not whether it was shown: that is for the launch to say.
pub(crate) const REMEMBERED: StateFlags = StateFlags::SIZE
    .union(StateFlags::POSITION)
    .union(StateFlags::MAXIMIZED);
/// The page's own backgrounds, so that nothing flashes before it is drawn.
const LIGHT: Color = Color(0xf6, 0xf6, 0xf4, 0xff);
const DARK: Color = Color(0x1b, 0x1c, 0x1e, 0xff);

/// Makes the window, hidden.
///
/// `end`: called when it is closed and could not be found again, for want of a tray.
pub(crate) fn make(app: &AppHandle, end: fn(&Arc<AppState>)) -> tauri::Result<WebviewWindow> {
    let window = WebviewWindowBuilder::new(app, LABEL, WebviewUrl::default())
        .title(TITLE)
        .inner_size(920.0, 640.0)
        .min_inner_size(400.0, 480.0)
        .visible(false)
        // Nothing but the page itself is ever loaded; links go to the browser, by a command.
        .on_navigation(is_page)
        .build()?;
    window.restore_state(REMEMBERED)?;
    let handle = app.clone();
    window.on_window_event(move |event| on_event(&handle, event, end));
    Ok(window)
}

/// Gives the window the background of the page in a light or a dark desktop.
pub(crate) fn colour(app: &AppHandle, dark: bool) {
    if let Some(window) = app.get_webview_window(LABEL)
        && let Err(error) = window.set_background_color(Some(if dark { DARK } else { LIGHT }))
    {
        tracing::info!(%error, "the window keeps the background that it has");
    }
}

/// Whether an address is that of the page, or of its development server.
fn is_page(url: &tauri::Url) -> bool {
    let development = tauri::is_dev() && url.host_str() == Some("localhost");
    url.scheme() == "tauri" || url.host_str() == Some("tauri.localhost") || development
}

/// Shows the window in front of others, at `page` if one is wanted.
pub(crate) fn show(app: &AppHandle, page: Option<Page>) {
    let Some(window) = app.get_webview_window(LABEL) else {
        return;
    };
    set_in_dock(app, true);
    let shown = window
        .show()
        .and_then(|()| window.unminimize())
        .and_then(|()| window.set_focus());
    if let Err(error) = shown {
        tracing::warn!(%error, "the window could not be shown");
    }
    let state = AppState::of(app);
    state.shown.send_replace(true);
    state.invalidate(Changed::EVERYTHING);
    if let Some(page) = page {
        state.published.go(page);
    }
}

/// Has macOS show the app in the Dock and among those to switch to, with its menu, while its window is shown. At
/// other times it is an icon in the menu bar (`LSUIElement` in `src-tauri/macos/Info.plist`).
#[cfg(target_os = "macos")]
fn set_in_dock(app: &AppHandle, shown: bool) {
    let policy = if shown {
        tauri::ActivationPolicy::Regular
    } else {
        tauri::ActivationPolicy::Accessory
    };
    if let Err(error) = app.set_activation_policy(policy) {
        tracing::warn!(%error, "the Dock could not be told of the window");
    }
}

/// Elsewhere the list of windows is the desktop's matter.
#[cfg(not(target_os = "macos"))]
const fn set_in_dock(_: &AppHandle, _: bool) {}

fn on_event(app: &AppHandle, event: &WindowEvent, end: fn(&Arc<AppState>)) {
    match event {
        WindowEvent::CloseRequested { api, .. } => {
            api.prevent_close();
            let state = AppState::of(app);
            if state.published.app.borrow().tray {
                hide(app, &state);
            } else {
                end(&state);
            }
        }
        WindowEvent::Focused(true) => AppState::of(app).invalidate(Changed::EVERYTHING),
        WindowEvent::DragDrop(drag) => {
            let told = match drag {
                DragDropEvent::Enter { .. } => ConfigFileDrag::Over,
                DragDropEvent::Leave => ConfigFileDrag::Left,
                DragDropEvent::Drop { paths, .. } => {
                    match paths.first().and_then(|path| path.to_str()) {
                        Some(path) => ConfigFileDrag::Dropped {
                            path: path.to_owned(),
                        },
                        None => ConfigFileDrag::Left,
                    }
                }
                _ => return,
            };
            if let Err(error) = told.emit(app) {
                tracing::warn!(%error, "the page could not be told of what is dragged");
            }
        }
        _ => {}
    }
}

fn hide(app: &AppHandle, state: &Arc<AppState>) {
    if let Some(window) = app.get_webview_window(LABEL)
        && let Err(error) = window.hide()
    {
        tracing::warn!(%error, "the window could not be hidden");
        return;
    }
    set_in_dock(app, false);
    state.shown.send_replace(false);
}
