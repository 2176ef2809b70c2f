//! The four secrets of a running emulator, as a type that cannot leak by accident.
//!
//! A [`Secret`] is a [`SecretText`] of one shape: no `Serialize`, prints as
//! `[redacted]`, is wiped when it is dropped and compares in constant time. The
//! value leaves it only through [`Secret::expose`], which is easy to search for.

use std::fmt;

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::text::SecretText;

/// Hex characters in a value: 256 bits.
const LENGTH: usize = 64;

/// Which of the four values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
#[serde(rename_all = "snake_case")]
pub enum SecretName {
    /// Publishable client key.
    Pck,
    /// Secret server key.
    Ssk,
    /// Super secret admin key.
    Sak,
    /// The secret that cron requests carry.
    Cron,
}

impl SecretName {
    /// All four, in the contract's order.
    pub const ALL: [Self; 4] = [Self::Pck, Self::Ssk, Self::Sak, Self::Cron];

    /// The short name that users type.
    pub const fn short(self) -> &'static str {
        match self {
            Self::Pck => "pck",
            Self::Ssk => "ssk",
            Self::Sak => "sak",
            Self::Cron => "cron",
        }
    }

    /// What it is, for people.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Pck => "publishable client key",
            Self::Ssk => "secret server key",
            Self::Sak => "super secret admin key",
            Self::Cron => "cron secret",
        }
    }

    /// The variable's name inside the guest.
    pub const fn variable(self) -> &'static str {
        match self {
            Self::Pck => "STACK_SEED_INTERNAL_PROJECT_PUBLISHABLE_CLIENT_KEY",
            Self::Ssk => "STACK_SEED_INTERNAL_PROJECT_SECRET_SERVER_KEY",
            Self::Sak => "STACK_SEED_INTERNAL_PROJECT_SUPER_SECRET_ADMIN_KEY",
            Self::Cron => "CRON_SECRET",
        }
    }

    /// The value baked into every image; public knowledge, and refused by the
    /// guest once rotated.
    pub fn placeholder(self) -> Secret {
        let last = match self {
            Self::Pck => "f",
            Self::Ssk => "e",
            Self::Sak => "d",
            Self::Cron => "c",
        };
        Secret(SecretText::plain(
            "0".repeat(LENGTH / 2) + &last.repeat(LENGTH / 2),
        ))
    }
}

/// One value: 64 lower-case hex characters.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(SecretText);

impl Secret {
    /// A fresh value from the operating system's random source.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new([0u8; LENGTH / 2]);
        getrandom::fill(bytes.as_mut())?;
        let mut text = String::with_capacity(LENGTH);
        for byte in bytes.iter() {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from_digit(nibble.into(), 16).unwrap_or('0'));
            }
        }
        Ok(Self(SecretText::plain(text)))
    }

    /// Takes a value back from where it was kept; `None` if it is not one.
    pub fn from_text(text: String) -> Option<Self> {
        let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        SecretText::from_text(text)
            .filter(|text| text.expose().len() == LENGTH && text.expose().bytes().all(digit))
            .map(Self)
    }

    /// The value itself. Say where it goes at each call.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// All four values of one start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretSet {
    pck: Secret,
    ssk: Secret,
    sak: Secret,
    cron: Secret,
}

impl SecretSet {
    /// Makes a set by asking `value` for each.
    pub fn try_from_fn<E>(
        mut value: impl FnMut(SecretName) -> Result<Secret, E>,
    ) -> Result<Self, E> {
        Ok(Self {
            pck: value(SecretName::Pck)?,
            ssk: value(SecretName::Ssk)?,
            sak: value(SecretName::Sak)?,
            cron: value(SecretName::Cron)?,
        })
    }

    /// Four fresh values.
    pub fn generate() -> Result<Self, getrandom::Error> {
        Self::try_from_fn(|_| Secret::generate())
    }

    /// The values baked into every image.
    pub fn placeholders() -> Self {
        Self {
            pck: SecretName::Pck.placeholder(),
            ssk: SecretName::Ssk.placeholder(),
            sak: SecretName::Sak.placeholder(),
            cron: SecretName::Cron.placeholder(),
        }
    }

    /// The value called `name`.
    pub fn get(&self, name: SecretName) -> &Secret {
        match name {
            SecretName::Pck => &self.pck,
            SecretName::Ssk => &self.ssk,
            SecretName::Sak => &self.sak,
            SecretName::Cron => &self.cron,
        }
    }

    /// The four values as lines, for stores that keep them together.
    pub fn to_lines(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(4 * (LENGTH + 1)));
        for name in SecretName::ALL {
            text.push_str(self.get(name).expose());
            text.push('\n');
        }
        text
    }

    /// Tells this set from every other, in 16 hex characters that say nothing of its values: a digest
    /// of 1024 random bits. For records of saved state, which hold no value.
    pub fn mark(&self) -> String {
        use sha2::Digest as _;
        let digest = sha2::Sha256::digest(self.to_lines().as_bytes());
        let mut text = format!("{digest:x}");
        text.truncate(16);
        text
    }

    /// Takes back what [`SecretSet::to_lines`] made.
    pub fn from_lines(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let set = Self::try_from_fn(|_| {
            lines
                .next()
                .and_then(|line| Secret::from_text(line.to_owned()))
                .ok_or(())
        });
        set.ok().filter(|_| lines.next().is_none())
    }

    /// The `NAME=value` lines that the guest's rotation reads on its standard input.
    pub fn to_rotation_input(&self) -> Zeroizing<Vec<u8>> {
        let mut lines = Zeroizing::new(Vec::with_capacity(4 * 128));
        for name in SecretName::ALL {
            lines.extend_from_slice(name.variable().as_bytes());
            lines.push(b'=');
            lines.extend_from_slice(self.get(name).expose().as_bytes());
            lines.push(b'\n');
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_tells_sets_apart_and_shows_no_value() {
        let (one, two) = (
            SecretSet::generate().unwrap(),
            SecretSet::generate().unwrap(),
        );
        assert_eq!(one.mark(), one.clone().mark());
        assert_ne!(one.mark(), two.mark());
        assert_eq!(one.mark().len(), 16);
        for name in SecretName::ALL {
            assert!(!one.get(name).expose().contains(&one.mark()));
        }
    }

    #[test]
    fn placeholders_are_the_contract_s() {
        let set = SecretSet::placeholders();
        for (name, last) in SecretName::ALL.into_iter().zip(["f", "e", "d", "c"]) {
            assert_eq!(set.get(name).expose(), "0".repeat(32) + &last.repeat(32));
        }
    }

    #[test]
    fn nothing_prints_a_value() {
        let set = SecretSet::generate().unwrap();
        let printed = format!(
            "{set:?} {} {:?}",
            set.get(SecretName::Ssk),
            set.get(SecretName::Cron)
        );
        for name in SecretName::ALL {
            assert!(!printed.contains(set.get(name).expose()));
        }
        assert!(printed.contains("[redacted]"));
    }

    #[test]
    fn fresh_values_are_valid_and_differ() {
        let (one, two) = (Secret::generate().unwrap(), Secret::generate().unwrap());
        assert_ne!(one, two);
        assert_eq!(Secret::from_text(one.expose().to_owned()), Some(one));
        for bad in ["", "xyz", &"A".repeat(64), &"0".repeat(63)] {
            assert!(Secret::from_text(bad.to_owned()).is_none());
        }
    }

    #[test]
    fn lines_are_taken_back_whole_or_not_at_all() {
        let set = SecretSet::generate().unwrap();
        let text = set.to_lines();
        assert_eq!(SecretSet::from_lines(&text), Some(set));
        assert_eq!(SecretSet::from_lines(&text[..text.len() - 2]), None);
        assert_eq!(SecretSet::from_lines(&format!("{}x\n", *text)), None);
    }

    #[test]
    fn rotation_input_is_four_lines() {
        let input = SecretSet::placeholders().to_rotation_input();
        let text = std::str::from_utf8(&input).unwrap();
        assert_eq!(text.lines().count(), 4);
        assert!(text.starts_with("STACK_SEED_INTERNAL_PROJECT_PUBLISHABLE_CLIENT_KEY=0000"));
        assert!(text.ends_with("cccc\n"));
    }
}
