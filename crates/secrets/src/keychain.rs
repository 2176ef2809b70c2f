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

    /// Whether it takes new entries as it is. Nobody is asked to unlock it.
    ///
    /// Entries that are not there say nothing of it: they are not there in a locked keyring either. Only the
    /// Secret Service can be asked; on other systems this succeeds.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`], [`StoreError::NoKeyring`], and [`StoreError::Entry`] for what else it says.
    #[cfg(target_os = "linux")]
    pub fn check(&self) -> Result<(), StoreError> {
        use secret_service::EncryptionType;
        use secret_service::blocking::SecretService;

        // No value crosses this connection.
        let service = SecretService::connect(EncryptionType::Plain).map_err(explain_check)?;
        let keyring = service.get_default_collection().map_err(explain_check)?;
        keyring.ensure_unlocked().map_err(explain_check)
    }

    /// Whether it takes new entries as it is: only the Secret Service can be asked.
    ///
    /// # Errors
    ///
    /// None.
    #[cfg(not(target_os = "linux"))]
    pub fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// The text that is kept as `name`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`], [`StoreError::NoKeyring`], [`StoreError::NotASecret`] if it is no text, and
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
        Error::NoStorageAccess(said) if is_about_no_keyring(said.as_ref()) => {
            let source = Error::NoStorageAccess(said);
            StoreError::NoKeyring { kind: KIND, source }
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

/// Whether that is how the Secret Service says that it has no default keyring.
#[cfg(target_os = "linux")]
fn is_about_no_keyring(said: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    let said = said.downcast_ref::<secret_service::Error>();
    matches!(said, Some(secret_service::Error::NoResult))
}

#[cfg(not(target_os = "linux"))]
fn is_about_no_keyring(_: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    false
}

/// What a check came to.
#[cfg(target_os = "linux")]
fn explain_check(error: secret_service::Error) -> StoreError {
    let kind = KIND;
    match error {
        secret_service::Error::Locked => StoreError::Locked {
            kind,
            source: Error::NoStorageAccess(Box::new(error)),
        },
        secret_service::Error::NoResult => StoreError::NoKeyring {
            kind,
            source: Error::NoStorageAccess(Box::new(error)),
        },
        other => StoreError::Entry {
            kind,
            action: "name",
            entry: "its default keyring".to_owned(),
            source: Error::PlatformFailure(Box::new(other)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_locked_keyring_and_none_are_told_apart() {
        use secret_service::Error::{Locked, NoResult, Prompt};

        let name = EntryName {
            user: "key".to_owned(),
            label: "A key".to_owned(),
        };
        let stored = |said| explain("store", &name, Error::NoStorageAccess(Box::new(said)));
        for error in [stored(NoResult), explain_check(NoResult)] {
            assert!(matches!(error, StoreError::NoKeyring { .. }), "{error:?}");
        }
        for error in [stored(Locked), stored(Prompt), explain_check(Locked)] {
            assert!(matches!(error, StoreError::Locked { .. }), "{error:?}");
        }
    }

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
