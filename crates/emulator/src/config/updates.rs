//! Whether newer releases of this program are looked for, and in which repository.
//!
//! That repository has images too: those of the starter.

use images::github::Repo;

/// The repository that this program was released in, as `cargo xtask release --repository` told the compiler. A program that was
/// built from a checkout was released nowhere.
const RELEASED_IN: Option<&str> = option_env!("STACK_EMULATOR_REPOSITORY");

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
    /// The repository to look in; `None` if newer releases are not looked for.
    pub fn repository(&self) -> Option<Repo> {
        match self {
            Self::Off => None,
            Self::OfThisRelease | Self::In(_) => self.own_repository(),
        }
    }

    /// The repository of this program, whether newer releases are looked for or not; `None` if it is not known.
    pub fn own_repository(&self) -> Option<Repo> {
        match self {
            Self::Off | Self::OfThisRelease => RELEASED_IN?.parse().ok(),
            Self::In(repository) => Some(repository.clone()),
        }
    }

    /// What a user wrote into the variable.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        match text {
            "off" => Some(Self::Off),
            name => name.parse().ok().map(Self::In),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_that_was_named_is_the_program_s_own() {
        let named = Updates::from_text("owner/name").unwrap();
        let repository: Repo = "owner/name".parse().unwrap();
        assert_eq!(named.own_repository(), Some(repository.clone()));
        assert_eq!(named.repository(), Some(repository));
        assert_eq!(Updates::Off.repository(), None);
        assert_eq!(
            Updates::Off.own_repository(),
            Updates::OfThisRelease.repository()
        );
        assert_eq!(Updates::from_text("no repository"), None);
    }
}
