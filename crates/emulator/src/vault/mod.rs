//! Where the four secrets of an instance are kept on the host.
//!
//! | place | when | how long |
//! |---|---|---|
//! | the keychain: Secret Service, Keychain, Credential Manager | wherever there is one that answers | until the session is dropped |
//! | the kernel's keyring | no keychain here (headless, CI), or one that is locked or dying | as long as the VM can live |
//! | a file of mode 0600 in a memory-backed folder | the kernel refuses keyrings, as in some containers | until the host is shut down |
//!
//! On Linux there is no fourth place: where nothing is in memory, the start fails.
//! Other systems have no file system that is in memory for sure; their file is
//! readable by the user alone, and no more is said of it.
//!
//! The places themselves are those of the crate [`secrets`]. A keychain is
//! another program, which may ask its user for a password, hang or die. So every
//! store lives in a thread of its own ([`worker`]), each question has a time
//! limit, and [`places`] goes on with the next place when one fails: a start never
//! waits for a keychain for longer than that limit.
//!
//! Order matters. New values are put under [`Slot::Pending`](secrets::Slot) before
//! the guest holds them, and become `Slot::Current` once they are proved; a crash
//! in between leaves both sets, and one of them is the guest's. The values of a
//! machine that is prepared for the next start are put under `Slot::Next` before
//! that machine holds them, and become the current ones by the proof of that start.

mod github_token;
pub(crate) mod places;
mod worker;

use std::path::{Path, PathBuf};
use std::time::Duration;

use failure::{Code, Remedy};
use secrets::{StoreError, StoreKind};

use crate::config::variables;
use crate::fault;

pub use github_token::{forget_github_token, github_token, save_github_token};

/// The secrets cannot be read or stored. No message and no source contains one.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// A place refused or failed.
    #[error(transparent)]
    Place(#[from] StoreError),
    /// It did not answer in time.
    #[error("{} did not {action} the secrets within {} s", kind.describe(), limit.as_secs())]
    NoAnswer {
        /// Which place.
        kind: StoreKind,
        /// What was asked of it.
        action: &'static str,
        /// How long it was given.
        limit: Duration,
    },
    /// What was stored is not there.
    #[error("the secrets that were stored are gone")]
    Gone,
    /// What is written there could be read from a disk later.
    #[error("the folder {} is on a disk, and secrets are only kept in memory", path.display())]
    OnDisk {
        /// The runtime folder.
        path: PathBuf,
    },
    /// The record of the place cannot be used.
    #[error(transparent)]
    Record(#[from] record::RecordError),
    /// The record of the place cannot be removed.
    #[error("cannot remove {}", path.display())]
    Forget {
        /// The record.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// There is no safe folder for a file.
    #[error(transparent)]
    Folder(#[from] crate::config::paths::FolderError),
    /// The system refused another thread.
    #[error("cannot start a thread for {}", kind.describe())]
    Thread {
        /// Which place.
        kind: StoreKind,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl VaultError {
    /// A stable code for programs.
    pub fn code(&self) -> Code {
        if failure::is_no_room(self) {
            Code::DiskFull
        } else {
            Code::SecretStore
        }
    }

    /// What to do about it, if anything helps.
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Place(StoreError::Locked { .. }) | Self::NoAnswer { .. } => {
                Some(Remedy::UnlockKeychain)
            }
            Self::Place(StoreError::NoKeyring { .. }) => Some(Remedy::CreateKeyring),
            Self::Place(StoreError::NotASecret { .. }) => Some(Remedy::RotateSecrets),
            Self::Place(StoreError::Absent { .. }) | Self::Gone => Some(Remedy::StartForNewSecrets),
            Self::OnDisk { .. } => Some(Remedy::UnlockKeychainOrUseMemory {
                variable: variables::RUNTIME_FOLDER,
            }),
            Self::Record(error) => Some(fault::record_remedy(error)),
            Self::Folder(error) => Some(error.remedy()),
            Self::Thread { .. } => Some(Remedy::EndPrograms),
            Self::Place(StoreError::Entry { .. } | StoreError::File { .. })
            | Self::Forget { .. } => None,
        }
    }

    /// Whether there is no such place at all.
    pub(crate) const fn is_absent(&self) -> bool {
        matches!(self, Self::Place(StoreError::Absent { .. }))
    }
}

/// What marked the values of the instances of `home` before they went by the instance's folder.
fn mark_by_path(home: &Path) -> String {
    images::Sha256Digest::of(home.as_os_str().as_encoded_bytes()).short()
}
