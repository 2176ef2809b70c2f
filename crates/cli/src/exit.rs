//! Exit codes: one list for the program, its help and its manual page.

use std::process::ExitCode;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The command succeeded.
    Success,
    /// The operation failed.
    Failed,
    /// The arguments or the environment cannot be understood. The number is
    /// the one that clap gives to arguments it refuses.
    Usage,
    /// The emulator is not running, and the command is `status` or needs it to be. The number is the one that the Linux Standard Base gives to
    /// the `status` of a service.
    NotRunning,
    /// Another command is using the instance.
    Busy,
    /// This host cannot run the emulator as it is.
    HostUnfit,
    /// `run` could not start the program. The number is the shells'.
    NoProgram,
    /// Ended by SIGHUP: 128 and its number.
    HungUp,
    /// Ended by Ctrl-C: 128 and the number of SIGINT, as shells count.
    Interrupted,
    /// Ended by SIGTERM: 128 and its number.
    Terminated,
    /// `run`: the program's own.
    Child(u8),
}

impl Exit {
    /// All that are this program's own, in ascending order.
    pub(crate) const ALL: [Self; 10] = [
        Self::Success,
        Self::Failed,
        Self::Usage,
        Self::NotRunning,
        Self::Busy,
        Self::HostUnfit,
        Self::NoProgram,
        Self::HungUp,
        Self::Interrupted,
        Self::Terminated,
    ];

    /// The number that the shell sees.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotRunning => 3,
            Self::Busy => 4,
            Self::HostUnfit => 5,
            Self::NoProgram => 127,
            Self::HungUp => 129,
            Self::Interrupted => 130,
            Self::Terminated => 143,
            Self::Child(code) => code,
        }
    }

    /// When it is given, for people.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Success => {
                "success, also if there was nothing to do; `status`: the emulator is running"
            }
            Self::Failed => "the operation failed; the message says why and what to do",
            Self::Usage => "an argument or an environment variable is invalid",
            Self::NotRunning => "the emulator is not running",
            Self::Busy => "another command is using the instance and did not finish in time",
            Self::HostUnfit => {
                "this host cannot run the emulator: QEMU is missing or too old, no accelerator works, \
                 or a check of `doctor` failed"
            }
            Self::HungUp => "the terminal was closed; nothing is left half-done",
            Self::NoProgram => "`run`: the program could not be started",
            Self::Child(_) => "`run`: the exit code of the program",
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
        assert_eq!(
            codes,
            [0, 1, 2, 3, 4, 5, 127, 129, 130, 143],
            "scripts rely on them"
        );
    }
}
