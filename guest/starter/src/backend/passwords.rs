//! Passwords: what is kept of them, and how they are compared.
//!
//! bcrypt, as the real backend uses it, so that its hashes can be taken over. The cost is 2^8 rounds where
//! the real one takes 2^10: the machine is emulated on many hosts and then ten to fifteen times slower, and a
//! sign-in has to stay below 0.4 s. What is kept here are test accounts on a developer's own machine.

use std::sync::Arc;

use axum::http::StatusCode;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::error::ApiError;
use crate::{random, report};

/// bcrypt's cost: 2 to the power of this many rounds.
const COST: u32 = 8;
/// Fewest characters of a password.
const MIN_LENGTH: usize = 8;
/// Most bytes of a password; bcrypt looks at 72.
const MAX_LENGTH: usize = 70;
/// Most costly foreign hash that is taken over.
const MAX_FOREIGN_COST: u32 = 12;

/// Where hashes are computed: as many at once as the machine has processors, the others wait, so that
/// requests that need none are answered meanwhile.
#[derive(Debug, Clone)]
pub(super) struct Hasher(Arc<Semaphore>);

impl Hasher {
    pub(super) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Semaphore::new(processors)))
    }

    /// What is kept of a password.
    pub(super) async fn hash(&self, password: &str) -> Result<String, ApiError> {
        let password = Zeroizing::new(password.to_owned());
        let salt = random::bytes::<16>()?;
        self.run(move || {
            bcrypt::hash_with_salt(password.as_bytes(), COST, salt).map(|parts| parts.to_string())
        })
        .await
    }

    /// Whether a password is the one that `hash` was made of. Where there is no hash the answer is no, and
    /// takes as long.
    pub(super) async fn matches(
        &self,
        password: &str,
        hash: Option<&str>,
    ) -> Result<bool, ApiError> {
        // None that can be set is longer, and bcrypt would compare the beginning only.
        let Some(hash) = hash.filter(|_| password.len() <= MAX_LENGTH) else {
            self.hash("").await?;
            return Ok(false);
        };
        let password = Zeroizing::new(password.to_owned());
        let hash = hash.to_owned();
        self.run(move || bcrypt::verify(password.as_bytes(), &hash))
            .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, bcrypt::BcryptError> + Send + 'static,
    ) -> Result<T, ApiError> {
        // The semaphore is never closed.
        let _place = self.0.acquire().await.ok();
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => Err(failed(&error)),
            Err(error) => Err(failed(&error)),
        }
    }
}

fn failed(error: &(dyn std::error::Error + 'static)) -> ApiError {
    report::log("a password could not be hashed", error);
    ApiError::Plain(
        StatusCode::INTERNAL_SERVER_ERROR,
        "The password could not be checked.".to_owned(),
    )
}

/// Refuses passwords that are too short or too long.
pub(super) fn check(password: &str) -> Result<(), ApiError> {
    if password.chars().count() < MIN_LENGTH {
        return Err(ApiError::password_too_short(MIN_LENGTH));
    }
    if password.len() > MAX_LENGTH {
        return Err(ApiError::password_too_long(MAX_LENGTH));
    }
    Ok(())
}

/// Whether a hash that was made elsewhere can be taken over.
pub(super) fn is_hash(text: &str) -> bool {
    text.parse::<bcrypt::HashParts>()
        .is_ok_and(|parts| parts.get_cost() <= MAX_FOREIGN_COST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(future)
    }

    #[test]
    fn a_password_matches_its_hash_and_no_other() {
        block_on(async {
            let hasher = Hasher::new();
            let hash = hasher.hash("Correct-horse-9").await.unwrap();
            assert!(hash.starts_with("$2b$08$"), "{hash}");
            assert!(is_hash(&hash));
            assert!(
                hasher
                    .matches("Correct-horse-9", Some(&hash))
                    .await
                    .unwrap()
            );
            assert!(
                !hasher
                    .matches("correct-horse-9", Some(&hash))
                    .await
                    .unwrap()
            );
            assert!(!hasher.matches("Correct-horse-9", None).await.unwrap());
            // Salts are drawn anew.
            assert_ne!(hasher.hash("Correct-horse-9").await.unwrap(), hash);
        });
    }

    #[test]
    fn what_bcrypt_would_cut_off_does_not_match() {
        block_on(async {
            let hasher = Hasher::new();
            let longest = "é".repeat(MAX_LENGTH / 2);
            assert!(check(&longest).is_ok());
            let hash = hasher.hash(&longest).await.unwrap();
            assert!(hasher.matches(&longest, Some(&hash)).await.unwrap());
            for tail in ["a", "aa", "aaa", "ééé"] {
                let longer = format!("{longest}{tail}");
                assert!(check(&longer).is_err());
                assert!(!hasher.matches(&longer, Some(&hash)).await.unwrap());
            }
        });
    }

    #[test]
    fn only_hashes_of_a_bearable_cost_are_taken_over() {
        assert!(!is_hash(""));
        assert!(!is_hash("$2b$31$......................oo"));
        assert!(!is_hash("Correct-horse-9"));
    }
}
