//! `settings.json`: the choices that outlive a shell, beside those that
//! [`crate::variables`] has for one.

use std::path::PathBuf;

use record::{Durability, Record};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::paths::{Home, make_private_folder};

/// What the user has chosen for all instances.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Preferences {
    /// Most that images, snapshots and archives may take on disk, in bytes;
    /// what was not used for longest goes first. `None`: no limit.
    pub cache_limit_bytes: Option<u64>,
    /// Days after which a snapshot that nobody has used is compressed. `None`: never.
    pub archive_after_days: Option<u32>,
    /// Where images come from unless a pull says otherwise, as `owner/name`.
    pub repository: Option<String>,
    /// The branch whose newest image is pulled unless a pull says otherwise.
    pub branch: Option<String>,
}

impl Record for Preferences {
    const FORMAT: &'static str = "stack-emulator-settings";
    const VERSION: u32 = 1;
}

/// One of [`Preferences`], by the name that users give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preference {
    /// [`Preferences::cache_limit_bytes`].
    CacheLimit,
    /// [`Preferences::archive_after_days`].
    ArchiveAfter,
    /// [`Preferences::repository`].
    Repository,
    /// [`Preferences::branch`].
    Branch,
}

/// A value that a setting cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not {expected}, which the setting {} wants", name.name())]
pub struct InvalidPreference {
    /// The setting.
    pub name: Preference,
    /// What it was to be.
    pub value: String,
    /// What would be valid.
    pub expected: &'static str,
}

impl Preference {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 4] = [
        Self::CacheLimit,
        Self::ArchiveAfter,
        Self::Repository,
        Self::Branch,
    ];

    /// The name that users give.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CacheLimit => "cache-limit",
            Self::ArchiveAfter => "archive-after",
            Self::Repository => "repository",
            Self::Branch => "branch",
        }
    }
}

impl Preferences {
    /// The value of one setting as users write it; `None` if it is not set.
    pub fn get(&self, name: Preference) -> Option<String> {
        match name {
            Preference::CacheLimit => self.cache_limit_bytes.map(size_text),
            Preference::ArchiveAfter => self.archive_after_days.map(|days| days.to_string()),
            Preference::Repository => self.repository.clone(),
            Preference::Branch => self.branch.clone(),
        }
    }

    /// Sets one setting from what a user wrote; `None` unsets it.
    pub fn set(&mut self, name: Preference, value: Option<&str>) -> Result<(), InvalidPreference> {
        let invalid = |expected| InvalidPreference {
            name,
            value: value.unwrap_or_default().to_owned(),
            expected,
        };
        match name {
            Preference::CacheLimit => {
                let parse =
                    |text| parse_size(text).ok_or_else(|| invalid("a size such as 20GB or 500MiB"));
                self.cache_limit_bytes = value.map(parse).transpose()?;
            }
            Preference::ArchiveAfter => {
                let days = |text: &str| text.parse().ok().filter(|days| (1..=3650).contains(days));
                let parse =
                    |text| days(text).ok_or_else(|| invalid("a number of days between 1 and 3650"));
                self.archive_after_days = value.map(parse).transpose()?;
            }
            Preference::Repository => {
                let parse = |text: &str| match text.parse::<images::github::Repo>() {
                    Ok(repository) => Ok(repository.to_string()),
                    Err(_) => Err(invalid("a repository as owner/name")),
                };
                self.repository = value.map(parse).transpose()?;
            }
            Preference::Branch => {
                let plain = |text: &&str| {
                    !text.is_empty()
                        && !text.contains(|c: char| c.is_whitespace() || c.is_control())
                };
                let parse = |text| {
                    Some(text)
                        .filter(plain)
                        .map(ToOwned::to_owned)
                        .ok_or_else(|| invalid("the name of a branch"))
                };
                self.branch = value.map(parse).transpose()?;
            }
        }
        Ok(())
    }

    /// Reads the settings of `home`; those that were never set are not set.
    pub fn read(home: &Home) -> Result<Self, Error> {
        Ok(record::read_optional(&path(home))?.unwrap_or_default())
    }

    /// Writes the settings of `home`.
    pub fn write(&self, home: &Home) -> Result<(), Error> {
        make_private_folder(home.path())?;
        Ok(record::write(&path(home), self, Durability::PowerCut)?)
    }
}

fn path(home: &Home) -> PathBuf {
    home.path().join("settings.json")
}

/// Units of sizes, the longest spelling of each first.
const UNITS: [(&str, u64); 9] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

/// A size in bytes from a whole number and a unit, such as `20GB`.
pub fn parse_size(text: &str) -> Option<u64> {
    // So that a unit in other letters has the same number of bytes.
    let text = Some(text.trim()).filter(|text| text.is_ascii())?;
    let lower = text.to_ascii_lowercase();
    let (unit, factor) = UNITS
        .iter()
        .find(|(unit, _)| lower.ends_with(&unit.to_ascii_lowercase()))?;
    let number = text[..text.len() - unit.len()].trim_end();
    // `u64::from_str` would take a plus sign.
    number
        .bytes()
        .all(|digit| digit.is_ascii_digit())
        .then(|| number.parse::<u64>().ok()?.checked_mul(*factor))
        .flatten()
}

/// A size in the largest unit that shows it exactly.
fn size_text(bytes: u64) -> String {
    let exact = |(_, factor): &&(&str, u64)| bytes >= *factor && bytes.is_multiple_of(*factor);
    let unit = UNITS.iter().filter(exact).max_by_key(|(_, factor)| *factor);
    match unit {
        Some((unit, factor)) => format!("{}{unit}", bytes / factor),
        None => format!("{bytes}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_size_is_read_as_it_is_shown(bytes: u64) {
            prop_assert_eq!(parse_size(&size_text(bytes)), Some(bytes));
        }

        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = parse_size(&text);
            let mut preferences = Preferences::default();
            for name in Preference::ALL {
                let set = preferences.set(name, Some(&text));
                prop_assert_eq!(preferences.get(name).is_some(), set.is_ok());
            }
        }
    }

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [
            ("20GB", Some(20_000_000_000)),
            ("20 gb", Some(20_000_000_000)),
            ("512MiB", Some(512 << 20)),
            ("7B", Some(7)),
            ("0B", Some(0)),
            ("7", None),
            ("GB", None),
            ("+7GB", None),
            ("-1GB", None),
            ("1.5GB", None),
            ("99999999999TB", None),
        ] {
            assert_eq!(parse_size(text), bytes, "{text}");
        }
    }

    #[test]
    fn what_is_set_is_kept_and_a_mistake_names_the_setting() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path().join("home"));
        let mut preferences = Preferences::read(&home).unwrap();
        assert_eq!(preferences, Preferences::default());
        preferences
            .set(Preference::CacheLimit, Some("20GB"))
            .unwrap();
        preferences
            .set(Preference::ArchiveAfter, Some("14"))
            .unwrap();
        preferences
            .set(Preference::Repository, Some("hexclave/hexclave"))
            .unwrap();
        preferences.set(Preference::Branch, Some("main")).unwrap();
        preferences.write(&home).unwrap();
        assert_eq!(Preferences::read(&home).unwrap(), preferences);
        preferences.set(Preference::ArchiveAfter, None).unwrap();
        assert_eq!(preferences.archive_after_days, None);

        for (name, value) in [
            (Preference::CacheLimit, "lots"),
            (Preference::ArchiveAfter, "0"),
            (Preference::Repository, "nothing"),
            (Preference::Branch, "a b"),
        ] {
            let error = preferences.set(name, Some(value)).unwrap_err().to_string();
            assert!(
                error.contains(name.name()) && error.contains(value),
                "{error}"
            );
        }
    }
}
