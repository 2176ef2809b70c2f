//! Why an operation on an instance failed.

use std::path::{Path, PathBuf};

use failure::{Code, FileError, Remedy};
use images::github::Repo;
use images::store::{NameError, StoreError};
use record::RecordError;

use super::archive::ArchiveError;
use super::lock::LockError;
use crate::config::error::ConfigError;
use crate::config::paths::{CheckpointName, FolderError, InstanceName};
use crate::config::variables::{self, SettingsError};
use crate::fault::{self, by_way_of};
use crate::machine::config_disk::ConfigDiskError;
use crate::machine::error::MachineError;
use crate::machine::folders::ShareError;
use crate::machine::guest::GuestError;
use crate::machine::ports::Taken;
use crate::machine::readiness::NotReady;
use crate::state::error::StateError;
use crate::vault::VaultError;

/// Why an operation on an instance failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstanceError {
    /// The instance is in use.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// This needs a stopped emulator.
    #[error("cannot {request} while the emulator is running")]
    Running {
        /// What was asked for, as a verb.
        request: &'static str,
    },
    /// This needs an instance that is stopped, and it is not the one that `--instance` names.
    #[error("cannot {request} instance {instance} while it is running")]
    InstanceRunning {
        /// What was asked for, as a verb.
        request: &'static str,
        /// The instance.
        instance: InstanceName,
    },
    /// There is no such instance.
    #[error("there is no instance {instance}")]
    NoInstance {
        /// Its name.
        instance: InstanceName,
    },
    /// There is such an instance.
    #[error("there is an instance {instance} already")]
    InstanceExists {
        /// Its name.
        instance: InstanceName,
    },
    /// Every name that an instance of the folder may have is another's.
    #[error("every instance name for the folder {} is taken", folder.display())]
    NoNameLeft {
        /// The folder.
        folder: PathBuf,
    },
    /// There is no saved session to clone.
    #[error("instance {instance} has no saved session")]
    NoSession {
        /// The instance.
        instance: InstanceName,
    },
    /// There is no such checkpoint.
    #[error("there is no checkpoint {checkpoint}")]
    NoCheckpoint {
        /// Its name.
        checkpoint: CheckpointName,
    },
    /// There is such a checkpoint.
    #[error("there is a checkpoint {checkpoint} already")]
    CheckpointExists {
        /// Its name.
        checkpoint: CheckpointName,
    },
    /// A file of the checkpoint is not what it was.
    #[error("the checkpoint {checkpoint} is damaged: {damage}")]
    CheckpointDamaged {
        /// Its name.
        checkpoint: CheckpointName,
        /// What is wrong.
        damage: String,
    },
    /// QEMU, the image or the settings have changed since the start.
    #[error(
        "the running virtual machine does not fit this host and its settings any more: {mismatch}"
    )]
    OtherMachine {
        /// What differs.
        mismatch: String,
    },
    /// This needs a running emulator.
    #[error("cannot {request}: the emulator is not running")]
    NotRunning {
        /// What was asked for, as a verb.
        request: &'static str,
    },
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
    ImageStore(#[from] StoreError),
    /// The name stands for no image, or for more than one.
    #[error(transparent)]
    ImageName(#[from] NameError),
    /// The image that a start needs cannot be pulled.
    #[error(transparent)]
    Pull(Box<images::PullError>),
    /// The default repository has no image for the guest's architecture.
    #[error("the repository {repository} has no image for {arch}")]
    NoPublishedImage {
        /// The default repository.
        repository: Box<Repo>,
        /// The architecture.
        arch: host::Arch,
        /// This program's own repository, which has the starter; `None` if it is not known.
        own: Option<Box<Repo>>,
        /// What is not there.
        #[source]
        source: Box<images::PullError>,
    },
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
    /// The saved session belongs to another image than the selected one.
    #[error("the saved session belongs to another image, {}", image.display())]
    SessionKept {
        /// The session's image.
        image: PathBuf,
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
    /// There is no block of ports that no instance has.
    #[error("the {most} blocks of ports for further instances are all in use by instances")]
    NoPortsLeft {
        /// How many there are.
        most: u16,
    },
    /// The session's disk cannot be created.
    #[error(transparent)]
    Overlay(#[from] images::qcow2::OverlayError),
    /// An archive file cannot be written or restored.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A start failed by memory and then by a cold boot.
    #[error("the emulator could not be started: {first}; a cold boot failed, too")]
    ColdFailed {
        /// Why the first way failed.
        first: String,
        /// Why the cold boot failed.
        #[source]
        source: Box<InstanceError>,
    },
    /// The virtual machine failed.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// Saved state cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// A folder or the settings cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// One of the records cannot be read or written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
}

by_way_of!(InstanceError, Config => FolderError, SettingsError);
by_way_of!(
    InstanceError,
    Machine => ConfigDiskError,
    ShareError,
    GuestError,
    NotReady,
    VaultError,
    host::IdentityError,
    qemu::BinaryError,
    qemu::ProbeError,
    qemu::SpawnError,
    qemu::StopError,
);

impl From<images::PullError> for InstanceError {
    /// Boxed: it holds what a server said, and would make every result large.
    fn from(error: images::PullError) -> Self {
        Self::Pull(Box::new(error))
    }
}

impl InstanceError {
    /// A stable code for programs.
    pub fn code(&self) -> Code {
        match self {
            Self::Lock(LockError::Busy { .. }) => Code::Busy,
            Self::Lock(LockError::File { .. }) => Code::File,
            Self::Running { .. } | Self::InstanceRunning { .. } => Code::Running,
            Self::NoInstance { .. } | Self::Lock(LockError::Gone { .. }) => Code::InstanceMissing,
            Self::InstanceExists { .. } | Self::NoNameLeft { .. } => Code::InstanceExists,
            Self::NoSession { .. } => Code::NoSession,
            Self::NoCheckpoint { .. } => Code::CheckpointMissing,
            Self::CheckpointExists { .. } => Code::CheckpointExists,
            Self::CheckpointDamaged { .. } => Code::CheckpointDamaged,
            Self::OtherMachine { .. } => Code::OtherMachine,
            Self::NotRunning { .. } => Code::NotRunning,
            Self::NoImage { .. } => Code::ImageMissing,
            Self::Image(_) => Code::Image,
            Self::ImageChanged { .. } => Code::ImageDamaged,
            Self::ImageStore(_) => Code::ImageStore,
            Self::ImageName(error) => error.code(),
            Self::Pull(error) | Self::NoPublishedImage { source: error, .. } => error.code(),
            Self::TooSmall { .. } => Code::TooSmall,
            Self::SessionKept { .. } => Code::SessionKept,
            Self::GuestPort { .. } | Self::PortTwice { .. } | Self::NoPortsLeft { .. } => {
                Code::PortSetting
            }
            Self::Overlay(_) => Code::Overlay,
            Self::Archive(error) => error.code(),
            Self::ColdFailed { source, .. } => source.code(),
            Self::Machine(error) => error.code(),
            Self::State(error) => error.code(),
            Self::Config(error) => error.code(),
            Self::Record(error) => fault::record_code(error),
            Self::File(error) => error.code(),
        }
    }

    /// What to do about it, if anything helps.
    pub fn remedy(&self) -> Option<Remedy> {
        Some(match self {
            Self::Lock(LockError::Busy { .. }) => Remedy::WaitForCommand,
            Self::Lock(LockError::File { path, .. }) => Remedy::check_owner_of(path),
            Self::Running { .. } => Remedy::Stop,
            Self::InstanceRunning { instance, .. } => Remedy::StopInstance {
                instance: instance.to_string(),
            },
            Self::NoInstance { .. }
            | Self::NoNameLeft { .. }
            | Self::NoPortsLeft { .. }
            | Self::Lock(LockError::Gone { .. }) => Remedy::ListInstances,
            Self::InstanceExists { instance } => Remedy::DeleteInstance {
                instance: instance.to_string(),
            },
            Self::NoSession { .. } => Remedy::CloneSnapshot,
            Self::NoCheckpoint { .. } => Remedy::ListCheckpoints,
            Self::CheckpointExists { checkpoint } | Self::CheckpointDamaged { checkpoint, .. } => {
                Remedy::DeleteCheckpoint {
                    checkpoint: checkpoint.to_string(),
                }
            }
            Self::OtherMachine { .. } => Remedy::StopAndStart,
            Self::NotRunning { .. } => Remedy::Start,
            Self::NoImage { .. } => Remedy::PullImage,
            Self::ImageChanged { .. } => Remedy::PullAgain,
            Self::Image(error) => return error.remedy(),
            Self::ImageStore(error) => return error.remedy(),
            Self::ImageName(_) => Remedy::ListImages,
            Self::Pull(error) => return error.remedy(),
            Self::NoPublishedImage { own, .. } => Remedy::PullStarter {
                repository: own.as_ref().map(ToString::to_string),
            },
            Self::TooSmall { variable, .. } => Remedy::GiveMore {
                variable,
                setting: if *variable == variables::RAM {
                    "ram"
                } else {
                    "vcpus"
                },
            },
            Self::SessionKept { .. } => Remedy::ContinueOrDiscardSession,
            Self::GuestPort { .. } => Remedy::LowerPortPrefix {
                variable: variables::PORT_PREFIX,
            },
            Self::PortTwice { first, second, .. } => Remedy::ChangePorts {
                services: vec![first.clone(), second.clone()],
            },
            Self::Archive(error) => return error.remedy(),
            Self::ColdFailed { source, .. } => return source.remedy(),
            Self::Machine(error) => return error.remedy(),
            Self::State(error) => return error.remedy(),
            Self::Config(error) => return error.remedy(),
            Self::Record(error) => fault::record_remedy(error),
            Self::File(error) => return error.remedy(),
            Self::Overlay(_) => return None,
        })
    }

    /// The ports that somebody else has, if that is why.
    pub(crate) fn taken_ports(&self) -> Option<&[Taken]> {
        match self {
            Self::Machine(MachineError::PortsTaken { taken }) => Some(taken),
            _ => None,
        }
    }

    /// Whether a boot would fail just as well: it is this host that lacks something.
    pub(crate) fn is_of_the_host(&self) -> bool {
        matches!(
            self,
            Self::Machine(MachineError::PortsTaken { .. } | MachineError::Limit { .. })
        )
    }

    /// Whether QEMU has ended while something was done with its machine.
    pub(crate) const fn is_lost_machine(&self) -> bool {
        matches!(self, Self::Machine(MachineError::QemuDied { .. }))
    }

    /// Whether QEMU has ended while a guest booted, which lost nothing: the boot can be tried again.
    pub(crate) fn is_broken_boot(&self) -> bool {
        match self {
            Self::Machine(MachineError::QemuDiedBooting { .. }) => true,
            Self::ColdFailed { source, .. } => source.is_broken_boot(),
            _ => false,
        }
    }

    /// The accelerator that failed, if that was the reason.
    pub(crate) fn failed_accelerator(&self) -> Option<qemu::Accelerator> {
        match self {
            Self::Machine(MachineError::AcceleratorFailed { accelerator, .. }) => {
                Some(*accelerator)
            }
            Self::ColdFailed { source, .. } => source.failed_accelerator(),
            _ => None,
        }
    }

    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let failed = FileError::of(action, path);
        move |source| failed(source).into()
    }
}
