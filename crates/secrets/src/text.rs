//! Text that must not leak: a project's keys, a GitHub token, and at the bottom
//! of [`crate::Secret`] the emulator's own four values.
//!
//! It prints as `[redacted]`, has no `Serialize`, is wiped when it is dropped
//! and compares in constant time.

use std::fmt;

use zeroize::{Zeroize as _, ZeroizeOnDrop};

/// Longest text taken, in bytes. GitHub's tokens have up to 255, keys of the
/// backend some 60.
pub const MAX_BYTES: usize = 1024;

/// Characters besides letters and digits. Each of them is itself wherever a
/// value may end up: in a shell that sources a `.env` file, in a header, in an address.
const PLAIN: &[u8] = b"-._+/=:@%,";

/// One plain word that nobody else may see.
#[derive(Clone, ZeroizeOnDrop)]
pub struct SecretText(String);

impl SecretText {
    /// Takes `text` if it is 1 to [`MAX_BYTES`] ASCII letters, digits and
    /// `-._+/=:@%,`: nothing that a shell, an HTTP header or a `.env` file
    /// could take for something else. The backend gives these values, and it
    /// may be a hostile one.
    pub fn from_text(mut text: String) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || PLAIN.contains(&byte);
        if (1..=MAX_BYTES).contains(&text.len()) && text.bytes().all(plain) {
            Some(Self(text))
        } else {
            text.zeroize();
            None
        }
    }

    /// Takes text of our own making, which is what [`Self::from_text`] asks for.
    pub(crate) fn plain(text: String) -> Self {
        Self(text)
    }

    /// The text itself. Say where it goes at each call.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl PartialEq for SecretText {
    /// Takes the same time wherever the two differ.
    fn eq(&self, other: &Self) -> bool {
        let pairs = self.0.bytes().zip(other.0.bytes());
        self.0.len() == other.0.len() && pairs.fold(0, |seen, (a, b)| seen | (a ^ b)) == 0
    }
}

impl Eq for SecretText {}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl fmt::Display for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_lines_are_taken() {
        for good in [
            "pck_0a",
            "ghp_AbC123",
            "a-b.c/d+e=",
            "http://127.0.0.1:1/%20,@",
        ] {
            assert_eq!(SecretText::from_text(good.into()).unwrap().expose(), good);
        }
        for bad in ["", "ä", "a\u{9b}b", "a\u{202e}b"] {
            assert!(SecretText::from_text(bad.into()).is_none(), "{bad:?}");
        }
        // What steers a shell that sources the file, at any place.
        for bad in " \t\n\0\"'`\\$#;&|<>()*?![]{}^~".chars() {
            for text in [format!("a{bad}b"), format!("{bad}b"), format!("a{bad}")] {
                assert!(SecretText::from_text(text.clone()).is_none(), "{text:?}");
            }
        }
        assert!(SecretText::from_text("x".repeat(MAX_BYTES + 1)).is_none());
    }

    #[test]
    fn it_prints_as_redacted() {
        let text = SecretText::from_text("sesame".into()).unwrap();
        assert_eq!(format!("{text} {text:?}"), "[redacted] [redacted]");
        assert_ne!(text, SecretText::from_text("sesamf".into()).unwrap());
        assert_ne!(text, SecretText::from_text("sesam".into()).unwrap());
    }
}
