//! The sets as entries of the keychain.
//!
//! The values in force are one entry each, so that a person who opens their
//! keychain sees what is there; those on their way into the guest are one entry
//! together, which is there for a second and is whole or not there at all, and so
//! are those of a prepared start.
//!
//! macOS asks the user for each entry that another program has made, be it the
//! app or the command line of the same version: there, those in force are one
//! entry as well.

use zeroize::Zeroizing;

use crate::{
    EntryName, Keychain, Owner, Secret, SecretName, SecretSet, SecretStore, Slot, StoreError,
    StoreKind,
};

/// Whether the values in force are one entry each.
const ONE_EACH: bool = !cfg!(target_os = "macos");

/// The entries of one owner.
pub struct KeychainEntries {
    keychain: Keychain,
    owner: Owner,
}

impl KeychainEntries {
    /// Those of `owner` in `keychain`.
    pub const fn new(keychain: Keychain, owner: Owner) -> Self {
        Self { keychain, owner }
    }

    fn name(&self, what: &str, described: &str) -> EntryName {
        let Owner { instance, home } = &self.owner;
        EntryName {
            user: format!("{instance}/{what}/{home}"),
            label: format!("Stack Emulator ({instance}): {described}"),
        }
    }

    fn current(&self, name: SecretName) -> EntryName {
        self.name(name.short(), name.describe())
    }

    fn together(&self, slot: Slot) -> EntryName {
        let described = match slot {
            Slot::Current => "values in use",
            Slot::Pending => "values of a start that is under way",
            Slot::Next => "values of the next start",
        };
        self.name(slot.name(), described)
    }
}

fn not_ours(name: EntryName) -> StoreError {
    StoreError::NotASecret {
        kind: StoreKind::Keychain,
        entry: name.label,
    }
}

impl SecretStore for KeychainEntries {
    fn kind(&self) -> StoreKind {
        StoreKind::Keychain
    }

    fn check(&self) -> Result<(), StoreError> {
        self.keychain.check()
    }

    fn load(&self, slot: Slot) -> Result<Option<SecretSet>, StoreError> {
        match slot {
            Slot::Current if ONE_EACH => {
                let set = SecretSet::try_from_fn(|name| {
                    let name = self.current(name);
                    let text = self.keychain.read(&name).map_err(Some)?.ok_or(None)?;
                    Secret::from_text(text).ok_or_else(|| Some(not_ours(name)))
                });
                match set {
                    Ok(set) => Ok(Some(set)),
                    Err(None) => Ok(None),
                    Err(Some(error)) => Err(error),
                }
            }
            Slot::Current | Slot::Pending | Slot::Next => {
                let name = self.together(slot);
                let Some(text) = self.keychain.read(&name)?.map(Zeroizing::new) else {
                    return Ok(None);
                };
                SecretSet::from_lines(&text)
                    .map(Some)
                    .ok_or_else(|| not_ours(name))
            }
        }
    }

    fn save(&self, slot: Slot, set: &SecretSet) -> Result<(), StoreError> {
        match slot {
            Slot::Current if ONE_EACH => SecretName::ALL.into_iter().try_for_each(|name| {
                self.keychain
                    .store(&self.current(name), set.get(name).expose())
            }),
            Slot::Current | Slot::Pending | Slot::Next => {
                self.keychain.store(&self.together(slot), &set.to_lines())
            }
        }
    }

    fn forget(&self, slot: Slot) -> Result<(), StoreError> {
        match slot {
            Slot::Current if ONE_EACH => SecretName::ALL
                .into_iter()
                .try_for_each(|name| self.keychain.remove(&self.current(name))),
            Slot::Current | Slot::Pending | Slot::Next => {
                self.keychain.remove(&self.together(slot))
            }
        }
    }
}

/// As for [`Keychain`]: elsewhere the end-to-end tests bring a keychain.
#[cfg(all(test, any(windows, target_os = "macos")))]
mod tests {
    use super::*;

    #[test]
    fn the_system_s_keychain_keeps_values() {
        let keychain = Keychain::open().unwrap();
        let entries = KeychainEntries::new(keychain, crate::testing::stranger());
        crate::testing::keeps_sets_apart(&entries);
    }
}
