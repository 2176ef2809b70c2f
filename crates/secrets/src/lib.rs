//! Values that must not leak, and the places of a host that keep them.
//!
//! [`SecretText`] is one such value; a [`SecretSet`] holds the four of a running
//! emulator. A [`SecretStore`] keeps up to three sets of one [`Owner`]: the one in
//! force, the one that is on its way into the guest, and the one that a machine
//! prepared for the next start holds.
//!
//! | place | what keeps it | until |
//! |---|---|---|
//! | [`KeychainEntries`] | Secret Service on Linux, Keychain on macOS, Credential Manager on Windows | they are removed |
//! | `KernelKeyring` | Linux alone: the kernel, in memory | the user's last process ends |
//! | [`RuntimeFile`] | a file of mode 0600 in a folder that the caller chooses | it is removed |
//!
//! Every call here may block for as long as the program behind it likes. Time
//! limits and the choice among the places are the engine's.
//!
//! Unlike the engine, which needs Unix sockets, this crate builds for Windows too.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod entries;
#[cfg(target_os = "linux")]
mod kernel_keyring;
mod keychain;
mod runtime_file;
mod set;
mod text;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use entries::KeychainEntries;
#[cfg(target_os = "linux")]
pub use kernel_keyring::KernelKeyring;
pub use keychain::{EntryName, Keychain};
pub use keyring_core::Error as KeychainError;
pub use runtime_file::RuntimeFile;
pub use set::{Secret, SecretName, SecretSet};
pub use text::{MAX_BYTES, SecretText};

/// Whose values: an instance in a home folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The instance's name.
    pub instance: String,
    /// Tells its home folder from the user's others, which may have an instance
    /// of the same name.
    pub home: String,
}

/// Which of an owner's sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The values that the guest holds, proved.
    Current,
    /// Values on their way into the guest.
    Pending,
    /// The values of a machine that was prepared for the next start, proved. Nothing answers to
    /// them until that start.
    Next,
}

impl Slot {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Current, Self::Pending, Self::Next];

    /// The word for it in names of entries and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Pending => "pending",
            Self::Next => "next",
        }
    }
}

/// What kind of place values are kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
#[serde(rename_all = "snake_case")]
pub enum StoreKind {
    /// The user's keychain: Secret Service, Keychain or Credential Manager.
    Keychain,
    /// The kernel's keyring: in memory, gone at reboot.
    KernelKeyring,
    /// A file of mode 0600.
    RuntimeFile,
}

impl StoreKind {
    /// The place, as the object of a sentence.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Keychain => "your keychain",
            Self::KernelKeyring => "the kernel keyring",
            Self::RuntimeFile if cfg!(target_os = "linux") => "a file in memory",
            Self::RuntimeFile => "a file readable by you alone",
        }
    }
}

/// A place refused or failed. No message and no source holds a value.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such place on this host.
    #[error("{} is not there", kind.describe())]
    Absent {
        /// Which place.
        kind: StoreKind,
        /// What came of looking for it.
        #[source]
        source: KeychainError,
    },
    /// The keychain is locked, and nobody unlocked it.
    #[error("{} is locked", kind.describe())]
    Locked {
        /// Which place.
        kind: StoreKind,
        /// What it said.
        #[source]
        source: KeychainError,
    },
    /// The keychain has no keyring that new entries go into.
    #[error("{} has no default keyring to store secrets in", kind.describe())]
    NoKeyring {
        /// Which place.
        kind: StoreKind,
        /// What it said.
        #[source]
        source: KeychainError,
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
        source: KeychainError,
    },
    /// The file failed.
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
    /// What came back is no value that this program stored.
    #[error("what {} keeps as {entry} is not what this program stored", kind.describe())]
    NotASecret {
        /// Which place.
        kind: StoreKind,
        /// Which entry.
        entry: String,
    },
}

/// A place for the values of one [`Owner`]. Every call may block.
pub trait SecretStore {
    /// What kind of place this is.
    fn kind(&self) -> StoreKind;
    /// Whether it takes new values as it is, without its user being asked for anything.
    fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }
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

    /// An owner that nobody else is: keychain and keyring are the user's own.
    pub(crate) fn stranger() -> Owner {
        Owner {
            instance: "test".to_owned(),
            home: Secret::generate().unwrap().expose()[..12].to_owned(),
        }
    }

    pub(crate) fn keeps_sets_apart(store: &dyn SecretStore) {
        let (one, two) = (
            SecretSet::generate().unwrap(),
            SecretSet::generate().unwrap(),
        );
        assert_eq!(store.load(Slot::Pending).unwrap(), None);
        store.save(Slot::Pending, &one).unwrap();
        assert_eq!(store.load(Slot::Current).unwrap(), None);
        store.save(Slot::Current, &two).unwrap();
        assert_eq!(store.load(Slot::Pending).unwrap().as_ref(), Some(&one));
        store.save(Slot::Pending, &two).unwrap();
        assert_eq!(store.load(Slot::Pending).unwrap().as_ref(), Some(&two));
        assert_eq!(store.load(Slot::Next).unwrap(), None);
        store.save(Slot::Next, &one).unwrap();
        store.forget(Slot::Pending).unwrap();
        store.forget(Slot::Pending).unwrap();
        assert_eq!(store.load(Slot::Pending).unwrap(), None);
        assert_eq!(store.load(Slot::Current).unwrap(), Some(two));
        assert_eq!(store.load(Slot::Next).unwrap(), Some(one));
        store.forget(Slot::Next).unwrap();
        assert_eq!(store.load(Slot::Next).unwrap(), None);
        store.forget(Slot::Current).unwrap();
        assert_eq!(store.load(Slot::Current).unwrap(), None);
    }
}
