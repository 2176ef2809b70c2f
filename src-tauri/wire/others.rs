//! The other instances of this home, as the tray lists them.

use emulator::paths::InstanceName;
use emulator::{Emulator, State};

use crate::wire::failure::Failure;

/// Another instance than the app's, as far as files tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Other {
    pub(crate) name: InstanceName,
    /// `None` if its files do not tell.
    pub(crate) state: Option<State>,
    /// Whether a command is at work on it.
    pub(crate) busy: bool,
}

impl Other {
    /// The instances beside that of the app, in the order of their names.
    pub(crate) fn list(emulator: &Emulator) -> Result<Vec<Self>, Failure> {
        let mut names = emulator.instance_names()?;
        names.retain(|name| name != emulator.name());
        let look = |name: InstanceName| {
            let glance = emulator.sibling(name.clone()).glance().ok();
            Self {
                name,
                state: glance.as_ref().map(|glance| glance.state),
                busy: glance.is_some_and(|glance| glance.busy.is_some()),
            }
        };
        Ok(names.into_iter().map(look).collect())
    }
}
