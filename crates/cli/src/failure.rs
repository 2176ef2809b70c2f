//! Everything that ends a command without what was asked for, with a stable
//! code, a remedy and an exit code.

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;

use emulator::lock::LockError;
use emulator::variables::SettingsError;
use emulator::{Code, InstanceError, MachineError, Remedy};

use crate::commands::doctor::FixError;
use crate::exit::Exit;
use crate::interrupt::Signal;
use crate::remedy::words;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A variable's value cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The engine failed.
    #[error(transparent)]
    Engine(Box<emulator::Error>),
    /// The user said no.
    #[error("{} was not confirmed; nothing was changed", .0.describe())]
    Declined(Destruction),
    /// There is no terminal to ask on.
    #[error("{}, and there is no terminal to ask on", .0.consequence())]
    NobodyToAsk(Destruction),
    /// The question could not be put.
    #[error("cannot read from the terminal")]
    Ask(#[source] io::Error),
    /// A file would be overwritten.
    #[error("{} already exists", path.display())]
    FileExists {
        /// The file.
        path: PathBuf,
    },
    /// No token came on standard input.
    #[error("standard input does not contain a GitHub token")]
    NoToken,
    /// No password came on standard input.
    #[error("standard input does not contain a password")]
    NoPassword,
    /// There are no secrets to show.
    #[error("there are no secrets: the emulator was never started, or its secrets were removed")]
    NoSecrets,
    /// There is no mail.
    #[error("there is no mail{}", recipient(.to.as_deref()))]
    NoMail {
        /// Whose mails were meant.
        to: Option<String>,
    },
    /// No mail came in time.
    #[error("no mail{} came within {seconds} s", recipient(.to.as_deref()))]
    NoMailCame {
        /// Whose mails were meant.
        to: Option<String>,
        /// How long was waited.
        seconds: u32,
    },
    /// The mail has no code.
    #[error("there is no code in the mail \"{subject}\"")]
    NoMailCode {
        /// Its subject.
        subject: String,
    },
    /// No browser could be opened.
    #[error("no browser could be opened")]
    NoBrowser(#[source] io::Error),
    /// A browser was opened, and did not get to the dashboard.
    #[error(transparent)]
    Browser(emulator::dashboard::DashboardError),
    /// The program to run cannot be started.
    #[error("cannot start {}", .program.to_string_lossy())]
    Program {
        /// As it was typed.
        program: std::ffi::OsString,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A benchmark would cost the user a session.
    #[error("cannot run the benchmark: {}", .occupied.describe())]
    BenchOccupied {
        /// What is in the way.
        occupied: Occupied,
    },
    /// Standard output cannot be written to.
    #[error("cannot write to standard output")]
    Print(#[source] io::Error),
    /// A report has no JSON form.
    #[error("cannot write the report as JSON")]
    Encode(#[source] serde_json::Error),
    /// A manual page cannot be written.
    #[error("cannot write the manual page {}", path.display())]
    WritePage {
        /// The page, or its folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The asynchronous runtime cannot be started.
    #[error("cannot start the program's threads")]
    Runtime(#[source] io::Error),
    /// The system does not take the limit.
    #[error("cannot forbid core dumps, which would hold secrets")]
    CoreDumps(#[source] io::Error),
    /// The system allows this process too little.
    #[error(transparent)]
    Limit(#[from] host::limits::LimitError),
    /// `doctor --fix` installed nothing, or not what was missing.
    #[error(transparent)]
    Fix(#[from] FixError),
    /// Signals cannot be listened for.
    #[error("cannot listen for Ctrl-C")]
    Signals(#[source] io::Error),
    /// A signal came.
    #[error("{}", .0.describe())]
    Interrupted(Signal),
}

impl From<emulator::Error> for Failure {
    /// Boxed: it would make every result large.
    fn from(error: emulator::Error) -> Self {
        Self::Engine(Box::new(error))
    }
}

/// The engine's rooms have errors of their own; here they are one.
macro_rules! engine_errors {
    ($($room:ident),+ $(,)?) => {
        $(
            impl From<emulator::$room> for Failure {
                fn from(error: emulator::$room) -> Self {
                    emulator::Error::from(error).into()
                }
            }
        )+
    };
}
engine_errors!(
    ConfigError,
    MachineError,
    StateError,
    InstanceError,
    LibraryError,
    AppsError,
    ObserveError,
);

/// What is asked about before it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Destruction {
    /// The session is discarded.
    Reset,
    /// An instance is deleted.
    Delete,
    /// What runs or is saved gives way to a checkpoint.
    Restore,
    /// A checkpoint is deleted.
    DeleteCheckpoint,
}

impl Destruction {
    /// What the question begins with.
    pub(crate) const fn heading(self) -> &'static str {
        match self {
            Self::Reset => "Reset:",
            Self::Delete | Self::DeleteCheckpoint => "Delete:",
            Self::Restore => "Restore:",
        }
    }

    const fn describe(self) -> &'static str {
        match self {
            Self::Reset => "the reset",
            Self::Delete | Self::DeleteCheckpoint => "the deletion",
            Self::Restore => "the restore",
        }
    }

    const fn consequence(self) -> &'static str {
        match self {
            Self::Reset => {
                "a reset deletes all users, projects and data created since the snapshot"
            }
            Self::Delete => "this deletes the instance with its saved session and its snapshots",
            Self::Restore => "this ends the running emulator without saving its session",
            Self::DeleteCheckpoint => "this deletes the checkpoint with all data that only it has",
        }
    }
}

/// What a benchmark finds in its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occupied {
    /// An emulator that is not stopped.
    Running,
    /// A session that the next start would continue.
    Session,
}

impl Occupied {
    const fn describe(self) -> &'static str {
        match self {
            Self::Running => "this instance is in use",
            Self::Session => "this instance has a saved session",
        }
    }
}

impl Failure {
    /// A stable code for programs; the engine's codes are passed through.
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Settings(_) => Code::Environment,
            Self::Engine(error) => error.code(),
            Self::Fix(error) => error.code(),
            Self::Declined(_) => Code::Declined,
            Self::NobodyToAsk(_) | Self::Ask(_) => Code::Confirmation,
            Self::FileExists { .. } => Code::FileExists,
            Self::NoToken => Code::Token,
            Self::NoPassword => Code::Password,
            Self::NoSecrets => Code::SecretsMissing,
            Self::NoMail { .. } | Self::NoMailCame { .. } | Self::NoMailCode { .. } => {
                Code::MailMissing
            }
            Self::NoBrowser(_) => Code::Link,
            Self::Browser(error) => error.code(),
            Self::Program { .. } => Code::Program,
            Self::BenchOccupied { .. } => Code::Occupied,
            Self::Print(_) | Self::Encode(_) => Code::Output,
            Self::WritePage { .. } => Code::File,
            Self::Runtime(_) | Self::Limit(_) | Self::CoreDumps(_) | Self::Signals(_) => {
                Code::System
            }
            Self::Interrupted(_) => Code::Interrupted,
        }
    }

    /// One thing to do about it, where there is one.
    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Settings(_) => "`stack-emulator --help` lists the variables and their defaults.",
            Self::Engine(error) => return error.remedy().as_ref().map(words),
            Self::Fix(error) => return error.hint(),
            Self::Limit(error) => return Some(words(&Remedy::raise_limit(error.commands()))),
            Self::Runtime(error) | Self::Signals(error) | Self::Print(error) => {
                let command = emulator::limit_reached(error)?;
                return Some(words(&Remedy::raise_limit([command])));
            }
            Self::NobodyToAsk(_) | Self::Ask(_) => "Add --yes if that is what you want.",
            Self::FileExists { .. } => "Choose another file name.",
            Self::NoToken => {
                "Pass the token as one line: `gh auth token | stack-emulator settings github-token set`."
            }
            Self::NoPassword => {
                "Pass the password as one line, or leave out --password-stdin for a new one."
            }
            Self::NoMail { .. } => "Wait for the next one with --wait.",
            Self::NoMailCame { .. } => {
                "See the mails that came before with `stack-emulator mail list`; `--wait=SECONDS` waits longer."
            }
            Self::NoMailCode { .. } => "Read the whole mail: leave out --code.",
            Self::NoBrowser(_) | Self::Browser(_) => {
                "Open the link of `stack-emulator dashboard --print` in a browser."
            }
            Self::NoSecrets => "Start the emulator first: `stack-emulator start`.",
            Self::BenchOccupied { .. } => {
                "Use a separate instance: `stack-emulator bench --instance bench`."
            }
            Self::Program { .. } => {
                "Check that the program is installed and on the PATH; `run` does not use a shell."
            }
            Self::Declined(_)
            | Self::Encode(_)
            | Self::WritePage { .. }
            | Self::CoreDumps(_)
            | Self::Interrupted(_) => return None,
        };
        Some(hint.to_owned())
    }

    /// How the program ends.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Settings(_) | Self::NobodyToAsk(_) => Exit::Usage,
            Self::Engine(error) => engine_exit(error),
            Self::Fix(error) => error.exit(),
            Self::Interrupted(Signal::Interrupt) => Exit::Interrupted,
            Self::Interrupted(Signal::Terminate) => Exit::Terminated,
            Self::Interrupted(Signal::Hangup) => Exit::HungUp,
            Self::Program { .. } => Exit::NoProgram,
            Self::Declined(_)
            | Self::Ask(_)
            | Self::FileExists { .. }
            | Self::NoToken
            | Self::NoPassword
            | Self::NoSecrets
            | Self::NoMail { .. }
            | Self::NoMailCame { .. }
            | Self::NoMailCode { .. }
            | Self::NoBrowser(_)
            | Self::Browser(_)
            | Self::BenchOccupied { .. }
            | Self::Print(_)
            | Self::Encode(_)
            | Self::WritePage { .. }
            | Self::Runtime(_)
            | Self::CoreDumps(_)
            | Self::Limit(_)
            | Self::Signals(_) => Exit::Failed,
        }
    }
}

/// ` to ADDRESS`, after the word mail.
fn recipient(to: Option<&str>) -> String {
    to.map_or_else(String::new, |to| format!(" to {to}"))
}

fn engine_exit(error: &emulator::Error) -> Exit {
    match error {
        emulator::Error::Machine(error) => machine_exit(error),
        emulator::Error::Instance(error) => instance_exit(error),
        // The engine's errors grow; what needs no code of its own has failed.
        _ => Exit::Failed,
    }
}

fn instance_exit(error: &InstanceError) -> Exit {
    match error {
        InstanceError::Lock(LockError::Busy { .. }) => Exit::Busy,
        InstanceError::NotRunning { .. } => Exit::NotRunning,
        InstanceError::ColdFailed { source, .. } => instance_exit(source),
        InstanceError::Machine(error) => machine_exit(error),
        _ => Exit::Failed,
    }
}

fn machine_exit(error: &MachineError) -> Exit {
    match error {
        MachineError::Qemu(_)
        | MachineError::Accelerator(_)
        | MachineError::AcceleratorFailed { .. } => Exit::HostUnfit,
        _ => Exit::Failed,
    }
}

/// What happened, and then why, one cause an entry. A cause whose text its
/// error repeats is left out.
pub(crate) fn causes(error: &dyn StdError) -> Vec<String> {
    let mut told = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !told.iter().any(|earlier| earlier.contains(&text)) {
            told.push(text);
        }
        next = cause.source();
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_errors_keep_code_hint_and_causes() {
        let missing = Failure::from(InstanceError::NoImage {
            path: "/no/such.qcow2".into(),
        });
        assert_eq!(missing.code(), "image_missing");
        assert!(missing.hint().unwrap().contains("--image"));
        assert_eq!(missing.exit(), Exit::Failed);

        let file = Failure::Print(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(
            causes(&file),
            ["cannot write to standard output", "no storage space"]
        );
    }

    #[test]
    fn a_busy_instance_and_an_unfit_host_have_codes_of_their_own() {
        let busy = LockError::Busy {
            holder: None,
            waited: std::time::Duration::from_secs(1),
        };
        assert_eq!(Failure::from(InstanceError::Lock(busy)).exit(), Exit::Busy);

        let qemu = || qemu::BinaryError::NotExecutable {
            path: "/nonexistent".into(),
        };
        let plain = Failure::from(MachineError::Qemu(qemu()));
        assert_eq!(
            (plain.exit(), plain.code()),
            (Exit::HostUnfit, Code::QemuMissing)
        );
        let cold = InstanceError::ColdFailed {
            first: "x".into(),
            source: Box::new(MachineError::Qemu(qemu()).into()),
        };
        assert_eq!(Failure::from(cold).exit(), Exit::HostUnfit);
    }

    #[test]
    fn every_refusal_to_act_says_what_to_do() {
        for failure in [
            Failure::NobodyToAsk(Destruction::Reset),
            Failure::NobodyToAsk(Destruction::Delete),
            Failure::Settings(SettingsError::NoHome),
            Failure::NoSecrets,
            Failure::NoPassword,
            Failure::NoMail { to: None },
            Failure::NoMailCame {
                to: Some("ada@example.com".into()),
                seconds: 30,
            },
            Failure::NoMailCode {
                subject: "Hi".into(),
            },
            Failure::BenchOccupied {
                occupied: Occupied::Session,
            },
        ] {
            assert!(failure.hint().is_some(), "{failure}");
        }
    }
}
