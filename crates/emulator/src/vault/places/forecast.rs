//! Where a start would put its values, for `doctor`: asked without a start, and without its user.

use secrets::{KeychainError, SecretStore, StoreError, StoreKind};

use super::{Places, both};
use crate::vault::VaultError;

/// Where a start would put values now.
#[derive(Debug)]
pub(crate) struct Forecast {
    pub store: StoreKind,
    /// Why it is not the keychain, where there is one that fails.
    pub keychain: Option<VaultError>,
}

/// Finds the first of `places` that takes new values as it is. The user is asked for nothing, so a keychain that
/// is locked counts as one that fails.
pub(crate) async fn examine(places: Places) -> Result<Forecast, VaultError> {
    let mut keychain = None;
    let mut last = None;
    for candidate in places.candidates {
        let mut opened = candidate.begin()?;
        let work = |store: &dyn SecretStore| {
            store.check()?;
            both(store)
        };
        // What is there already is of no interest.
        match opened.ask("read", work).await.map(drop) {
            Ok(()) => {
                let store = opened.kind;
                return Ok(Forecast { store, keychain });
            }
            // That a host has no keychain is as it is.
            Err(error) if opened.kind == StoreKind::Keychain && !error.is_absent() => {
                keychain = Some(error);
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.or(keychain).unwrap_or_else(|| {
        VaultError::Place(StoreError::Absent {
            kind: StoreKind::RuntimeFile,
            source: KeychainError::NoDefaultStore,
        })
    }))
}
