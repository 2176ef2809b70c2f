//! Values of environment variables, and what is done about one that cannot be used.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::ops::RangeInclusive;

use super::variables::SettingsError;

/// The variables of an environment.
pub(super) struct Variables<'a>(pub &'a BTreeMap<String, OsString>);

impl Variables<'_> {
    /// An empty value counts as unset, as shells have no other way to say it
    /// for a single command.
    pub(super) fn raw(&self, name: &str) -> Option<&OsString> {
        self.0.get(name).filter(|value| !value.is_empty())
    }

    pub(super) fn invalid(&self, name: &str, expected: &'static str) -> SettingsError {
        let value = self
            .raw(name)
            .map_or_else(String::new, |value| value.to_string_lossy().into_owned());
        SettingsError::Invalid {
            variable: name.to_owned(),
            value,
            expected,
        }
    }

    /// Which of two names of one variable is set: the newer one if both are.
    ///
    /// # Errors
    ///
    /// Both are, and to different values.
    pub(super) fn either<'n>(
        &self,
        newer: &'n str,
        older: &'n str,
    ) -> Result<&'n str, SettingsError> {
        match (self.raw(newer), self.raw(older)) {
            (None, _) => Ok(older),
            (Some(one), Some(two)) if one != two => Err(SettingsError::Differ {
                names: [newer, older].map(str::to_owned),
                values: [one, two].map(|value| value.to_string_lossy().into_owned()),
            }),
            (Some(_), _) => Ok(newer),
        }
    }

    pub(super) fn number<T: TryFrom<u64>>(
        &self,
        name: &str,
        range: RangeInclusive<u64>,
        expected: &'static str,
    ) -> Result<Option<T>, SettingsError> {
        let Some(value) = self.raw(name) else {
            return Ok(None);
        };
        value
            .to_str()
            .and_then(|text| text.parse().ok())
            .filter(|number| range.contains(number))
            .and_then(|number| T::try_from(number).ok())
            .map(Some)
            .ok_or_else(|| self.invalid(name, expected))
    }

    pub(super) fn named<T>(
        &self,
        name: &str,
        expected: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, SettingsError> {
        let Some(value) = self.raw(name) else {
            return Ok(None);
        };
        let value = value.to_str().and_then(read);
        value.map(Some).ok_or_else(|| self.invalid(name, expected))
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, SettingsError> {
        match self.raw(name).map(|value| value.to_str()) {
            None | Some(Some("0" | "false")) => Ok(false),
            Some(Some("1" | "true")) => Ok(true),
            Some(_) => Err(self.invalid(name, "0 or 1")),
        }
    }
}

/// A value that is as if unset where it cannot be used, which is noted.
pub(super) trait OrNote<T> {
    fn or_note(self, invalid: &mut Vec<SettingsError>) -> T;
}

impl<T: Default> OrNote<T> for Result<T, SettingsError> {
    fn or_note(self, invalid: &mut Vec<SettingsError>) -> T {
        self.unwrap_or_else(|error| {
            invalid.push(error);
            T::default()
        })
    }
}
