//! Where the four values of a running instance are kept on the host.
//!
//! Never in a file on disk: the kernel's keyring holds them for as long as the
//! VM can live, and where the kernel refuses keyrings (some containers do), a
//! file in the user's runtime folder, which is memory-backed, holds them with
//! a warning. [`SecretStore`] is injectable so that tests can make it fail.
//!
//! Order matters. New values are put under [`Slot::Pending`] before the guest
//! holds them, and become [`Slot::Current`] once they are proved; a crash in
//! between leaves both sets, and one of them is the guest's.

use std::path::{Path, PathBuf};

use crate::paths::InstanceName;
use crate::secret::{Secret, SecretName, SecretSet};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreKind {
    /// The kernel's keyring: in memory, gone at reboot.
    KernelKeyring,
    /// A file of mode 0600 in the runtime folder.
    RuntimeFile,
    /// This process's memory, for tests.
    Memory,
}

/// The store refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The kernel's keyring failed.
    #[cfg(target_os = "linux")]
    #[error("the kernel keyring cannot {action} {name}")]
    Keyring {
        /// What was tried.
        action: &'static str,
        /// Which value.
        name: &'static str,
        /// What the keyring said.
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
    /// What came back is no value that this program stored.
    #[error(
        "the stored value of {0} is not one that this program stored; `stack-emulator stop` and `start` make new ones"
    )]
    NotASecret(&'static str),
}

/// A place for the values of an instance.
pub trait SecretStore: Send + Sync {
    /// What kind of place this is.
    fn kind(&self) -> StoreKind;
    /// The set in `slot`, if a whole one is there.
    fn load(&self, slot: Slot) -> Result<Option<SecretSet>, StoreError>;
    /// Puts `set` into `slot`, in place of what is there.
    fn save(&self, slot: Slot, set: &SecretSet) -> Result<(), StoreError>;
    /// Empties `slot`.
    fn forget(&self, slot: Slot) -> Result<(), StoreError>;
}

/// The best store that this host offers for `instance` of the home folder `home`.
///
/// `runtime_folder` is where the fallback keeps its file.
pub fn open(home: &Path, instance: &InstanceName, runtime_folder: &Path) -> Box<dyn SecretStore> {
    #[cfg(target_os = "linux")]
    match keyring::KernelKeyring::open(home, instance) {
        Ok(store) => return Box::new(store),
        Err(error) => {
            tracing::debug!(%error, "no kernel keyring; values are kept in the runtime folder");
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (home, instance);
    Box::new(RuntimeFile {
        folder: runtime_folder.to_owned(),
    })
}

#[cfg(target_os = "linux")]
mod keyring {
    //! The kernel keyring of the user.

    use std::sync::Arc;

    use keyring_core::api::CredentialStoreApi as _;
    use keyring_core::{Entry, Error};

    use super::{
        InstanceName, Path, Secret, SecretName, SecretSet, SecretStore, Slot, StoreError, StoreKind,
    };

    /// One entry per instance and value.
    pub(super) struct KernelKeyring {
        store: Arc<linux_keyutils_keyring_store::Store>,
        prefix: String,
    }

    impl KernelKeyring {
        pub(super) fn open(home: &Path, instance: &InstanceName) -> Result<Self, Error> {
            use std::os::unix::ffi::OsStrExt as _;
            let store = linux_keyutils_keyring_store::Store::new()?;
            // Two home folders of one user have instances of the same name.
            let home = images::Sha256Digest::of(home.as_os_str().as_bytes()).short();
            let prefix = format!("{home}/{instance}");
            let opened = Self { store, prefix };
            // The store opens even where the kernel refuses keys; ask for one.
            match opened.entry(Slot::Current, SecretName::Pck)?.get_password() {
                Ok(_) | Err(Error::NoEntry) => Ok(opened),
                Err(error) => Err(error),
            }
        }

        fn entry(&self, slot: Slot, name: SecretName) -> Result<Entry, Error> {
            let user = format!("{}/{}/{}", self.prefix, slot.name(), name.short());
            self.store.build("stack-emulator", &user, None)
        }
    }

    impl SecretStore for KernelKeyring {
        fn kind(&self) -> StoreKind {
            StoreKind::KernelKeyring
        }

        fn load(&self, slot: Slot) -> Result<Option<SecretSet>, StoreError> {
            let set = SecretSet::try_from_fn(|name| {
                let error = |source| StoreError::Keyring {
                    action: "read",
                    name: name.short(),
                    source,
                };
                match self
                    .entry(slot, name)
                    .and_then(|entry| entry.get_password())
                {
                    Ok(text) => {
                        Secret::from_text(text).ok_or(Some(StoreError::NotASecret(name.short())))
                    }
                    Err(Error::NoEntry) => Err(None),
                    Err(source) => Err(Some(error(source))),
                }
            });
            match set {
                Ok(set) => Ok(Some(set)),
                Err(None) => Ok(None),
                Err(Some(error)) => Err(error),
            }
        }

        fn save(&self, slot: Slot, set: &SecretSet) -> Result<(), StoreError> {
            SecretName::ALL.into_iter().try_for_each(|name| {
                self.entry(slot, name)
                    .and_then(|entry| entry.set_password(set.get(name).expose()))
                    .map_err(|source| StoreError::Keyring {
                        action: "store",
                        name: name.short(),
                        source,
                    })
            })
        }

        fn forget(&self, slot: Slot) -> Result<(), StoreError> {
            SecretName::ALL.into_iter().try_for_each(|name| {
                match self
                    .entry(slot, name)
                    .and_then(|entry| entry.delete_credential())
                {
                    Ok(()) | Err(Error::NoEntry) => Ok(()),
                    Err(source) => Err(StoreError::Keyring {
                        action: "remove",
                        name: name.short(),
                        source,
                    }),
                }
            })
        }
    }
}

/// A file of mode 0600 in the runtime folder, which is gone at reboot.
struct RuntimeFile {
    folder: PathBuf,
}

impl RuntimeFile {
    fn path(&self, slot: Slot) -> PathBuf {
        self.folder.join(format!("secrets.{}", slot.name()))
    }
}

impl SecretStore for RuntimeFile {
    fn kind(&self) -> StoreKind {
        StoreKind::RuntimeFile
    }

    fn load(&self, slot: Slot) -> Result<Option<SecretSet>, StoreError> {
        let path = self.path(slot);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => zeroize::Zeroizing::new(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(StoreError::File {
                    action: "read",
                    path,
                    source,
                });
            }
        };
        let mut lines = text.lines();
        SecretSet::try_from_fn(|name| {
            lines
                .next()
                .and_then(|line| Secret::from_text(line.to_owned()))
                .ok_or(StoreError::NotASecret(name.short()))
        })
        .map(Some)
    }

    fn save(&self, slot: Slot, set: &SecretSet) -> Result<(), StoreError> {
        let path = self.path(slot);
        let mut text = zeroize::Zeroizing::new(String::with_capacity(4 * 65));
        for name in SecretName::ALL {
            text.push_str(set.get(name).expose());
            text.push('\n');
        }
        crate::record::replace(&path, text.as_bytes(), crate::record::Durability::ThisBoot).map_err(
            |source| StoreError::File {
                action: "store",
                path,
                source,
            },
        )
    }

    fn forget(&self, slot: Slot) -> Result<(), StoreError> {
        let path = self.path(slot);
        crate::record::remove_file(&path).map_err(|source| StoreError::File {
            action: "remove",
            path,
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeps_values_apart(store: &dyn SecretStore) {
        let (one, two) = (
            SecretSet::generate().unwrap(),
            SecretSet::generate().unwrap(),
        );
        assert_eq!(store.load(Slot::Pending).unwrap(), None);
        store.save(Slot::Pending, &one).unwrap();
        assert_eq!(store.load(Slot::Current).unwrap(), None);
        store.save(Slot::Current, &two).unwrap();
        assert_eq!(store.load(Slot::Pending).unwrap(), Some(one));
        store.forget(Slot::Pending).unwrap();
        store.forget(Slot::Pending).unwrap();
        assert_eq!(store.load(Slot::Pending).unwrap(), None);
        assert_eq!(store.load(Slot::Current).unwrap(), Some(two));
        store.forget(Slot::Current).unwrap();
    }

    #[test]
    fn a_runtime_file_is_the_user_s_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let store = RuntimeFile {
            folder: dir.path().to_owned(),
        };
        keeps_values_apart(&store);
        store
            .save(Slot::Current, &SecretSet::placeholders())
            .unwrap();
        let mode = std::fs::metadata(store.path(Slot::Current))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_file_is_an_error_that_shows_nothing_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = RuntimeFile {
            folder: dir.path().to_owned(),
        };
        std::fs::write(store.path(Slot::Current), "sesame\n").unwrap();
        let error = store.load(Slot::Current).unwrap_err().to_string();
        assert!(
            error.contains("pck") && !error.contains("sesame"),
            "{error}"
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernel_keyring_keeps_values() {
        let dir = tempfile::tempdir().unwrap();
        let store = keyring::KernelKeyring::open(dir.path(), &InstanceName::default())
            .expect("this kernel offers keyrings");
        keeps_values_apart(&store);
    }
}
