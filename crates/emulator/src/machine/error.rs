//! Why a virtual machine does not come up, or does not do what it should.

use std::path::{Path, PathBuf};

use failure::{Code, FileError, Remedy, UsedPort};
use qemu::BinaryError;
use record::RecordError;

use super::config_disk::ConfigDiskError;
use super::folders::ShareError;
use super::guest::GuestError;
use super::ports::Taken;
use super::readiness::NotReady;
use crate::config::error::ConfigError;
use crate::config::paths::FolderError;
use crate::config::variables;
use crate::fault::{self, by_way_of};
use crate::vault::VaultError;

/// Why a virtual machine does not come up, or does not do what it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MachineError {
    /// There is no usable QEMU.
    #[error(transparent)]
    Qemu(#[from] BinaryError),
    /// No accelerator works.
    #[error(transparent)]
    Accelerator(#[from] qemu::ProbeError),
    /// The disk with the guest's settings cannot be written.
    #[error(transparent)]
    ConfigDisk(#[from] ConfigDiskError),
    /// QEMU did not start.
    #[error(transparent)]
    Spawn(#[from] qemu::SpawnError),
    /// The system allows this process less than the virtual machine needs.
    #[error("{limit}, and the virtual machine needs {}", crate::config::quantities::bytes(*needed))]
    Limit {
        /// The limit.
        limit: host::limits::InForce,
        /// Bytes.
        needed: u64,
    },
    /// Ports are in use.
    #[error("{}", taken.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    PortsTaken {
        /// Which, by whom.
        taken: Vec<Taken>,
    },
    /// QEMU ended by itself.
    #[error("QEMU exited unexpectedly; see its log: {}", log.display())]
    QemuDied {
        /// QEMU's log.
        log: PathBuf,
    },
    /// QEMU ended by itself before the guest had booted.
    #[error("QEMU exited while the virtual machine booted; see its log: {}", log.display())]
    QemuDiedBooting {
        /// QEMU's log.
        log: PathBuf,
    },
    /// The accelerator could not continue to run the guest.
    #[error("{accelerator} failed while it ran the virtual machine; see QEMU's log: {}", log.display())]
    AcceleratorFailed {
        /// Which.
        accelerator: qemu::Accelerator,
        /// QEMU's log.
        log: PathBuf,
    },
    /// The host has no space for what the guest writes.
    #[error("the disk that {} is on is full", folder.display())]
    DiskFull {
        /// The instance's folder.
        folder: PathBuf,
    },
    /// Its monitors cannot be connected to.
    #[error("QEMU runs, but cannot be reached")]
    Unreachable {
        /// Why.
        #[source]
        source: qemu::QmpError,
    },
    /// The session's disk is not the one that it runs on.
    #[error("the virtual machine does not run on {}, which took the place of its disk", disk.display())]
    OtherDisk {
        /// The disk that is there.
        disk: PathBuf,
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
    Guest(#[from] GuestError),
    /// A resumed guest's processor met memory that makes no sense.
    #[error("the virtual machine reset itself after it was resumed")]
    GuestReset,
    /// The guest is not ready.
    #[error(transparent)]
    NotReady(#[from] NotReady),
    /// The system did not answer a question about a process.
    #[error(transparent)]
    Process(#[from] host::IdentityError),
    /// The system did not tell of connections.
    #[error("cannot list the connections to the services")]
    Connections {
        /// What it said.
        #[source]
        source: std::io::Error,
    },
    /// QEMU could not be ended.
    #[error(transparent)]
    Stop(#[from] qemu::StopError),
    /// A folder cannot be shared, or its sharing not be ended.
    #[error(transparent)]
    Share(Box<ShareError>),
    /// A guest that boots gets on no longer.
    #[error("the virtual machine is not ready after {} s and makes no progress any more; last seen: {last}", taken.as_secs())]
    Stuck {
        /// Since it was switched on.
        taken: std::time::Duration,
        /// What it did last, and when.
        last: String,
    },
    /// The random source failed.
    #[error("the operating system's random source failed")]
    Random(#[source] getrandom::Error),
    /// The secrets cannot be read or stored.
    #[error(transparent)]
    Vault(#[from] VaultError),
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

by_way_of!(MachineError, Config => FolderError);

impl From<ShareError> for MachineError {
    fn from(error: ShareError) -> Self {
        Self::Share(Box::new(error))
    }
}

impl MachineError {
    /// A stable code for programs.
    pub fn code(&self) -> Code {
        match self {
            Self::Qemu(_) => Code::QemuMissing,
            Self::Accelerator(_) => Code::Accelerator,
            Self::ConfigDisk(_) => Code::ConfigDisk,
            Self::Spawn(_) => Code::QemuStart,
            Self::PortsTaken { .. } => Code::PortTaken,
            Self::Limit { .. } | Self::Connections { .. } => Code::System,
            Self::QemuDied { .. } | Self::QemuDiedBooting { .. } => Code::QemuDied,
            Self::AcceleratorFailed { .. } => Code::AcceleratorFailed,
            Self::DiskFull { .. } => Code::DiskFull,
            Self::Monitor { .. } | Self::Unreachable { .. } => Code::Qemu,
            Self::OtherDisk { .. } => Code::SessionDisk,
            Self::Migration { .. } => Code::Migration,
            Self::Guest(GuestError::Rotation { .. }) => Code::Rotation,
            Self::Guest(_) | Self::GuestReset => Code::Guest,
            Self::NotReady(_) | Self::Stuck { .. } => Code::NotReady,
            Self::Process(_) => Code::Process,
            Self::Stop(_) => Code::Stop,
            Self::Share(error) => error.code(),
            Self::Random(_) => Code::Random,
            Self::Vault(error) => error.code(),
            Self::Config(error) => error.code(),
            Self::Record(error) => fault::record_code(error),
            Self::File(error) => error.code(),
        }
    }

    /// What to do about it, if anything helps.
    pub fn remedy(&self) -> Option<Remedy> {
        Some(match self {
            Self::Qemu(error) => qemu_remedy(error),
            Self::Accelerator(_) => Remedy::CheckHost,
            Self::Limit { limit, .. } => Remedy::raise_limit([limit.limit.command()]),
            Self::PortsTaken { taken } => {
                let used = |taken: &Taken| UsedPort {
                    port: taken.port,
                    service: taken.service.clone(),
                };
                Remedy::FreePorts {
                    ports: taken.iter().map(used).collect(),
                }
            }
            Self::Unreachable { .. } => Remedy::StopAndStart,
            Self::OtherDisk { .. } => Remedy::RestoreDiskOrDiscard,
            Self::Spawn(_)
            | Self::QemuDied { .. }
            | Self::QemuDiedBooting { .. }
            | Self::Monitor { .. }
            | Self::Migration { .. }
            | Self::Guest(_)
            | Self::GuestReset => Remedy::ReadLogs,
            Self::AcceleratorFailed { .. } => Remedy::UseEmulation {
                variable: variables::ACCELERATOR,
            },
            Self::DiskFull { .. } => Remedy::free_disk_space(),
            Self::NotReady(_) | Self::Stuck { .. } => Remedy::WaitLonger {
                variable: variables::READY_TIMEOUT,
            },
            Self::Share(error) => return error.remedy(),
            Self::Vault(error) => return error.remedy(),
            Self::Config(error) => return error.remedy(),
            Self::Record(error) => fault::record_remedy(error),
            Self::File(error) => return error.remedy(),
            Self::Connections { .. }
            | Self::ConfigDisk(_)
            | Self::Process(_)
            | Self::Stop(_)
            | Self::Random(_) => {
                return None;
            }
        })
    }

    /// Whether nobody listens at its sockets any more.
    pub(crate) const fn is_cut_off(&self) -> bool {
        matches!(
            self,
            Self::Unreachable {
                source: qemu::QmpError::Connect { .. }
            }
        )
    }

    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let failed = FileError::of(action, path);
        move |source| failed(source).into()
    }
}

/// What to do where there is no usable QEMU.
pub(crate) fn qemu_remedy(error: &BinaryError) -> Remedy {
    match error {
        BinaryError::NotFound { remedy, .. } | BinaryError::TooOld { remedy, .. } => {
            Remedy::InstallQemu { how: remedy }
        }
        BinaryError::NotExecutable { .. } => Remedy::CorrectVariable {
            variable: variables::QEMU,
        },
        BinaryError::Stat { .. }
        | BinaryError::NotRunnable { .. }
        | BinaryError::Died { .. }
        | BinaryError::Ask { .. } => Remedy::ReinstallQemu,
    }
}
