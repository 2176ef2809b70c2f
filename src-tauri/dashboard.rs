//! Opening the dashboard in the user's browser, signed in where the image can do that.

use std::sync::Arc;
use std::time::Duration;

use emulator::Code;
use emulator::dashboard::Doorway;
use progress::Silent;

use crate::app_state::AppState;
use crate::browser;
use crate::wire::failure::{Answer, Failure};

/// How long the link may take. Another command may be using the instance.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens the dashboard, which is at `address`. If there is no link that signs in, its own page says how to.
///
/// # Errors
///
/// No browser could be opened.
pub(crate) async fn open(state: &Arc<AppState>, address: &str) -> Answer {
    let Some(doorway) = doorway(state).await else {
        return browse(address).await;
    };
    let address = doorway.address();
    // Some browsers ask for the page before the program that opens it has ended.
    let led = tauri::async_runtime::spawn(async move {
        if let Err(error) = doorway.lead().await {
            tracing::warn!(error = %emulator::chain(&error), "the browser did not get to the dashboard");
        }
    });
    let opened = browse(&address).await;
    if opened.is_err() {
        led.abort();
    }
    opened
}

/// The page that leads to a link; `None` if there is none.
async fn doorway(state: &Arc<AppState>) -> Option<Doorway> {
    let emulator = state.emulator();
    // A task of its own: what holds an instance is not to be dropped in its middle.
    let asked =
        tauri::async_runtime::spawn(
            async move { Box::pin(emulator.dashboard_link(&Silent)).await },
        );
    let link = match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(Ok(link))) => link,
        Ok(Ok(Err(error))) => {
            tracing::warn!(error = %emulator::chain(&error), "the dashboard is opened without signing in");
            return None;
        }
        Ok(Err(error)) => {
            tracing::error!(%error, "asking for a link to the dashboard broke off");
            return None;
        }
        Err(_) => {
            tracing::warn!("the dashboard is opened without signing in: the instance is in use");
            return None;
        }
    };
    if !link.signs_in() {
        return None;
    }
    match link.doorway().await {
        Ok(doorway) => Some(doorway),
        Err(error) => {
            tracing::warn!(error = %emulator::chain(&error), "the dashboard is opened without signing in");
            None
        }
    }
}

/// Opens `address` in the user's browser.
///
/// # Errors
///
/// No browser could be opened.
pub(crate) async fn browse(address: &str) -> Answer {
    browser::open(address)
        .await
        .map_err(|error| Failure::of(Code::Link, "no browser could be opened", &error))
}
