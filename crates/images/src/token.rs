//! A GitHub token, as a type that cannot leak by accident.

use std::fmt;

use reqwest::header::HeaderValue;
use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

/// A GitHub token: no `Serialize`, prints as `[redacted]`, wiped when dropped.
#[derive(Clone, ZeroizeOnDrop)]
pub struct Token(String);

impl Token {
    /// Takes a token, without the white space around it; `None` if nothing is
    /// left, or something that no token has.
    pub fn new(mut text: String) -> Option<Self> {
        let trimmed = text.trim();
        // Also what makes it safe in a header.
        let valid = !trimmed.is_empty() && trimmed.bytes().all(|byte| byte.is_ascii_graphic());
        let token = valid.then(|| Self(trimmed.to_owned()));
        text.zeroize();
        token
    }

    /// `text` with `mark` wherever this token stood in it.
    pub fn taken_out_of(&self, text: &str, mark: &str) -> String {
        text.replace(&self.0, mark)
    }

    /// The value of the `Authorization` header.
    pub(crate) fn bearer(&self) -> HeaderValue {
        let text = Zeroizing::new(format!("Bearer {}", self.0));
        // Graphic ASCII always makes a header value.
        let mut value =
            HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""));
        value.set_sensitive(true);
        value
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_token_nor_header_prints_its_value() {
        let token = Token::new(" ghp_secret\n".into()).unwrap();
        assert_eq!(format!("{token:?}"), "[redacted]");
        assert_eq!(token.bearer(), "Bearer ghp_secret");
        assert!(!format!("{:?}", token.bearer()).contains("secret"));
    }

    #[test]
    fn it_can_be_taken_out_of_a_text() {
        let token = Token::new("open".into()).unwrap();
        assert_eq!(token.taken_out_of("open? xopeny", "-"), "-? x-y");
    }

    #[test]
    fn what_no_header_may_hold_is_no_token() {
        for text in ["", " \n", "a b", "a\nInjected: yes", "é"] {
            assert!(Token::new(text.into()).is_none(), "{text:?}");
        }
    }
}
