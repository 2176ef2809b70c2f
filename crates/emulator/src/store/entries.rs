//! Values as entries of the system's keychain.
//!
//! The values in force are one entry each, so that a person who opens their
//! keychain sees what is there; those on their way into the guest are one entry
//! together, which is there for a second and is whole or not there at all.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use keyring_core::{CredentialStore, Entry, Error};
use zeroize::{Zeroize as _, Zeroizing};

use super::{SecretStore, Slot, StoreError, StoreKind};
use crate::paths::InstanceName;
use crate::secret::{Secret, SecretName, SecretSet};

/// What the entries of this program are filed under.
pub(super) const SERVICE: &str = "Stack Emulator";

/// The entries of one instance.
pub(super) struct Entries {
    kind: StoreKind,
    store: Arc<CredentialStore>,
    instance: InstanceName,
    /// Two home folders of one user have instances of the same name.
    home: String,
}

/// The system's keychain.
///
/// On Linux this asks the session bus for a Secret Service, which may start one.
pub(super) fn keychain() -> Result<Arc<CredentialStore>, StoreError> {
    #[cfg(target_os = "linux")]
    let opened = zbus_secret_service_keyring_store::Store::new().map(|store| store as _);
    #[cfg(target_os = "macos")]
    let opened = apple_native_keyring_store::keychain::Store::new().map(|store| store as _);
    #[cfg(windows)]
    let opened = windows_native_keyring_store::Store::new().map(|store| store as _);
    #[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
    let opened = Err(Error::NoDefaultStore);
    opened.map_err(|source| StoreError::Absent {
        kind: StoreKind::Keychain,
        source,
    })
}

/// One entry of `store`, with the label that a person sees.
pub(super) fn entry(
    kind: StoreKind,
    store: &Arc<CredentialStore>,
    user: &str,
    label: &str,
) -> Result<Entry, Error> {
    // The Secret Service has labels; elsewhere service and user are shown.
    let labels = HashMap::from([("label", label)]);
    let modifiers = (kind == StoreKind::Keychain && cfg!(target_os = "linux")).then_some(&labels);
    store.build(SERVICE, user, modifiers)
}

/// Sorts out what a store says, and keeps what it may hold of a value out of it.
pub(super) fn explain(
    kind: StoreKind,
    action: &'static str,
    label: &str,
    error: Error,
) -> StoreError {
    let entry = label.to_owned();
    match error {
        Error::BadEncoding(mut bytes) | Error::BadDataFormat(mut bytes, _) => {
            bytes.zeroize();
            StoreError::NotASecret { kind, entry }
        }
        source @ Error::NoStorageAccess(_) => StoreError::Locked { kind, source },
        source => StoreError::Entry {
            kind,
            action,
            entry,
            source,
        },
    }
}

impl Entries {
    pub(super) fn new(
        kind: StoreKind,
        store: Arc<CredentialStore>,
        home: &Path,
        instance: &InstanceName,
    ) -> Self {
        Self {
            kind,
            store,
            instance: instance.clone(),
            home: super::home_name(home),
        }
    }

    fn user(&self, what: &str) -> String {
        format!("{}/{what}/{}", self.instance, self.home)
    }

    fn label(&self, what: &str) -> String {
        format!("Stack Emulator ({}): {what}", self.instance)
    }

    fn current(&self, name: SecretName) -> (String, String) {
        (self.user(name.short()), self.label(name.describe()))
    }

    fn pending(&self) -> (String, String) {
        let label = self.label("values of a start that is under way");
        (self.user(Slot::Pending.name()), label)
    }

    fn get(&self, (user, label): &(String, String)) -> Result<Option<String>, StoreError> {
        let got = entry(self.kind, &self.store, user, label).and_then(|entry| entry.get_password());
        match got {
            Ok(text) => Ok(Some(text)),
            Err(Error::NoEntry) => Ok(None),
            Err(error) => Err(explain(self.kind, "read", label, error)),
        }
    }

    fn set(&self, (user, label): &(String, String), text: &str) -> Result<(), StoreError> {
        entry(self.kind, &self.store, user, label)
            .and_then(|entry| entry.set_password(text))
            .map_err(|error| explain(self.kind, "store", label, error))
    }

    fn delete(&self, (user, label): &(String, String)) -> Result<(), StoreError> {
        let deleted =
            entry(self.kind, &self.store, user, label).and_then(|entry| entry.delete_credential());
        match deleted {
            Ok(()) | Err(Error::NoEntry) => Ok(()),
            Err(error) => Err(explain(self.kind, "remove", label, error)),
        }
    }
}

impl SecretStore for Entries {
    fn kind(&self) -> StoreKind {
        self.kind
    }

    fn load(&self, slot: Slot) -> Result<Option<SecretSet>, StoreError> {
        let not_ours = |label: &str| StoreError::NotASecret {
            kind: self.kind,
            entry: label.to_owned(),
        };
        match slot {
            Slot::Current => {
                let set = SecretSet::try_from_fn(|name| {
                    let key = self.current(name);
                    let text = self.get(&key).map_err(Some)?.ok_or(None)?;
                    Secret::from_text(text).ok_or_else(|| Some(not_ours(&key.1)))
                });
                match set {
                    Ok(set) => Ok(Some(set)),
                    Err(None) => Ok(None),
                    Err(Some(error)) => Err(error),
                }
            }
            Slot::Pending => {
                let key = self.pending();
                let Some(text) = self.get(&key)?.map(Zeroizing::new) else {
                    return Ok(None);
                };
                let set = SecretSet::from_lines(&text).ok_or_else(|| not_ours(&key.1))?;
                Ok(Some(set))
            }
        }
    }

    fn save(&self, slot: Slot, set: &SecretSet) -> Result<(), StoreError> {
        match slot {
            Slot::Current => SecretName::ALL
                .into_iter()
                .try_for_each(|name| self.set(&self.current(name), set.get(name).expose())),
            Slot::Pending => self.set(&self.pending(), &set.to_lines()),
        }
    }

    fn forget(&self, slot: Slot) -> Result<(), StoreError> {
        match slot {
            Slot::Current => SecretName::ALL
                .into_iter()
                .try_for_each(|name| self.delete(&self.current(name))),
            Slot::Pending => self.delete(&self.pending()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_a_bad_entry_are_in_no_error() {
        for error in [
            Error::BadEncoding(b"sesame".to_vec()),
            Error::BadDataFormat(b"sesame".to_vec(), "x".into()),
        ] {
            let error = explain(StoreKind::Keychain, "read", "key", error);
            let shown = format!("{error} {error:?}");
            assert!(matches!(error, StoreError::NotASecret { .. }));
            assert!(
                !shown.contains("sesame") && !shown.contains("115, 101"),
                "{shown}"
            );
        }
    }
}
