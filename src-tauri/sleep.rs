//! The host's sleep: a guest that slept with it wakes with the wrong time, so its clock is set.
//!
//! On Linux the login daemon says when the host goes to sleep and wakes up. Without that daemon, the next start
//! sets the clock, as each start does. macOS reports sleep only through calls that need `unsafe`, so there two clocks of
//! the host are compared, one of which stands still while it sleeps.

use std::sync::Arc;
#[cfg(any(target_os = "macos", test))]
use std::time::Duration;

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
        set_clock(state).await;
    }
    Ok(())
}

/// How long after a wake the guest may have the wrong time.
#[cfg(target_os = "macos")]
const LOOK_EVERY: Duration = Duration::from_secs(20);
/// Less than this is no sleep: the clock was corrected, or this process had to wait.
#[cfg(any(target_os = "macos", test))]
const LEAST_SLEEP: Duration = Duration::from_secs(5);

/// Sets the guest's clock soon after the host has woken up.
#[cfg(target_os = "macos")]
pub(crate) async fn watch(state: Arc<AppState>) {
    use std::time::{Instant, SystemTime};

    loop {
        let (awake, clock) = (Instant::now(), SystemTime::now());
        // Counts, as `awake` does, no time that the host sleeps.
        tokio::time::sleep(LOOK_EVERY).await;
        let passed = clock.elapsed().unwrap_or_default();
        if has_slept(awake.elapsed(), passed) {
            set_clock(&state).await;
        }
    }
}

/// Whether the host has slept while a clock that stands still meanwhile went on by `awake`, and the other by `passed`.
#[cfg(any(target_os = "macos", test))]
fn has_slept(awake: Duration, passed: Duration) -> bool {
    passed.saturating_sub(awake) >= LEAST_SLEEP
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub(crate) fn watch(_: Arc<AppState>) -> std::future::Ready<()> {
    std::future::ready(())
}

/// Sets the clock of the guest, if there is one.
#[cfg(any(target_os = "linux", target_os = "macos"))]
async fn set_clock(state: &AppState) {
    match state.emulator().set_clock(&progress::Silent).await {
        Ok(true) => tracing::info!("this computer woke up; the guest's clock was set"),
        Ok(false) => {}
        Err(error) => {
            tracing::warn!(error = %emulator::chain(&error), "the guest's clock could not be set");
        }
    }
    state.invalidate(emulator::changes::Changed::STATUS);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_is_a_gap_between_the_clocks_that_no_correction_makes() {
        let seconds = Duration::from_secs;
        assert!(has_slept(seconds(20), seconds(3600)));
        assert!(has_slept(seconds(20), seconds(25)));
        assert!(!has_slept(seconds(20), seconds(21)));
        // The clock was set back.
        assert!(!has_slept(seconds(20), seconds(0)));
    }
}
