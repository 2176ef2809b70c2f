//! Exit codes: one list for the program, its help and its manual page.

use std::process::ExitCode;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// What was asked for is so.
    Success = 0,
    /// The operation failed.
    Failed = 1,
    /// The arguments or the environment cannot be understood. The number is
    /// the one that clap gives to arguments it refuses.
    Usage = 2,
    /// The emulator does not run, and `status` was asked for or what was asked
    /// needs it to. The number is the one that the Linux Standard Base gives to
    /// the `status` of a service.
    NotRunning = 3,
    /// Another command holds the instance.
    Busy = 4,
    /// This host cannot run the emulator as it is.
    HostUnfit = 5,
    /// Ended by Ctrl-C: 128 and the number of SIGINT, as shells count.
    Interrupted = 130,
    /// Ended by SIGTERM: 128 and its number.
    Terminated = 143,
}

impl Exit {
    /// All of them, in ascending order.
    pub(crate) const ALL: [Self; 8] = [
        Self::Success,
        Self::Failed,
        Self::Usage,
        Self::NotRunning,
        Self::Busy,
        Self::HostUnfit,
        Self::Interrupted,
        Self::Terminated,
    ];

    /// The number that the shell sees.
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    /// When it is given, for people.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Success => "done, or it was so already; `status`: the emulator runs",
            Self::Failed => "the operation failed; the message says why and what to do",
            Self::Usage => "an argument or an environment variable is invalid",
            Self::NotRunning => "the emulator does not run",
            Self::Busy => "another command holds the instance and did not end in time",
            Self::HostUnfit => {
                "this host cannot run it: QEMU missing or too old, no accelerator, \
                 or `doctor` found a failure"
            }
            Self::Interrupted => "interrupted by Ctrl-C; nothing is left half-done",
            Self::Terminated => "ended by SIGTERM; nothing is left half-done",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_listed_once_and_in_order() {
        let codes: Vec<u8> = Exit::ALL.iter().map(|exit| exit.code()).collect();
        assert!(codes.is_sorted_by(|one, next| one < next), "{codes:?}");
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 130, 143], "scripts rely on them");
    }
}
