//! Whether the desktop is dark, by what the page itself goes by, so that page, window and tray agree.
//!
//! On Linux that is GTK's settings. The window's own word for it is not used there: it is the portal's at the
//! launch, stays what it was then, and knows nothing of a dark theme.

use std::sync::Arc;

use crate::desk::Desk;
use crate::window;

/// Finds out, gives the window its background, and notices changes from now on. The window has to be there.
pub(crate) fn follow(desk: &Arc<Desk>) {
    notice(desk);
    let background = desk.clone();
    let mut dark = desk.dark.subscribe();
    window::colour(desk.app(), *dark.borrow_and_update());
    tauri::async_runtime::spawn(async move {
        // The sender is the desk's own, which this task keeps.
        while dark.changed().await.is_ok() {
            window::colour(background.app(), *dark.borrow_and_update());
        }
    });
}

#[cfg(target_os = "linux")]
fn notice(desk: &Arc<Desk>) {
    use gtk::prelude::GtkSettingsExt as _;

    let Some(settings) = gtk::Settings::default() else {
        return;
    };
    let look = |desk: &Arc<Desk>, settings: &gtk::Settings| {
        let forced = std::env::var("GTK_THEME")
            .ok()
            .filter(|theme| !theme.is_empty());
        let theme = forced.or_else(|| settings.gtk_theme_name().map(Into::into));
        publish(
            desk,
            settings.is_gtk_application_prefer_dark_theme()
                || theme.is_some_and(|it| names_dark(&it)),
        );
    };
    look(desk, &settings);
    // Until the app ends.
    let told = desk.clone();
    settings
        .connect_gtk_application_prefer_dark_theme_notify(move |settings| look(&told, settings));
    let told = desk.clone();
    settings.connect_gtk_theme_name_notify(move |settings| look(&told, settings));
}

/// Whether the name is that of a dark theme, as `WebKit` reads it.
#[cfg(target_os = "linux")]
fn names_dark(theme: &str) -> bool {
    ["-dark", "-Dark", ":dark"]
        .iter()
        .any(|end| theme.ends_with(end))
}

/// The window tells of changes itself, by [`publish`].
#[cfg(not(target_os = "linux"))]
fn notice(desk: &Arc<Desk>) {
    use tauri::Manager as _;

    let theme = desk
        .app()
        .get_webview_window(window::LABEL)
        .and_then(|window| window.theme().ok());
    publish(desk, theme == Some(tauri::Theme::Dark));
}

/// Notes what was found out.
pub(crate) fn publish(desk: &Desk, dark: bool) {
    desk.dark.send_if_modified(|known| {
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
