//! The guest's clock, set while the guest runs.
//!
//! Each start sets it. A guest that runs while the host sleeps stands still with it, and is behind by the
//! whole sleep when both go on.

use crate::instance::Emulator;
use crate::instance::error::InstanceError as Error;
use crate::instance::rotate::reach_running;
use crate::machine::guest::GuestError;
use progress::{Event, Phase, Reporter, Stopwatch};

impl Emulator {
    /// Sets the running guest's clock to the host's. False if no guest runs.
    ///
    /// # Errors
    ///
    /// `MachineError::Guest` if the guest does not answer, or its clock stays more than five seconds off.
    pub async fn set_clock(&self, reporter: &dyn Reporter) -> Result<bool, Error> {
        let held = self.hold("clock", reporter).await?;
        let Some((record, vm)) = &held.running else {
            return Ok(false);
        };
        let mut watch = Stopwatch::new(reporter);
        let set = async {
            let reached = reach_running(&held.slot.paths, record, vm, reporter);
            let mut guest = watch.phase(Phase::Agent, reached).await?;
            let off: Result<_, GuestError> = watch.phase(Phase::Clock, guest.set_clock()).await;
            Ok::<_, Error>(off?)
        };
        if let Some(off_ms) = held.while_it_runs(record, set).await? {
            reporter.report(Event::Warning(&format!(
                "The virtual machine's clock is {off_ms} ms off: this host is too busy to set it more precisely."
            )));
        }
        Ok(true)
    }
}
