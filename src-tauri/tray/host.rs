//! Whether this desktop shows tray icons at all.
//!
//! On Linux a panel that does has a `StatusNotifierWatcher` on the session bus. It may come after us, at the
//! beginning of a session, or go when an extension is switched off, so it is watched.

use std::sync::Arc;

use crate::app_state::AppState;

/// How long a panel is waited for that is not there when the app begins.
#[cfg(target_os = "linux")]
const PANEL_COMES_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);

/// Keeps `AppInfo::tray` true.
///
/// `on_first`: called once, with what was found first.
#[cfg(target_os = "linux")]
pub(crate) async fn watch_host(state: Arc<AppState>, on_first: impl FnOnce(&Arc<AppState>, bool)) {
    match follow(&state, on_first).await {
        Ok(()) => {}
        // Without a session bus there is no panel to speak of.
        Err(error) => {
            tracing::info!(%error, "no longer known whether this desktop shows tray icons");
        }
    }
}

#[cfg(target_os = "linux")]
async fn follow(
    state: &Arc<AppState>,
    on_first: impl FnOnce(&Arc<AppState>, bool),
) -> zbus::Result<()> {
    use futures_util::StreamExt as _;
    use zbus::names::BusName;

    const WATCHER: &str = "org.kde.StatusNotifierWatcher";
    let found = async {
        let bus = zbus::Connection::session().await?;
        let proxy = zbus::fdo::DBusProxy::new(&bus).await?;
        // Before asking, so that nothing falls between.
        let changes = proxy
            .receive_name_owner_changed_with_args(&[(0, WATCHER)])
            .await?;
        let there = proxy.name_has_owner(BusName::try_from(WATCHER)?).await?;
        zbus::Result::Ok((bus, changes, there))
    }
    .await;
    let (_bus, mut changes, mut there) = match found {
        Ok(found) => found,
        Err(error) => {
            on_first(state, false);
            return Err(error);
        }
    };
    if !there {
        // At the beginning of a session a panel may come after us, and a window nobody asked for would be in the way.
        let change = tokio::time::timeout(PANEL_COMES_WITHIN, changes.next()).await;
        there = match change {
            Ok(Some(change)) => change.args()?.new_owner().is_some(),
            Ok(None) | Err(_) => false,
        };
    }
    set(state, there);
    on_first(state, there);
    while let Some(change) = changes.next().await {
        set(state, change.args()?.new_owner().is_some());
    }
    Ok(())
}

/// Elsewhere every desktop has a place for them.
#[cfg(not(target_os = "linux"))]
pub(crate) async fn watch_host(state: Arc<AppState>, on_first: impl FnOnce(&Arc<AppState>, bool)) {
    set(&state, true);
    on_first(&state, true);
}

fn set(state: &AppState, tray: bool) {
    state.published.app.send_if_modified(|info| {
        let changed = info.tray != tray;
        info.tray = tray;
        changed
    });
}
