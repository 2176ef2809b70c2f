//! The tray: an icon that shows how the emulator is, and a menu in which everything is an item.
//!
//! A click on the icon itself reports nothing on most Linux desktops, so nothing hangs on one. What the menu
//! holds is decided in [`menu`], from the state that is shown everywhere; this module only draws it.

mod host;
mod icons;
mod menu;

use std::sync::Arc;
use std::time::Duration;

use tauri::menu::{Menu, MenuItemBuilder, PredefinedMenuItem, Submenu, SubmenuBuilder};
use tauri::tray::TrayIconBuilder;
use tauri::{AppHandle, Wry};

pub(crate) use self::host::watch_host;
use self::icons::Glyph;
use self::menu::{Action, Entry, Model};
use crate::app_state::AppState;
use crate::dashboard;
use crate::notification;
use crate::operations::{self, Ports};
use crate::quit;
use crate::window;
use crate::wire::app::Page;

const ID: &str = "stack-emulator";
/// Changes that come this close to each other are drawn once.
const TOGETHER: Duration = Duration::from_millis(20);

/// Makes the icon.
pub(crate) fn make(state: &Arc<AppState>) -> tauri::Result<()> {
    let app = state.app();
    let model = model(state);
    // What a panel calls the icon: its title is the application's name, and without one the program's.
    #[cfg(target_os = "linux")]
    gtk::glib::set_application_name(window::TITLE);
    TrayIconBuilder::with_id(ID)
        .icon(icons::of(model.icon, Glyph::of(*state.dark.borrow()))?)
        .icon_as_template(cfg!(target_os = "macos"))
        .tooltip(&model.tooltip)
        .menu(&built(app, &model)?)
        .show_menu_on_left_click(true)
        .on_menu_event(|app, event| act(app, event.id().as_ref()))
        .build(app)?;
    Ok(())
}

/// Draws the tray anew whenever what it shows has changed, for as long as the app runs.
pub(crate) async fn keep_current(state: Arc<AppState>) {
    let mut activity = state.activities.subscribe();
    let mut status = state.published.status.subscribe();
    let mut projects = state.published.projects.subscribe();
    let mut others = state.published.others.subscribe();
    let mut dark = state.dark.subscribe();
    let mut drawn = None;
    loop {
        let now = (model(&state), Glyph::of(*dark.borrow_and_update()));
        if drawn.as_ref() != Some(&now) {
            if let Err(error) = draw(state.app(), &now.0, now.1) {
                tracing::warn!(%error, "the tray could not be drawn");
            }
            drawn = Some(now);
        }
        let changed = tokio::select! {
            changed = activity.changed() => changed,
            changed = status.changed() => changed,
            changed = projects.changed() => changed,
            changed = others.changed() => changed,
            changed = dark.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
        tokio::time::sleep(TOGETHER).await;
    }
}

fn model(state: &AppState) -> Model {
    Model::of(
        state.published.status.borrow().as_ref(),
        state.activities.subscribe().borrow().as_ref(),
        state
            .published
            .projects
            .borrow()
            .as_deref()
            .unwrap_or_default(),
        state
            .published
            .others
            .borrow()
            .as_deref()
            .unwrap_or_default(),
    )
}

fn draw(app: &AppHandle, model: &Model, glyph: Glyph) -> tauri::Result<()> {
    let Some(tray) = app.tray_by_id(ID) else {
        return Ok(());
    };
    tray.set_menu(Some(built(app, model)?))?;
    tray.set_icon_with_as_template(
        Some(icons::of(model.icon, glyph)?),
        cfg!(target_os = "macos"),
    )?;
    // Nothing shows it on Linux, and what does elsewhere reads it out.
    tray.set_tooltip(Some(&model.tooltip))
}

fn built(app: &AppHandle, model: &Model) -> tauri::Result<Menu<Wry>> {
    let menu = Menu::new(app)?;
    for entry in &model.entries {
        match entry {
            Entry::Separator => menu.append(&PredefinedMenuItem::separator(app)?)?,
            Entry::Text(text) => {
                menu.append(
                    &MenuItemBuilder::new(label(text))
                        .enabled(false)
                        .build(app)?,
                )?;
            }
            Entry::Item {
                action,
                text,
                enabled,
            } => {
                let item = MenuItemBuilder::with_id(action.id(), label(text)).enabled(*enabled);
                menu.append(&item.build(app)?)?;
            }
            Entry::Submenu { text, entries } => menu.append(&submenu(app, text, entries)?)?,
        }
    }
    Ok(menu)
}

fn submenu(app: &AppHandle, text: &str, entries: &[Entry]) -> tauri::Result<Submenu<Wry>> {
    let mut menu = SubmenuBuilder::new(app, label(text));
    for entry in entries {
        menu = match entry {
            Entry::Separator => menu.separator(),
            Entry::Text(text) => menu.item(
                &MenuItemBuilder::new(label(text))
                    .enabled(false)
                    .build(app)?,
            ),
            Entry::Item {
                action,
                text,
                enabled,
            } => menu.item(
                &MenuItemBuilder::with_id(action.id(), label(text))
                    .enabled(*enabled)
                    .build(app)?,
            ),
            Entry::Submenu { text, entries } => menu.item(&submenu(app, text, entries)?),
        };
    }
    menu.build()
}

/// `text` as a menu takes it: a single `&` marks the key of the letter after it and is not shown.
fn label(text: &str) -> String {
    text.replace('&', "&&")
}

/// Does what the item with `id` stands for.
fn act(app: &AppHandle, id: &str) {
    let Some(action) = Action::of(id) else {
        tracing::warn!(id, "a menu item of an earlier menu was chosen");
        return;
    };
    let state = AppState::of(app);
    match action {
        Action::Start => {
            tauri::async_runtime::spawn(async move {
                // How it ends is shown, and notified of, as an activity.
                drop(operations::start(&state, Ports::Own).await);
            });
        }
        Action::Stop => {
            tauri::async_runtime::spawn(async move {
                drop(operations::stop(&state).await);
            });
        }
        Action::StartOther(name) => {
            tauri::async_runtime::spawn(async move { operations::start_other(&state, name).await });
        }
        Action::StopOther(name) => {
            tauri::async_runtime::spawn(async move { operations::stop_other(&state, name).await });
        }
        Action::Cancel(activity) => {
            state.activities.cancel(activity);
        }
        Action::OpenDashboard => {
            let address =
                menu::dashboard(state.published.status.borrow().as_ref()).map(ToOwned::to_owned);
            let Some(address) = address else {
                return;
            };
            tauri::async_runtime::spawn(async move {
                if let Err(failure) = dashboard::open(&state, &address).await {
                    tracing::warn!(?failure, "the dashboard could not be opened in the browser");
                    notification::tell_not_opened(&state, &failure);
                    window::show(state.app(), Some(Page::Status));
                }
            });
        }
        Action::Copy {
            config_file,
            format,
        } => {
            tauri::async_runtime::spawn(async move {
                operations::copy_from_tray(&state, &config_file, format).await;
            });
        }
        Action::Show(page) => window::show(app, page),
        Action::Quit => quit::request(&state),
    }
}

#[cfg(test)]
mod tests {
    use super::label;

    #[test]
    fn names_are_shown_as_they_are() {
        assert_eq!(label("R&D (my_app)"), "R&&D (my_app)");
        assert_eq!(label("a && b"), "a &&&& b");
    }
}
