//! What the next start would find done, seen without changing anything; and what a start leaves for that.

use super::{History, NextStart, policy, standby};
use crate::config::paths::SlotName;
use crate::instance::Emulator;
use crate::instance::error::InstanceError as Error;
use crate::instance::lock::Lock;
use crate::machine::run_record::{Purpose, RunningVm};
use crate::machine::slot::{live_processes, record_of};
use record::Durability;

impl Emulator {
    /// What a start would find done. One that is prepared is not looked at closely: the start does that.
    pub(crate) fn next_start(&self) -> Result<NextStart, Error> {
        let main = self.paths.main();
        if let Some(record) = record_of(&main).ok().flatten()
            && matches!(record.purpose, Purpose::SetAside(_))
            && !live_processes(&main, &record)?.is_empty()
        {
            return Ok(NextStart::GoesOn);
        }
        let ahead = self.paths.slot(SlotName::Ahead);
        if !self.settings.no_rotation
            && let Some((_, process)) = standby::find(&ahead)?
        {
            let memory = process.memory().map(|memory| memory.anonymous);
            return Ok(NextStart::Standby { memory });
        }
        if ahead.session().prepared().try_exists().unwrap_or(false) && !self.settings.no_rotation {
            return Ok(NextStart::Prepared);
        }
        let lock = ahead.lock();
        if Lock::holder(&lock)
            .map_err(Error::file("look at", &lock))?
            .is_some()
        {
            return Ok(NextStart::Preparing);
        }
        let history = self.ahead_history();
        Ok(NextStart::Plain {
            rotation_ms: history.rotation_ms.filter(|_| !self.settings.no_rotation),
        })
    }

    /// Whether this machine has room for one that stands by, as things are now.
    pub fn has_room_for_standby(&self) -> Result<bool, Error> {
        let needed = u64::from(self.ram_mib()?) << 20;
        Ok(policy::has_room(host::memory::available(), needed))
    }

    /// What became of earlier work; a record that is lost says that there was none.
    pub(super) fn ahead_history(&self) -> History {
        record::read_optional(&self.paths.ahead_history())
            .unwrap_or_default()
            .unwrap_or_default()
    }

    /// Notes that there was a start, and what work ahead would save the next one. A note that cannot be
    /// taken is no failure of the start.
    pub(in crate::instance) fn note_start(&self, vm: &RunningVm) {
        let took = |name: &str| {
            let phase = vm.phases.iter().find(|phase| phase.name == name);
            phase.map(|phase| phase.ms)
        };
        let replaced = took("rotate").map(|rotate| rotate + took("ready").unwrap_or_default());
        let history = History {
            unused: 0,
            rotation_ms: replaced.or(self.ahead_history().rotation_ms),
        };
        let path = self.paths.ahead_history();
        if let Err(error) = record::write(&path, &history, Durability::ThisBoot) {
            tracing::info!(error = %failure::chain(&error), "the start is not noted");
        }
    }
}
