//! The logs of an instance.

use std::path::PathBuf;

use crate::instance::Emulator;
use crate::logs::{Follower, LogError, LogSource};

impl Emulator {
    /// Where a log is, or will be.
    pub fn log_path(&self, source: LogSource) -> PathBuf {
        match source {
            LogSource::Serial => self.paths.main().serial_log(),
            LogSource::Qemu => self.paths.main().qemu_log(),
            LogSource::Ahead => self.paths.main().ahead_log(),
            LogSource::App => self.home.app_log(),
        }
    }

    /// The log's last `lines` lines, and then what is added. The log need not
    /// be there yet, nor its folder.
    pub fn follow_log(&self, source: LogSource, lines: usize) -> Result<Follower, LogError> {
        Follower::new(self.log_path(source), lines)
    }
}
