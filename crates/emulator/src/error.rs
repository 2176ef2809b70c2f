//! The union of the rooms' errors, for shells that treat them all alike.

use failure::{Code, Remedy};

use crate::apps::error::AppsError;
use crate::config::error::ConfigError;
use crate::config::preferences::InvalidPreference;
use crate::fault::by_way_of;
use crate::instance::error::InstanceError;
use crate::library::error::LibraryError;
use crate::logs::LogError;
use crate::machine::error::MachineError;
use crate::machine::folders::ShareError;
use crate::observe::error::ObserveError;
use crate::state::error::StateError;
use crate::vault::VaultError;

/// Why an operation failed, by the room that says so.
///
/// [`Error::code`] is stable and meant for programs; the message says what
/// happened, [`Error::remedy`] what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Settings and folders.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Secrets.
    #[error(transparent)]
    Vault(Box<VaultError>),
    /// Logs.
    #[error(transparent)]
    Log(Box<LogError>),
    /// The virtual machine.
    #[error(transparent)]
    Machine(Box<MachineError>),
    /// Saved state.
    #[error(transparent)]
    State(#[from] StateError),
    /// Operations on an instance.
    #[error(transparent)]
    Instance(Box<InstanceError>),
    /// Operations on images.
    #[error(transparent)]
    Library(Box<LibraryError>),
    /// An app's side.
    #[error(transparent)]
    Apps(Box<AppsError>),
    /// Looks at an instance.
    #[error(transparent)]
    Observe(Box<ObserveError>),
}

// What a room only passes on is told as the room's that it comes from. Large ones are
// boxed: they would make every result large.

impl From<VaultError> for Error {
    fn from(error: VaultError) -> Self {
        Self::Vault(Box::new(error))
    }
}

impl From<LogError> for Error {
    fn from(error: LogError) -> Self {
        Self::Log(Box::new(error))
    }
}

impl From<MachineError> for Error {
    fn from(error: MachineError) -> Self {
        match error {
            MachineError::Config(error) => error.into(),
            MachineError::Vault(error) => error.into(),
            error => Self::Machine(Box::new(error)),
        }
    }
}

impl From<InstanceError> for Error {
    fn from(error: InstanceError) -> Self {
        match error {
            InstanceError::Machine(error) => error.into(),
            InstanceError::State(error) => error.into(),
            InstanceError::Config(error) => error.into(),
            error => Self::Instance(Box::new(error)),
        }
    }
}

impl From<LibraryError> for Error {
    fn from(error: LibraryError) -> Self {
        match error {
            LibraryError::Instance(error) => error.into(),
            error @ LibraryError::ImageInUse { .. } => Self::Library(Box::new(error)),
        }
    }
}

impl From<AppsError> for Error {
    fn from(error: AppsError) -> Self {
        match error {
            AppsError::Instance(error) => error.into(),
            error @ (AppsError::Credentials(_)
            | AppsError::Dotenv(_)
            | AppsError::Users(_)
            | AppsError::Mail(_)
            | AppsError::Watch(_)
            | AppsError::Dashboard(_)) => Self::Apps(Box::new(error)),
        }
    }
}

impl From<ObserveError> for Error {
    fn from(error: ObserveError) -> Self {
        match error {
            ObserveError::Instance(error) => error.into(),
            ObserveError::Log(error) => error.into(),
            error => Self::Observe(Box::new(error)),
        }
    }
}

by_way_of!(Error, Config => InvalidPreference);

impl From<ShareError> for Error {
    fn from(error: ShareError) -> Self {
        MachineError::from(error).into()
    }
}

impl Error {
    /// A stable code for programs.
    pub fn code(&self) -> Code {
        if self.found_no_room() {
            return Code::DiskFull;
        }
        match self {
            Self::Config(error) => error.code(),
            Self::Vault(error) => error.code(),
            Self::Log(error) => error.code(),
            Self::Machine(error) => error.code(),
            Self::State(error) => error.code(),
            Self::Instance(error) => error.code(),
            Self::Library(error) => error.code(),
            Self::Apps(error) => error.code(),
            Self::Observe(error) => error.code(),
        }
    }

    /// What to do about it, if anything helps.
    pub fn remedy(&self) -> Option<Remedy> {
        if self.found_no_room() {
            return Some(Remedy::free_disk_space());
        }
        if let Some(command) = failure::limit_reached(self) {
            return Some(Remedy::raise_limit([command]));
        }
        match self {
            Self::Config(error) => error.remedy(),
            Self::Vault(error) => error.remedy(),
            Self::Log(error) => error.remedy(),
            Self::Machine(error) => error.remedy(),
            Self::State(error) => error.remedy(),
            Self::Instance(error) => error.remedy(),
            Self::Library(error) => error.remedy(),
            Self::Apps(error) => error.remedy(),
            Self::Observe(error) => error.remedy(),
        }
    }

    /// Whether a file of ours, whichever it was, found no space on the disk.
    fn found_no_room(&self) -> bool {
        // A download and an archive file have remedies of their own.
        let own = |error: &InstanceError| {
            matches!(error, InstanceError::Pull(_) | InstanceError::Archive(_))
        };
        !matches!(self, Self::Instance(error) if own(error)) && failure::is_no_room(self)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error as IoError, ErrorKind};
    use std::path::PathBuf;

    use failure::FileError;
    use record::RecordError;

    use super::*;

    #[test]
    fn a_disk_that_is_full_is_known_by_whatever_was_written() {
        let path = || PathBuf::from("/home/emulator/file");
        let full = || IoError::from(ErrorKind::StorageFull);
        let write = |source| RecordError::Write {
            path: path(),
            source,
        };
        let overlay = images::qcow2::OverlayError::Write {
            path: path(),
            source: full(),
        };
        let save = qemu::MigrationError::File {
            operation: qemu::migration::Operation::Save,
            file: path(),
            source: full(),
        };
        let file = |kind: ErrorKind| FileError::of("write", &path())(kind.into());
        let errors = [
            Error::from(StateError::from(write(full()))),
            Error::from(MachineError::from(file(ErrorKind::StorageFull))),
            Error::from(InstanceError::from(overlay)),
            Error::from(MachineError::Migration {
                action: "save",
                source: save,
            }),
            Error::from(InstanceError::ColdFailed {
                first: "it was damaged".into(),
                source: Box::new(write(full()).into()),
            }),
            Error::from(ConfigError::from(file(ErrorKind::QuotaExceeded))),
        ];
        for error in errors {
            assert_eq!(error.code(), Code::DiskFull, "{error}");
            assert_eq!(error.remedy(), Some(Remedy::free_disk_space()), "{error}");
        }
        let other = write(IoError::from(ErrorKind::PermissionDenied));
        assert_eq!(Error::from(StateError::from(other)).code(), Code::Record);
    }

    #[test]
    fn what_a_room_only_passes_on_is_told_as_the_room_s_that_it_comes_from() {
        let missing = ObserveError::from(StateError::NoSnapshot);
        assert!(matches!(Error::from(missing), Error::State(_)));
        let reset = AppsError::from(MachineError::GuestReset);
        assert!(matches!(Error::from(reset), Error::Machine(_)));
    }
}
