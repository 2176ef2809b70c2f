//! The user's GitHub token in their keychain, for downloads of artifacts.
//!
//! Only in a keychain: it is worth more than this machine's emulator, so neither
//! the kernel's keyring nor a file is good enough.

use std::time::Duration;

use secrets::{EntryName, Keychain, SecretText, StoreError, StoreKind};

use super::VaultError;
use super::worker::Worker;

const KIND: StoreKind = StoreKind::Keychain;
/// How long the keychain may take, its user's typing of a password included.
const LIMIT: Duration = Duration::from_secs(20);

fn name() -> EntryName {
    EntryName {
        user: "github-token".to_owned(),
        label: "Stack Emulator: GitHub token".to_owned(),
    }
}

/// The token, if there is a keychain and it holds one.
///
/// # Errors
///
/// [`StoreError::Locked`], [`VaultError::NoAnswer`] after 20 s, and what the
/// keychain says. That there is no keychain is not one: there is no token then.
pub async fn github_token() -> Result<Option<SecretText>, VaultError> {
    let read = ask("read", |keychain| {
        let Some(text) = keychain.read(&name())? else {
            return Ok(None);
        };
        SecretText::from_text(text)
            .map(Some)
            .ok_or_else(|| StoreError::NotASecret {
                kind: KIND,
                entry: name().label,
            })
    });
    match read.await {
        Err(error) if error.is_absent() => Ok(None),
        other => other,
    }
}

/// Keeps `token` in the keychain, in place of the one that is there.
///
/// # Errors
///
/// As [`github_token`], and [`StoreError::Absent`] where there is no keychain:
/// set `GITHUB_TOKEN` there.
pub async fn save_github_token(token: SecretText) -> Result<(), VaultError> {
    ask("store", move |keychain| {
        keychain.store(&name(), token.expose())
    })
    .await
}

/// Removes the token from the keychain; one that is not there is fine.
///
/// # Errors
///
/// As [`save_github_token`].
pub async fn forget_github_token() -> Result<(), VaultError> {
    ask("remove", |keychain| keychain.remove(&name())).await
}

async fn ask<T: Send + 'static>(
    action: &'static str,
    work: impl FnOnce(&Keychain) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, VaultError> {
    Worker::begin(KIND, || Ok(Keychain::open()?))?
        .ask(action, LIMIT, work)
        .await
}
