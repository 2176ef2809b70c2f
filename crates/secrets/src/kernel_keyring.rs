//! Values in the kernel's keyring of this user: in memory alone, and no program
//! to be asked for them.
//!
//! It is the *user's* keyring, which is there for as long as the user has a
//! process, and so for as long as the VM can. A session's keyring ends with its
//! login, and the next login would find something else under the same name.

use linux_keyutils::{Key, KeyError, KeyRing, KeyRingIdentifier};
use zeroize::Zeroizing;

use crate::{Owner, SecretSet, SecretStore, Slot, StoreError, StoreKind};

const KIND: StoreKind = StoreKind::KernelKeyring;

/// One key a slot, with all four values: whole or not there at all.
pub struct KernelKeyring {
    user: KeyRing,
    owner: Owner,
}

impl KernelKeyring {
    /// The keyring with the values of `owner`, for use in the calling thread alone.
    ///
    /// # Errors
    ///
    /// [`StoreError::Absent`] if the kernel refuses keyrings, as in some containers.
    pub fn open(owner: Owner) -> Result<Self, StoreError> {
        let open = || {
            let user = KeyRing::from_special_id(KeyRingIdentifier::User, true)?;
            // A key may be read by any process that gets to it from a keyring of its own,
            // and not every login's leads to that of the user.
            KeyRing::from_special_id(KeyRingIdentifier::Thread, true)?.link_keyring(user)?;
            Ok(user)
        };
        let user = open().map_err(|error| StoreError::Absent {
            kind: KIND,
            source: platform(error),
        })?;
        Ok(Self { user, owner })
    }

    fn key(&self, slot: Slot) -> String {
        let Owner { instance, home } = &self.owner;
        format!("Stack Emulator: {instance}/{}/{home}", slot.name())
    }

    fn find(&self, slot: Slot) -> Result<Option<Key>, KeyError> {
        match self.user.search(&self.key(slot)) {
            Ok(key) => Ok(Some(key)),
            Err(KeyError::KeyDoesNotExist | KeyError::KeyRevoked | KeyError::KeyExpired) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn failed(&self, action: &'static str, slot: Slot) -> impl FnOnce(KeyError) -> StoreError {
        let entry = self.key(slot);
        move |error| StoreError::Entry {
            kind: KIND,
            action,
            entry,
            source: platform(error),
        }
    }
}

fn platform(error: KeyError) -> keyring_core::Error {
    keyring_core::Error::PlatformFailure(Box::new(error))
}

impl SecretStore for KernelKeyring {
    fn kind(&self) -> StoreKind {
        KIND
    }

    fn load(&self, slot: Slot) -> Result<Option<SecretSet>, StoreError> {
        let read = || self.find(slot)?.map(|key| key.read_to_vec()).transpose();
        let Some(bytes) = read().map_err(self.failed("read", slot))? else {
            return Ok(None);
        };
        let bytes = Zeroizing::new(bytes);
        let set = std::str::from_utf8(&bytes)
            .ok()
            .and_then(SecretSet::from_lines);
        set.map(Some).ok_or_else(|| StoreError::NotASecret {
            kind: KIND,
            entry: self.key(slot),
        })
    }

    fn save(&self, slot: Slot, set: &SecretSet) -> Result<(), StoreError> {
        // A key of that name takes the new content.
        self.user
            .add_key(&self.key(slot), set.to_lines().as_bytes())
            .map(drop)
            .map_err(self.failed("store", slot))
    }

    fn forget(&self, slot: Slot) -> Result<(), StoreError> {
        let remove = || match self.find(slot)? {
            Some(key) => self.user.unlink_key(key),
            None => Ok(()),
        };
        remove().map_err(self.failed("remove", slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{keeps_sets_apart, stranger};

    fn open(owner: &Owner) -> KernelKeyring {
        KernelKeyring::open(owner.clone()).expect("this kernel offers keyrings")
    }

    #[test]
    fn the_kernel_keyring_keeps_values() {
        keeps_sets_apart(&open(&stranger()));
    }

    #[test]
    fn another_thread_finds_what_one_that_ended_has_stored() {
        let owner = stranger();
        let set = SecretSet::generate().unwrap();
        std::thread::scope(|scope| {
            let save = scope.spawn(|| open(&owner).save(Slot::Current, &set));
            save.join().unwrap().unwrap();
        });
        let elsewhere = open(&stranger());
        assert_eq!(elsewhere.load(Slot::Current).unwrap(), None);
        let here = open(&owner);
        assert_eq!(here.load(Slot::Current).unwrap(), Some(set));
        here.forget(Slot::Current).unwrap();
    }
}
