//! Where the four values of an instance are kept on the host.
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
//! A keychain is another program, which may ask its user for a password, hang
//! or die. So every store lives in a thread of its own ([`worker`]), each
//! question has a time limit, and [`vault`] goes on with the next place when one
//! fails: a start never waits for a keychain for longer than that limit.
//!
//! Order matters. New values are put under [`Slot::Pending`] before the guest
//! holds them, and become [`Slot::Current`] once they are proved; a crash in
//! between leaves both sets, and one of them is the guest's.

mod entries;
#[cfg(target_os = "linux")]
mod kernel_keyring;
mod runtime_file;
mod token;
pub(crate) mod vault;
mod worker;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::secret::SecretSet;

pub use token::{forget_github_token, github_token, save_github_token};

/// Which of an instance's two sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The values that the guest holds, proved.
    Current,
    /// Values on their way into the guest.
    Pending,
}

impl Slot {
    const fn name(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Pending => "pending",
        }
    }
}

/// What kind of place the values are kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreKind {
    /// The user's keychain: Secret Service, Keychain or Credential Manager.
    Keychain,
    /// The kernel's keyring: in memory, gone at reboot.
    KernelKeyring,
    /// A file of mode 0600 in the runtime folder.
    RuntimeFile,
}

impl StoreKind {
    /// The place, as the object of a sentence.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Keychain => "your keychain",
            Self::KernelKeyring => "the kernel's keyring",
            Self::RuntimeFile if cfg!(target_os = "linux") => "a file in memory",
            Self::RuntimeFile => "a file readable by you alone",
        }
    }
}

/// The store refused or failed. No message and no source holds a value.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such place on this host.
    #[error("{} is not there", kind.describe())]
    Absent {
        /// Which place.
        kind: StoreKind,
        /// What came of looking for it.
        #[source]
        source: keyring_core::Error,
    },
    /// The keychain is locked, and nobody unlocked it.
    #[error("{} is locked", kind.describe())]
    Locked {
        /// Which place.
        kind: StoreKind,
        /// What it said.
        #[source]
        source: keyring_core::Error,
    },
    /// It did not answer in time.
    #[error("{} did not answer within {} s when asked to {action} the secrets", kind.describe(), limit.as_secs())]
    NoAnswer {
        /// Which place.
        kind: StoreKind,
        /// What was asked of it.
        action: &'static str,
        /// How long it was given.
        limit: Duration,
    },
    /// It answered that it cannot.
    #[error("{} cannot {action} {entry}", kind.describe())]
    Entry {
        /// Which place.
        kind: StoreKind,
        /// What was tried.
        action: &'static str,
        /// Which entry.
        entry: String,
        /// What it said.
        #[source]
        source: keyring_core::Error,
    },
    /// The file in the runtime folder failed.
    #[error("cannot {action} the secrets in {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Whatever is written there may be read from a disk later.
    #[error("the folder {} is not in memory, and secrets are not written to disks", path.display())]
    OnDisk {
        /// The runtime folder.
        path: PathBuf,
    },
    /// What came back is no value that this program stored.
    #[error("what {} keeps as {entry} is not what this program stored", kind.describe())]
    NotASecret {
        /// Which place.
        kind: StoreKind,
        /// Which entry.
        entry: String,
    },
    /// The record of the place cannot be used.
    #[error(transparent)]
    Record(#[from] crate::record::RecordError),
    /// There is no safe folder for a file.
    #[error(transparent)]
    Folder(#[from] crate::paths::FolderError),
    /// The system gives no thread.
    #[error("cannot start a thread for {}", kind.describe())]
    Thread {
        /// Which place.
        kind: StoreKind,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl StoreError {
    /// What to do about it, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Locked { .. } | Self::NoAnswer { .. } => Some(
                "Unlock your keychain, or end the program that provides it, and try again; \
                 `stack-emulator doctor` tells whether it answers.",
            ),
            Self::NotASecret { .. } => {
                Some("`stack-emulator secrets rotate` makes new values, or `stop` and `start` do.")
            }
            Self::Absent { .. } => {
                Some("Start the emulator again: new values go where there is a place for them now.")
            }
            Self::OnDisk { .. } => Some(
                "Unlock your keychain, or have XDG_RUNTIME_DIR name a folder in memory (tmpfs).",
            ),
            Self::Entry { .. }
            | Self::File { .. }
            | Self::Record(_)
            | Self::Folder(_)
            | Self::Thread { .. } => None,
        }
    }
}

/// What tells a home folder from others in the names of entries.
fn home_name(home: &Path) -> String {
    images::Sha256Digest::of(home.as_os_str().as_encoded_bytes()).short()
}

/// A place for the values of an instance. Every call may block.
pub trait SecretStore {
    /// What kind of place this is.
    fn kind(&self) -> StoreKind;
    /// The set in `slot`, if a whole one is there.
    fn load(&self, slot: Slot) -> Result<Option<SecretSet>, StoreError>;
    /// Puts `set` into `slot`, in place of what is there.
    fn save(&self, slot: Slot, set: &SecretSet) -> Result<(), StoreError>;
    /// Empties `slot`.
    fn forget(&self, slot: Slot) -> Result<(), StoreError>;
}

#[cfg(test)]
mod testing {
    //! What every store has to do.

    use super::*;

    pub(super) fn keeps_sets_apart(store: &dyn SecretStore) {
        let (one, two) = (
            SecretSet::generate().unwrap(),
            SecretSet::generate().unwrap(),
        );
        assert_eq!(store.load(Slot::Pending).unwrap(), None);
        store.save(Slot::Pending, &one).unwrap();
        assert_eq!(store.load(Slot::Current).unwrap(), None);
        store.save(Slot::Current, &two).unwrap();
        assert_eq!(store.load(Slot::Pending).unwrap(), Some(one));
        store.save(Slot::Pending, &two).unwrap();
        assert_eq!(store.load(Slot::Pending).unwrap().as_ref(), Some(&two));
        store.forget(Slot::Pending).unwrap();
        store.forget(Slot::Pending).unwrap();
        assert_eq!(store.load(Slot::Pending).unwrap(), None);
        assert_eq!(store.load(Slot::Current).unwrap(), Some(two));
        store.forget(Slot::Current).unwrap();
        assert_eq!(store.load(Slot::Current).unwrap(), None);
    }
}
