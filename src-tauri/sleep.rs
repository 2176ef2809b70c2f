//! The host's sleep: a guest that slept with it wakes with the wrong time, so its clock is set.
//!
//! On Linux the login daemon says when the host goes to sleep and wakes up. Where there is none, and on other
//! systems, the next start sets the clock, as each start does.

use std::sync::Arc;

use crate::app_state::AppState;

/// Sets the guest's clock each time that the host wakes up.
#[cfg(target_os = "linux")]
pub(crate) async fn watch(state: Arc<AppState>) {
    if let Err(error) = follow(&state).await {
        tracing::info!(%error, "not told when this computer sleeps");
    }
}

#[cfg(target_os = "linux")]
async fn follow(state: &AppState) -> zbus::Result<()> {
    use futures_util::StreamExt as _;

    let bus = zbus::Connection::system().await?;
    let login = zbus::Proxy::new(
        &bus,
        "org.freedesktop.login1",
        "/org/freedesktop/login1",
        "org.freedesktop.login1.Manager",
    )
    .await?;
    let mut sleeps = login.receive_signal("PrepareForSleep").await?;
    tracing::info!("told when this computer sleeps and wakes up");
    while let Some(sleep) = sleeps.next().await {
        let begins: bool = sleep.body().deserialize()?;
        if begins {
            continue;
        }
        match state.emulator().set_clock(&progress::Silent).await {
            Ok(true) => tracing::info!("this computer woke up; the guest's clock was set"),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(error = %emulator::chain(&error), "the guest's clock could not be set");
            }
        }
        state.invalidate(emulator::changes::Changed::STATUS);
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn watch(_: Arc<AppState>) -> std::future::Ready<()> {
    std::future::ready(())
}
