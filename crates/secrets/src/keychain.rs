//! The system's keychain: text under names that a person can read.

use std::collections::HashMap;
use std::sync::Arc;

use keyring_core::{CredentialStore, Entry, Error};
use zeroize::Zeroize as _;

use crate::{StoreError, StoreKind};

/// What the entries of this program are filed under, where they have labels beside that.
const SERVICE: &str = "Stack Emulator";
const KIND: StoreKind = StoreKind::Keychain;

/// What an entry is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryName {
    /// For programs: tells it from all others of this program.
    pub user: String,
    /// For people, where the keychain shows labels.
    pub label: String,
}

/// The user's keychain.
pub struct Keychain(Arc<CredentialStore>);

impl Keychain {
    /// Finds it.
    ///
    /// On Linux this asks the session bus for a Secret Service, which may start one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Absent`] if there is none.
    pub fn open() -> Result<Self, StoreError> {
        #[cfg(target_os = "linux")]
        let opened = zbus_secret_service_keyring_store::Store::new().map(|store| store as _);
        #[cfg(target_os = "macos")]
        let opened = apple_native_keyring_store::keychain::Store::new().map(|store| store as _);
        #[cfg(windows)]
        let opened = windows_native_keyring_store::Store::new().map(|store| store as _);
        #[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
        let opened = Err(Error::NoDefaultStore);
        opened
            .map(Self)
            .map_err(|source| StoreError::Absent { kind: KIND, source })
    }

    /// The text that is kept as `name`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`], [`StoreError::NotASecret`] if it is no text, and
    /// [`StoreError::Entry`] for what else the keychain says.
    pub fn read(&self, name: &EntryName) -> Result<Option<String>, StoreError> {
        match self.entry(name).and_then(|entry| entry.get_password()) {
            Ok(text) => Ok(Some(text)),
            Err(Error::NoEntry) => Ok(None),
            Err(error) => Err(explain("read", name, error)),
        }
    }

    /// Keeps `text` as `name`, in place of what is there.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn store(&self, name: &EntryName, text: &str) -> Result<(), StoreError> {
        self.entry(name)
            .and_then(|entry| entry.set_password(text))
            .map_err(|error| explain("store", name, error))
    }

    /// Removes the entry; one that is not there is fine.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn remove(&self, name: &EntryName) -> Result<(), StoreError> {
        match self.entry(name).and_then(|entry| entry.delete_credential()) {
            Ok(()) | Err(Error::NoEntry) => Ok(()),
            Err(error) => Err(explain("remove", name, error)),
        }
    }

    fn entry(&self, name: &EntryName) -> Result<Entry, Error> {
        // The Secret Service has labels. On macOS the service is what Keychain Access shows as an item's name,
        // and what a prompt calls it.
        let labels = HashMap::from([("label", name.label.as_str())]);
        let modifiers = cfg!(target_os = "linux").then_some(&labels);
        let service = if cfg!(target_os = "macos") {
            &name.label
        } else {
            SERVICE
        };
        self.0.build(service, &name.user, modifiers)
    }
}

/// Sorts out what a keychain says, and keeps what it may hold of a value out of it.
fn explain(action: &'static str, name: &EntryName, error: Error) -> StoreError {
    let entry = name.label.clone();
    match error {
        Error::BadEncoding(mut bytes) | Error::BadDataFormat(mut bytes, _) => {
            bytes.zeroize();
            StoreError::NotASecret { kind: KIND, entry }
        }
        source @ Error::NoStorageAccess(_) => StoreError::Locked { kind: KIND, source },
        source => StoreError::Entry {
            kind: KIND,
            action,
            entry,
            source,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_a_bad_entry_are_in_no_error() {
        let name = EntryName {
            user: "key".to_owned(),
            label: "A key".to_owned(),
        };
        for error in [
            Error::BadEncoding(b"sesame".to_vec()),
            Error::BadDataFormat(b"sesame".to_vec(), "x".into()),
        ] {
            let error = explain("read", &name, error);
            let shown = format!("{error} {error:?}");
            assert!(matches!(error, StoreError::NotASecret { .. }));
            assert!(
                !shown.contains("sesame") && !shown.contains("115, 101"),
                "{shown}"
            );
        }
    }

    /// Linux has no keychain of which it is known that it is there and unlocked;
    /// the end-to-end tests bring one.
    #[cfg(any(windows, target_os = "macos"))]
    #[test]
    fn the_system_s_keychain_keeps_text() {
        let keychain = Keychain::open().unwrap();
        let name = EntryName {
            user: format!("test/{}", crate::testing::stranger().home),
            label: "A test".to_owned(),
        };
        assert_eq!(keychain.read(&name).unwrap(), None);
        keychain.store(&name, "sesame").unwrap();
        keychain.store(&name, "sesame, open").unwrap();
        assert_eq!(
            keychain.read(&name).unwrap().as_deref(),
            Some("sesame, open")
        );
        keychain.remove(&name).unwrap();
        keychain.remove(&name).unwrap();
        assert_eq!(keychain.read(&name).unwrap(), None);
    }
}
