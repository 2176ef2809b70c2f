//! PKCE (RFC 7636) with the method S256: who redeems an authorization code proves that they asked for it.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use sha2::{Digest as _, Sha256};

use crate::random::{self, RandomError};

/// The one method that is offered.
pub const METHOD: &str = "S256";
/// Characters of a challenge: 256 bits in base 64.
const CHALLENGE: usize = 43;
/// Characters that a verifier may have.
const VERIFIER: std::ops::RangeInclusive<usize> = 43..=128;

/// A verifier of 256 random bits.
///
/// # Errors
/// When the kernel gives no random bytes.
pub fn verifier() -> Result<String, RandomError> {
    Ok(Base64UrlUnpadded::encode_string(&random::bytes::<32>()?))
}

/// The challenge that belongs to a verifier.
#[must_use]
pub fn challenge_of(verifier: &str) -> String {
    Base64UrlUnpadded::encode_string(&Sha256::digest(verifier.as_bytes()))
}

/// Whether a text can be a challenge.
#[must_use]
pub fn is_challenge(text: &str) -> bool {
    text.len() == CHALLENGE && text.bytes().all(is_base64_url)
}

/// Whether a verifier is one, and the one of this challenge.
#[must_use]
pub fn matches(verifier: &str, challenge: &str) -> bool {
    let is_one = VERIFIER.contains(&verifier.len())
        && verifier
            .bytes()
            .all(|byte| is_base64_url(byte) || matches!(byte, b'.' | b'~'));
    is_one && challenge_of(verifier) == challenge
}

fn is_base64_url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_example_of_the_standard_holds() {
        // RFC 7636, appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert_eq!(challenge_of(verifier), challenge);
        assert!(matches(verifier, challenge));
    }

    #[test]
    fn fresh_verifiers_can_be_used_and_differ() {
        let (one, other) = (verifier().unwrap(), verifier().unwrap());
        assert!(matches(&one, &challenge_of(&one)));
        assert!(!matches(&other, &challenge_of(&one)));
    }

    #[test]
    fn what_the_standard_does_not_allow_matches_nothing() {
        for wrong in [
            "a".repeat(42),
            "a".repeat(129),
            "a".repeat(42) + "é",
            "a".repeat(42) + "+",
            String::new(),
        ] {
            assert!(!matches(&wrong, &challenge_of(&wrong)), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn only_its_own_verifier_matches(one in "[A-Za-z0-9._~-]{43,128}", other in "[A-Za-z0-9._~-]{43,128}") {
            let challenge = challenge_of(&one);
            prop_assert!(is_challenge(&challenge));
            prop_assert!(matches(&one, &challenge));
            prop_assert_eq!(matches(&other, &challenge), one == other);
        }

        #[test]
        fn any_text_is_handled(text in ".{0,140}", challenge in ".{0,50}") {
            let is_own = challenge_of(&text) == challenge;
            prop_assert!(!matches(&text, &challenge) || is_own);
            prop_assert!(!is_challenge(&challenge) || challenge.len() == CHALLENGE);
        }
    }
}
