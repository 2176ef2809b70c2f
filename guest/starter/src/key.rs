//! One rotated secret: 64 lower-case hex characters that never show up in a log.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Length of every rotated secret in characters (256 bits as hex).
pub const KEY_LENGTH: usize = 64;

/// A secret of exactly [`KEY_LENGTH`] lower-case hex characters, wiped from memory when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Key([u8; KEY_LENGTH]);

/// Why a text is not a [`Key`]. Says how it is wrong, never what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not [`KEY_LENGTH`] characters.
    #[error("must be {KEY_LENGTH} characters long, but has {0}")]
    Length(usize),
    /// A character outside `0-9a-f`; the position counts from 1.
    #[error("must be lower-case hex, but character {0} is not")]
    NotHex(usize),
}

impl Key {
    /// Checks and takes over the bytes of a secret.
    ///
    /// # Errors
    /// [`KeyError`] when the text is not 64 lower-case hex characters.
    pub fn parse(text: &[u8]) -> Result<Self, KeyError> {
        let bytes: [u8; KEY_LENGTH] = text.try_into().map_err(|_| KeyError::Length(text.len()))?;
        match bytes
            .iter()
            .position(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        {
            Some(index) => Err(KeyError::NotHex(index + 1)),
            None => Ok(Self(bytes)),
        }
    }

    /// The placeholder baked into images: 32 zeros, then 32 times `digit`.
    const fn placeholder(digit: u8) -> Self {
        let mut bytes = [b'0'; KEY_LENGTH];
        let mut index = KEY_LENGTH / 2;
        while index < KEY_LENGTH {
            bytes[index] = digit;
            index += 1;
        }
        Self(bytes)
    }

    /// The publishable client key that every image is built with.
    pub const fn placeholder_pck() -> Self {
        Self::placeholder(b'f')
    }

    /// The characters of the secret, for writing it where it belongs.
    pub fn expose(&self) -> &str {
        // `parse` let only ASCII in, so the fallback is never taken.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The same characters as bytes.
    pub fn expose_bytes(&self) -> &[u8; KEY_LENGTH] {
        &self.0
    }

    /// Compares without telling by its duration how much of the guess was right.
    pub fn matches(&self, guess: &[u8]) -> bool {
        guess.len() == KEY_LENGTH
            && self
                .0
                .iter()
                .zip(guess)
                .fold(0, |difference, (a, b)| difference | (a ^ b))
                == 0
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.matches(&other.0)
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn placeholder_is_the_one_of_the_contract() {
        assert_eq!(
            Key::placeholder_pck().expose(),
            "00000000000000000000000000000000ffffffffffffffffffffffffffffffff"
        );
    }

    #[test]
    fn debug_is_redacted() {
        assert_eq!(format!("{:?}", Key::placeholder_pck()), "Key(..)");
    }

    #[test]
    fn upper_case_is_refused() {
        let text = format!("{}F", "0".repeat(63));
        assert_eq!(Key::parse(text.as_bytes()), Err(KeyError::NotHex(64)));
    }

    proptest! {
        #[test]
        fn accepts_exactly_what_the_contract_says(text in "[0-9a-fA-F]{62,66}") {
            let right = text.len() == 64 && !text.bytes().any(|byte| byte.is_ascii_uppercase());
            prop_assert_eq!(Key::parse(text.as_bytes()).is_ok(), right);
        }

        #[test]
        fn matches_only_itself(a in "[0-9a-f]{64}", b in "[0-9a-f]{64}") {
            let key = Key::parse(a.as_bytes()).unwrap();
            prop_assert!(key.matches(a.as_bytes()));
            prop_assert_eq!(key.matches(b.as_bytes()), a == b);
        }
    }
}
