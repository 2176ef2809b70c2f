//! Whether newer releases of this program are looked for, and in which repository.

use images::github::Repo;

/// Where newer releases of this program are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Updates {
    /// Nowhere.
    Off,
    /// Where this program was released. One that was built from a checkout was released nowhere.
    OfThisRelease,
    /// In this repository, for those who release their own.
    In(Repo),
}

impl Updates {
    /// What a user wrote into the variable.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        match text {
            "off" => Some(Self::Off),
            name => name.parse().ok().map(Self::In),
        }
    }
}
