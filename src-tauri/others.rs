//! The other instances of this home, which the command line has made: the tray lists them, starts them and stops them.
//!
//! What the app does with one is no activity of its own, since all that it shows is of the default instance. How that
//! goes is seen in the menu, and a failure is notified of.

use std::sync::Arc;

use emulator::paths::InstanceName;
use emulator::{Emulator, State};
use progress::Silent;

use crate::app_state::AppState;
use crate::notification;
use crate::operations::{watch_idle, worker_of};
use crate::wire::failure::Failure;

/// Another instance, as far as files tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Other {
    pub(crate) name: InstanceName,
    /// `None` if its files do not tell.
    pub(crate) state: Option<State>,
    /// Whether a command is at work on it.
    pub(crate) busy: bool,
}

/// The instances beside that of the app, in the order of their names.
pub(crate) fn list(emulator: &Emulator) -> Result<Vec<Other>, Failure> {
    let mut names = emulator.instance_names()?;
    names.retain(|name| name != emulator.name());
    let look = |name: InstanceName| {
        let glance = emulator.sibling(name.clone()).glance().ok();
        Other {
            name,
            state: glance.as_ref().map(|glance| glance.state),
            busy: glance.is_some_and(|glance| glance.busy.is_some()),
        }
    };
    Ok(names.into_iter().map(look).collect())
}

/// Starts the instance called `name`.
pub(crate) async fn start(state: &Arc<AppState>, name: InstanceName) {
    let emulator = state.emulator().sibling(name.clone());
    match Box::pin(emulator.start(&Silent)).await {
        Ok(_) => watch_idle(&emulator),
        Err(error) => {
            notification::tell_other_failed(state, &name, "could not be started", &error.into());
        }
    }
}

/// Stops the instance called `name`, and keeps its session.
pub(crate) async fn stop(state: &Arc<AppState>, name: InstanceName) {
    let emulator = state.emulator().sibling(name.clone());
    let worker = worker_of(&name);
    if let Err(error) = Box::pin(emulator.stop(worker.as_ref(), &Silent)).await {
        notification::tell_other_failed(state, &name, "could not be stopped", &error.into());
    }
}
