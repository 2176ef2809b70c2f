//! What can go wrong with an operation, with a stable code and a remedy.

use std::path::PathBuf;

use failure::{Code, Remedy, UsedPort};

use crate::config::variables;
use crate::fault;
use crate::instance::lock::LockError;
use crate::library::installed::ImageUse;
use crate::machine::error::qemu_remedy;
use crate::machine::ports::Taken;

/// Why an operation on an instance failed.
///
/// [`Error::code`] is stable and meant for programs; the message says what
/// happened, [`Error::remedy`] what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A folder cannot be made or trusted.
    #[error(transparent)]
    Folder(#[from] crate::config::paths::FolderError),
    /// The instance is in use.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// There is no usable QEMU.
    #[error(transparent)]
    Qemu(#[from] qemu::BinaryError),
    /// No accelerator works.
    #[error(transparent)]
    Accelerator(#[from] qemu::ProbeError),
    /// There is no image.
    #[error("there is no image at {}", path.display())]
    NoImage {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The image cannot be used.
    #[error(transparent)]
    Image(#[from] images::ImageError),
    /// An image that was pulled is not what it was.
    #[error("the image {} is damaged: its SHA-256 is {found}, expected {expected}", path.display())]
    ImageChanged {
        /// The image.
        path: PathBuf,
        /// What it was.
        expected: images::Sha256Digest,
        /// What it is.
        found: images::Sha256Digest,
    },
    /// The store of images cannot be read or changed.
    #[error(transparent)]
    ImageStore(#[from] images::store::StoreError),
    /// No image, or more than one, is meant.
    #[error(transparent)]
    ImageName(#[from] images::store::NameError),
    /// The image is in use.
    #[error("the image {} is in use: {}", digest.short(), uses.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    ImageInUse {
        /// The image.
        digest: images::Sha256Digest,
        /// By whom.
        uses: Vec<crate::library::installed::ImageUse>,
    },
    /// The session that is kept belongs to another image than the one chosen.
    #[error("the saved session belongs to another image, {}", image.display())]
    SessionKept {
        /// The session's image.
        image: PathBuf,
    },
    /// An image cannot be got.
    #[error(transparent)]
    Pull(Box<crate::library::pull::PullError>),
    /// What the user has set cannot be read or written.
    #[error("the settings cannot be read or written")]
    Preferences {
        /// What is wrong with them.
        #[source]
        source: record::RecordError,
    },
    /// No service of the image is called that.
    #[error("the image has no service {service:?}, only {}", known.join(", "))]
    UnknownService {
        /// What was asked for.
        service: String,
        /// The services' identifiers.
        known: Vec<String>,
    },
    /// This host or the image cannot have that.
    #[error("cannot give the virtual machine {asked}: {limit}")]
    Limit {
        /// What was asked for.
        asked: String,
        /// What there is.
        limit: String,
    },
    /// A setting cannot have that value.
    #[error(transparent)]
    Preference(#[from] crate::config::preferences::InvalidPreference),
    /// Changes cannot be watched for.
    #[error(transparent)]
    Watch(#[from] crate::logs::watches::WatchError),
    /// A log cannot be read or written.
    #[error(transparent)]
    Log(#[from] crate::logs::LogError),
    /// The image needs more than the settings give it.
    #[error("the image needs at least {needed}, and {variable} gives it {given}")]
    TooSmall {
        /// What it needs.
        needed: String,
        /// The variable to change.
        variable: &'static str,
        /// What it would get.
        given: String,
    },
    /// A service of the image has no port that can be used.
    #[error(
        "service {service} has no valid guest port: {template:?} with the port prefix {prefix}"
    )]
    GuestPort {
        /// The service.
        service: String,
        /// The port as the manifest gives it.
        template: String,
        /// The prefix in force.
        prefix: u16,
    },
    /// Two services would have the same port on the host.
    #[error("services {first} and {second} would both have host port {port}")]
    PortTwice {
        /// One service.
        first: String,
        /// The other.
        second: String,
        /// The port.
        port: u16,
    },
    /// Ports are taken.
    #[error("{}", taken.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    PortsTaken {
        /// Which, by whom.
        taken: Vec<Taken>,
    },
    /// A file of ours cannot be read or written.
    #[error(transparent)]
    Record(#[from] record::RecordError),
    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The config disk cannot be made.
    #[error(transparent)]
    ConfigDisk(#[from] crate::machine::config_disk::ConfigDiskError),
    /// The disk overlay cannot be made.
    #[error(transparent)]
    Overlay(#[from] images::qcow2::OverlayError),
    /// No random numbers.
    #[error("the operating system's random source failed")]
    Random(#[source] getrandom::Error),
    /// QEMU did not start.
    #[error(transparent)]
    Spawn(#[from] qemu::SpawnError),
    /// QEMU ended by itself.
    #[error("QEMU exited unexpectedly; see its log: {}", log.display())]
    QemuDied {
        /// QEMU's log.
        log: PathBuf,
    },
    /// The accelerator could not go on running the guest.
    #[error("{accelerator} failed while it ran the virtual machine; see QEMU's log: {}", log.display())]
    AcceleratorFailed {
        /// Which.
        accelerator: qemu::Accelerator,
        /// QEMU's log.
        log: PathBuf,
    },
    /// The host has no room for what the guest writes.
    #[error("the disk that {} is on is full", folder.display())]
    DiskFull {
        /// The instance's folder.
        folder: PathBuf,
    },
    /// A command to QEMU failed.
    #[error("QEMU could not {action}")]
    Monitor {
        /// What was asked of it.
        action: &'static str,
        /// What it said.
        #[source]
        source: qemu::QmpError,
    },
    /// Saving or loading the machine failed.
    #[error("QEMU could not {action} the virtual machine")]
    Migration {
        /// `save`, `load` or `capture`.
        action: &'static str,
        /// What it said.
        #[source]
        source: qemu::MigrationError,
    },
    /// Something inside the guest failed.
    #[error(transparent)]
    Guest(#[from] crate::machine::guest::GuestError),
    /// The guest is not ready.
    #[error(transparent)]
    NotReady(#[from] crate::machine::readiness::NotReady),
    /// The secret store failed.
    #[error(transparent)]
    Vault(#[from] crate::vault::VaultError),
    /// The system does not tell about processes.
    #[error(transparent)]
    Process(#[from] host::IdentityError),
    /// QEMU could not be ended.
    #[error(transparent)]
    Stop(#[from] qemu::StopError),
    /// A folder cannot be shared or taken back.
    #[error(transparent)]
    Share(Box<crate::machine::folders::ShareError>),
    /// The backend gave no project keys.
    #[error(transparent)]
    Credentials(#[from] crate::apps::credentials::CredentialsError),
    /// It cannot be done while the emulator runs.
    #[error("cannot {request} while the emulator is running")]
    Running {
        /// What was asked for.
        request: &'static str,
    },
    /// It can only be done while the emulator runs.
    #[error("cannot {request}: the emulator is not running")]
    NotRunning {
        /// What was asked for.
        request: &'static str,
    },
    /// The session lies on another image than the one asked for.
    #[error("the saved session belongs to the image {}, not to {}", session.display(), asked.display())]
    OtherImage {
        /// The session's image.
        session: PathBuf,
        /// The image asked for.
        asked: PathBuf,
    },
    /// The image under the session is gone or changed.
    #[error("the saved session's disk cannot be used: its image {} was replaced or removed", path.display())]
    SessionImage {
        /// Where it was.
        path: PathBuf,
    },
    /// What the session's disk lies on is damaged.
    #[error("the saved session's disk cannot be used: {problem}")]
    SessionBase {
        /// What is missing.
        problem: String,
    },
    /// There is no snapshot.
    #[error("there is no snapshot")]
    NoSnapshot,
    /// The snapshot is damaged.
    #[error("the snapshot is damaged: {damage}")]
    SnapshotDamaged {
        /// What is wrong.
        damage: String,
    },
    /// The memory of the kept session is damaged.
    #[error("the saved session's memory is damaged: {damage}")]
    SessionDamaged {
        /// What is wrong.
        damage: String,
    },
    /// An archive cannot be written or read.
    #[error(transparent)]
    Archive(#[from] crate::instance::archive::ArchiveError),
    /// A resumed guest's processor ran into something senseless.
    #[error("the virtual machine reset itself after it was resumed")]
    GuestReset,
    /// A start failed by memory and then by a cold boot.
    #[error("the emulator could not be started: {first}; a cold boot failed, too")]
    ColdFailed {
        /// Why the first way failed.
        first: String,
        /// Why the cold boot failed.
        #[source]
        source: Box<Error>,
    },
}

impl Error {
    /// A stable code for programs.
    pub fn code(&self) -> Code {
        if self.found_no_room() {
            return Code::DiskFull;
        }
        match self {
            Self::Folder(error) => error.code(),
            Self::Lock(LockError::Busy { .. }) => Code::Busy,
            Self::Lock(LockError::File { .. }) | Self::File { .. } => Code::File,
            Self::Qemu(_) => Code::QemuMissing,
            Self::Accelerator(_) => Code::Accelerator,
            Self::NoImage { .. } => Code::ImageMissing,
            Self::Image(_) => Code::Image,
            Self::ImageChanged { .. } => Code::ImageDamaged,
            Self::ImageStore(_) => Code::ImageStore,
            Self::ImageName(error) => error.code(),
            Self::ImageInUse { .. } => Code::ImageInUse,
            Self::SessionKept { .. } => Code::SessionKept,
            Self::Pull(error) => error.code(),
            Self::Preference(_) | Self::Limit { .. } => Code::Setting,
            Self::Watch(_) => Code::Watch,
            Self::Log(error) => error.code(),
            Self::TooSmall { .. } => Code::TooSmall,
            Self::GuestPort { .. } | Self::PortTwice { .. } | Self::UnknownService { .. } => {
                Code::PortSetting
            }
            Self::PortsTaken { .. } => Code::PortTaken,
            Self::Record(error) | Self::Preferences { source: error } => fault::record_code(error),
            Self::ConfigDisk(_) => Code::ConfigDisk,
            Self::Overlay(_) => Code::Overlay,
            Self::Random(_) => Code::Random,
            Self::Spawn(_) => Code::QemuStart,
            Self::QemuDied { .. } => Code::QemuDied,
            Self::AcceleratorFailed { .. } => Code::AcceleratorFailed,
            Self::DiskFull { .. } => Code::DiskFull,
            Self::Monitor { .. } => Code::Qemu,
            Self::Migration { .. } => Code::Migration,
            Self::Guest(crate::machine::guest::GuestError::Rotation { .. }) => Code::Rotation,
            Self::Guest(_) | Self::GuestReset => Code::Guest,
            Self::NotReady(_) => Code::NotReady,
            Self::Vault(_) => Code::SecretStore,
            Self::Process(_) => Code::Process,
            Self::Stop(_) => Code::Stop,
            Self::Running { .. } => Code::Running,
            Self::NotRunning { .. } => Code::NotRunning,
            Self::Share(error) => error.code(),
            Self::Credentials(error) => error.code(),
            Self::OtherImage { .. } => Code::OtherImage,
            Self::SessionImage { .. } | Self::SessionBase { .. } => Code::SessionBase,
            Self::NoSnapshot => Code::NoSnapshot,
            Self::SnapshotDamaged { .. } => Code::SnapshotDamaged,
            Self::SessionDamaged { .. } => Code::SessionDamaged,
            Self::Archive(error) => error.code(),
            Self::ColdFailed { source, .. } => source.code(),
        }
    }

    /// What to do about it, if anything helps.
    pub fn remedy(&self) -> Option<Remedy> {
        if self.found_no_room() {
            return Some(Remedy::free_disk_space());
        }
        Some(match self {
            Self::Lock(LockError::Busy { .. }) => Remedy::WaitForCommand,
            Self::Lock(LockError::File { path, .. }) => Remedy::check_owner_of(path),
            Self::Qemu(error) => qemu_remedy(error),
            Self::Accelerator(_) => Remedy::CheckHost,
            Self::NoImage { .. } => Remedy::PullImage,
            Self::ImageChanged { .. } => Remedy::PullAgain,
            Self::Image(error) => return error.remedy(),
            Self::ImageStore(error) => return error.remedy(),
            Self::ImageName(_) => Remedy::ListImages,
            Self::ImageInUse { uses, .. } => Remedy::ReleaseImage {
                holds: uses.iter().map(ImageUse::hold).collect(),
            },
            Self::SessionKept { .. } => Remedy::ContinueOrDiscardSession,
            Self::TooSmall { variable, .. } => Remedy::GiveMore {
                variable,
                setting: if *variable == variables::RAM {
                    "ram"
                } else {
                    "vcpus"
                },
            },
            Self::GuestPort { .. } => Remedy::LowerPortPrefix {
                variable: variables::PORT_PREFIX,
            },
            Self::PortTwice { first, second, .. } => Remedy::ChangePorts {
                services: vec![first.clone(), second.clone()],
            },
            Self::PortsTaken { taken } => {
                let used = |taken: &Taken| UsedPort {
                    port: taken.port,
                    service: taken.service.clone(),
                };
                Remedy::FreePorts {
                    ports: taken.iter().map(used).collect(),
                }
            }
            Self::NotRunning { .. } => Remedy::Start,
            Self::Running { .. } => Remedy::Stop,
            Self::Share(error) => return error.remedy(),
            Self::Credentials(error) => return error.remedy(),
            Self::Vault(error) => return error.remedy(),
            Self::OtherImage { .. } => Remedy::StartWithoutImage,
            Self::SessionImage { .. } => Remedy::RestoreImageOrDiscard,
            Self::SessionBase { .. } => Remedy::RestoreFileOrDiscard,
            Self::NoSnapshot | Self::SnapshotDamaged { .. } => Remedy::TakeSnapshot,
            Self::SessionDamaged { .. } => Remedy::BootSessionDisk,
            Self::NotReady(_) => Remedy::WaitLonger {
                variable: variables::READY_TIMEOUT,
            },
            Self::DiskFull { .. } => Remedy::free_disk_space(),
            Self::Record(error) | Self::Preferences { source: error } => {
                fault::record_remedy(error)
            }
            Self::QemuDied { .. }
            | Self::Spawn(_)
            | Self::Guest(_)
            | Self::GuestReset
            | Self::Monitor { .. }
            | Self::Migration { .. } => Remedy::ReadLogs,
            Self::AcceleratorFailed { .. } => Remedy::UseEmulation {
                variable: variables::ACCELERATOR,
            },
            Self::ColdFailed { source, .. } => return source.remedy(),
            Self::Pull(error) => return error.remedy(),
            Self::Watch(error) => return error.remedy(),
            Self::Log(error) => return error.remedy(),
            Self::Preference(_) => Remedy::ReadSettings,
            Self::Folder(error) => return error.remedy(),
            Self::Archive(error) => return error.remedy(),
            Self::UnknownService { .. }
            | Self::Limit { .. }
            | Self::File { .. }
            | Self::ConfigDisk(_)
            | Self::Overlay(_)
            | Self::Random(_)
            | Self::Process(_)
            | Self::Stop(_) => return None,
        })
    }

    /// Whether a file of ours, whichever it was, found no room on the disk.
    fn found_no_room(&self) -> bool {
        // What is downloaded has remedies of its own.
        !matches!(self, Self::Pull(_)) && failure::is_no_room(self)
    }

    /// The accelerator that failed, if that was the reason.
    pub(crate) fn failed_accelerator(&self) -> Option<qemu::Accelerator> {
        match self {
            Self::AcceleratorFailed { accelerator, .. } => Some(*accelerator),
            Self::ColdFailed { source, .. } => source.failed_accelerator(),
            _ => None,
        }
    }

    pub(crate) fn file(
        action: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }
}

impl From<crate::machine::folders::ShareError> for Error {
    fn from(error: crate::machine::folders::ShareError) -> Self {
        Self::Share(Box::new(error))
    }
}

impl From<crate::library::pull::PullError> for Error {
    /// Boxed: it holds what a server said, and would make every result large.
    fn from(error: crate::library::pull::PullError) -> Self {
        Self::Pull(Box::new(error))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error as IoError, ErrorKind};

    use super::*;
    use record::RecordError;

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
        let errors = [
            Error::from(write(full())),
            Error::file("sync", &path())(full()),
            Error::from(overlay),
            Error::Migration {
                action: "save",
                source: save,
            },
            Error::ColdFailed {
                first: "it was damaged".into(),
                source: Box::new(Error::from(write(full()))),
            },
            Error::file("write", &path())(IoError::from(ErrorKind::QuotaExceeded)),
        ];
        for error in errors {
            assert_eq!(error.code(), "disk_full", "{error}");
            assert_eq!(error.remedy(), Some(Remedy::free_disk_space()), "{error}");
        }
        let other = Error::from(write(IoError::from(ErrorKind::PermissionDenied)));
        assert_eq!(other.code(), "record");
    }
}
