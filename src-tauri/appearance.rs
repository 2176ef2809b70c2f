//! Whether the desktop is dark, by what the page itself uses, so that page, window and tray agree.
//!
//! On Linux that is GTK's settings. The window's own word for it is not used there: it is the portal's at the
//! launch, stays what it was then, and knows nothing of a dark theme.

use std::sync::Arc;

use crate::app_state::AppState;
use crate::window;

/// Finds out, gives the window its background, and notices changes from now on. The window has to be there.
pub(crate) fn follow(state: &Arc<AppState>) {
    notice(state);
    let background = state.clone();
    let mut dark = state.dark.subscribe();
    window::colour(state.app(), *dark.borrow_and_update());
    tauri::async_runtime::spawn(async move {
        // The sender belongs to the app's state, which this task keeps.
        while dark.changed().await.is_ok() {
            window::colour(background.app(), *dark.borrow_and_update());
        }
    });
}

#[cfg(target_os = "linux")]
fn notice(state: &Arc<AppState>) {
    use gtk::prelude::GtkSettingsExt as _;

    let Some(settings) = gtk::Settings::default() else {
        return;
    };
    let read = |state: &Arc<AppState>, settings: &gtk::Settings| {
        let forced = std::env::var("GTK_THEME")
            .ok()
            .filter(|theme| !theme.is_empty());
        let theme = forced.or_else(|| settings.gtk_theme_name().map(Into::into));
        publish(
            state,
            settings.is_gtk_application_prefer_dark_theme()
                || theme.is_some_and(|it| names_dark(&it)),
        );
    };
    read(state, &settings);
    // Until the app ends.
    let told = state.clone();
    settings
        .connect_gtk_application_prefer_dark_theme_notify(move |settings| read(&told, settings));
    let told = state.clone();
    settings.connect_gtk_theme_name_notify(move |settings| read(&told, settings));
}

/// Whether the name is that of a dark theme, as `WebKit` reads it.
#[cfg(target_os = "linux")]
fn names_dark(theme: &str) -> bool {
    ["-dark", "-Dark", ":dark"]
        .iter()
        .any(|end| theme.ends_with(end))
}

#[cfg(not(target_os = "linux"))]
fn notice(state: &Arc<AppState>) {
    use tauri::Manager as _;

    let Some(window) = state.app().get_webview_window(window::LABEL) else {
        return;
    };
    let theme = window.theme().ok();
    publish(state, theme == Some(tauri::Theme::Dark));
    let told = state.clone();
    window.on_window_event(move |event| {
        if let tauri::WindowEvent::ThemeChanged(theme) = event {
            publish(&told, *theme == tauri::Theme::Dark);
        }
    });
}

/// Notes what was found out.
fn publish(state: &AppState, dark: bool) {
    state.dark.send_if_modified(|known| {
        let changed = *known != dark;
        *known = dark;
        changed
    });
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::names_dark;

    #[test]
    fn dark_themes_are_known_by_their_names() {
        for theme in ["Adwaita-dark", "Yaru-blue-dark", "Arc-Dark", "Adwaita:dark"] {
            assert!(names_dark(theme), "{theme}");
        }
        for theme in ["Adwaita", "Adwaita:light", "Darkness", ""] {
            assert!(!names_dark(theme), "{theme}");
        }
    }
}
