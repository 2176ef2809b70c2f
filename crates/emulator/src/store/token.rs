//! The user's GitHub token in their keychain, for downloads of artifacts.
//!
//! Only in a keychain: it is worth more than this machine's emulator, so neither
//! the kernel's keyring nor a file is good enough.

use std::sync::Arc;
use std::time::Duration;

use keyring_core::{CredentialStore, Error};

use super::entries::{entry, explain, keychain};
use super::worker::Worker;
use super::{StoreError, StoreKind};
use crate::secret_text::SecretText;

const KIND: StoreKind = StoreKind::Keychain;
const USER: &str = "github-token";
const LABEL: &str = "Stack Emulator: GitHub token";
/// How long the keychain may take, its user's typing of a password included.
const LIMIT: Duration = Duration::from_secs(20);

/// The token, if there is a keychain and it holds one.
///
/// # Errors
///
/// [`StoreError::Locked`], [`StoreError::NoAnswer`] after 20 s, and what the
/// keychain says. That there is no keychain is not one: there is no token then.
pub async fn github_token() -> Result<Option<SecretText>, StoreError> {
    let read = ask("read", |store| {
        match entry(KIND, store, USER, LABEL).and_then(|entry| entry.get_password()) {
            Ok(text) => {
                SecretText::from_text(text)
                    .map(Some)
                    .ok_or_else(|| StoreError::NotASecret {
                        kind: KIND,
                        entry: LABEL.to_owned(),
                    })
            }
            Err(Error::NoEntry) => Ok(None),
            Err(error) => Err(explain(KIND, "read", LABEL, error)),
        }
    });
    match read.await {
        Err(StoreError::Absent { .. }) => Ok(None),
        other => other,
    }
}

/// Keeps `token` in the keychain, in place of the one that is there.
///
/// # Errors
///
/// As [`github_token`], and [`StoreError::Absent`] where there is no keychain:
/// set `GITHUB_TOKEN` there.
pub async fn save_github_token(token: SecretText) -> Result<(), StoreError> {
    ask("store", move |store| {
        entry(KIND, store, USER, LABEL)
            .and_then(|entry| entry.set_password(token.expose()))
            .map_err(|error| explain(KIND, "store", LABEL, error))
    })
    .await
}

/// Removes the token from the keychain; one that is not there is fine.
///
/// # Errors
///
/// As [`save_github_token`].
pub async fn forget_github_token() -> Result<(), StoreError> {
    ask("remove", |store| {
        match entry(KIND, store, USER, LABEL).and_then(|entry| entry.delete_credential()) {
            Ok(()) | Err(Error::NoEntry) => Ok(()),
            Err(error) => Err(explain(KIND, "remove", LABEL, error)),
        }
    })
    .await
}

async fn ask<T: Send + 'static>(
    action: &'static str,
    work: impl FnOnce(&Arc<CredentialStore>) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    Worker::begin(KIND, keychain)?
        .ask(action, LIMIT, work)
        .await
}
