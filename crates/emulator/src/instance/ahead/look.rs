//! What the next start would find done, seen without changing anything; and what a start leaves for that.

use super::{History, NextStart};
use crate::config::paths::SlotName;
use crate::instance::Emulator;
use crate::instance::error::InstanceError as Error;
use crate::instance::lock::Lock;
use crate::machine::run_record::RunningVm;
use record::Durability;

impl Emulator {
    /// What a start would find done. One that is prepared is not looked at closely: the start does that.
    pub(crate) fn next_start(&self) -> Result<NextStart, Error> {
        let ahead = self.paths.slot(SlotName::Ahead);
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

    /// What became of earlier work; a record that is lost says that there was none.
    pub(super) fn ahead_history(&self) -> History {
        record::read_optional(&self.paths.ahead_history())
            .unwrap_or_default()
            .unwrap_or_default()
    }

    /// Notes that there was a start, and what work ahead would save the next one.
    pub(in crate::instance) fn note_start(&self, vm: &RunningVm) -> Result<(), Error> {
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
        Ok(record::write(&path, &history, Durability::ThisBoot)?)
    }
}
