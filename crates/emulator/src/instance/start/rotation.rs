//! Which secrets a machine holds whose start was not to rotate them, and what the user is told of that.

use std::time::Duration;

use secrets::SecretName;

use super::source::StartSource;
use crate::config::preferences::NO_ROTATION_WARNING;
use crate::config::variables;
use crate::instance::error::InstanceError as Error;
use crate::instance::{Emulator, LockedInstance};
use crate::machine::error::MachineError;
use crate::machine::readiness::Prober;
use crate::machine::run_record::RunningVm;
use crate::machine::spec::MachineSpec;
use progress::{Event, Reporter};

/// How long the backend may take to say what it makes of a key.
const VERDICT_LIMIT: Duration = Duration::from_secs(10);

impl LockedInstance<'_> {
    /// Whether the machine that came up on `source` holds other values than the placeholders. A session
    /// that a start has rotated still does when another one leaves it as it is: its backend tells.
    pub(super) async fn holds_rotated(
        &self,
        spec: &MachineSpec,
        source: &StartSource,
    ) -> Result<bool, Error> {
        if !self.emulator.settings.no_rotation {
            return Ok(true);
        }
        let backend = spec.endpoints.iter().find(|one| one.id == "backend");
        let Some(backend) = backend.filter(|_| !source.fresh_disk) else {
            return Ok(false);
        };
        let prober = Prober::new().map_err(MachineError::from)?;
        let key = SecretName::Pck.placeholder();
        Ok(prober.accepts(backend.port, &key, VERDICT_LIMIT).await == Some(false))
    }
}

impl Emulator {
    /// Says so if the secrets of `vm`, which was just started, were not rotated.
    pub(super) fn tell_of_rotation(&self, vm: &RunningVm, reporter: &dyn Reporter) {
        if !vm.rotation_off {
            return;
        }
        let by = if self.settings.overrides.contains(variables::NO_ROTATION) {
            variables::NO_ROTATION
        } else {
            "the setting no-rotation"
        };
        if vm.rotated {
            reporter.report(Event::Notice(&format!(
                "The secrets are not rotated, because of {by}: the session keeps those that it has."
            )));
        } else {
            reporter.report(Event::Warning(&format!(
                "The secrets are not rotated, because of {by}. {NO_ROTATION_WARNING}"
            )));
        }
    }
}
