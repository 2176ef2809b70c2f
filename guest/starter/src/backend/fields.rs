//! Reading the entries of a request's body or query, with the real backend's words for what is wrong.
//!
//! What was not asked for by the time of [`Fields::finish`] is an error: a misspelt name shows at once.

use std::{cell::RefCell, collections::BTreeSet};

use serde_json::{Map, Value};

use super::{config::Config, error::ApiError};

/// Longest text in an entry, in bytes. Images come as text, hence so much.
const MAX_EMAIL: usize = 256;

/// What is to become of a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Patch<T> {
    /// It stays: the entry is not there.
    #[default]
    Keep,
    /// It goes: the entry is `null`.
    Clear,
    /// It becomes this.
    Set(T),
}

impl<T> Patch<T> {
    /// Whether it does not stay.
    pub(super) fn is_change(&self) -> bool {
        !matches!(self, Self::Keep)
    }

    /// The new value, if there is one.
    pub(super) fn value(self) -> Option<T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Keep | Self::Clear => None,
        }
    }
}

impl Patch<String> {
    /// Borrows the new value.
    pub(super) fn as_str(&self) -> Patch<&str> {
        match self {
            Self::Keep => Patch::Keep,
            Self::Clear => Patch::Clear,
            Self::Set(value) => Patch::Set(value),
        }
    }
}

/// The entries of one part of a request.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    endpoint: &'a str,
    part: &'static str,
    entries: &'a Map<String, Value>,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Fields<'a> {
    /// The entries of the part that errors call `part`.
    pub(super) fn new(
        endpoint: &'a str,
        part: &'static str,
        entries: &'a Map<String, Value>,
    ) -> Self {
        Self {
            endpoint,
            part,
            entries,
            asked: RefCell::default(),
        }
    }

    fn entry(&self, name: &'static str) -> Option<&'a Value> {
        self.asked.borrow_mut().insert(name);
        self.entries.get(name)
    }

    fn fault(&self, text: &str) -> ApiError {
        ApiError::schema(self.endpoint, text)
    }

    fn wrong_type(&self, name: &str, kind: &str, value: &Value) -> ApiError {
        self.fault(&format!(
            "{}.{name} must be a `{kind}` type, but the final value was: `{value}`.",
            self.part
        ))
    }

    fn missing(&self, name: &str) -> ApiError {
        self.fault(&format!("{}.{name} must be defined", self.part))
    }

    /// Takes note of an entry that makes no difference here.
    pub(super) fn ignore(&self, name: &'static str) {
        self.asked.borrow_mut().insert(name);
    }

    /// A text that may be taken away.
    pub(super) fn patch_text(&self, name: &'static str) -> Result<Patch<&'a str>, ApiError> {
        match self.entry(name) {
            None => Ok(Patch::Keep),
            Some(Value::Null) => Ok(Patch::Clear),
            Some(Value::String(text)) if text.contains('\0') => Err(self.has_nul(name)),
            Some(Value::String(text)) => Ok(Patch::Set(text)),
            Some(other) => Err(self.wrong_type(name, "string", other)),
        }
    }

    fn has_nul(&self, name: &str) -> ApiError {
        self.fault(&format!(
            "{}.{name} must not contain the character NUL",
            self.part
        ))
    }

    /// A text that may be left out.
    pub(super) fn optional_text(&self, name: &'static str) -> Result<Option<&'a str>, ApiError> {
        Ok(self.patch_text(name)?.value())
    }

    /// A text.
    pub(super) fn text(&self, name: &'static str) -> Result<&'a str, ApiError> {
        self.optional_text(name)?.ok_or_else(|| self.missing(name))
    }

    /// A mail address that may be taken away, in the form in which it is kept.
    pub(super) fn patch_email(&self, name: &'static str) -> Result<Patch<String>, ApiError> {
        let given = match self.patch_text(name)? {
            Patch::Keep => return Ok(Patch::Keep),
            Patch::Clear => return Ok(Patch::Clear),
            Patch::Set(given) => given,
        };
        normalise_email(given)
            .map(Patch::Set)
            .ok_or_else(|| self.fault(&format!("{}.{name} must be a valid email", self.part)))
    }

    /// A mail address in the form in which it is kept.
    pub(super) fn email(&self, name: &'static str) -> Result<String, ApiError> {
        self.patch_email(name)?
            .value()
            .ok_or_else(|| self.missing(name))
    }

    /// A code from a mail; in lower case, though people may have typed it otherwise.
    pub(super) fn code(&self) -> Result<String, ApiError> {
        let given = self.text("code")?;
        if given.chars().count() == 45 {
            return Ok(given.to_lowercase());
        }
        Err(self.fault(&format!("{}.code must be exactly 45 characters", self.part)))
    }

    /// Where a link is to lead.
    pub(super) fn callback(&self, name: &'static str, config: &Config) -> Result<String, ApiError> {
        let url = self.text(name)?;
        if config.is_trusted(url) {
            Ok(url.to_owned())
        } else {
            Err(ApiError::redirect_url_not_whitelisted())
        }
    }

    /// A switch. Queries have it as text.
    pub(super) fn flag(&self, name: &'static str) -> Result<Option<bool>, ApiError> {
        match self.entry(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(Value::String(text)) if self.part == "query" && text == "true" => Ok(Some(true)),
            Some(Value::String(text)) if self.part == "query" && text == "false" => Ok(Some(false)),
            Some(other) => Err(self.wrong_type(name, "boolean", other)),
        }
    }

    /// A whole number that may be left out. Queries have it as text.
    pub(super) fn number(&self, name: &'static str) -> Result<Option<i64>, ApiError> {
        let value = match self.entry(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(value) => value,
        };
        let number = match value {
            Value::String(text) if self.part == "query" => text.parse().ok(),
            other => other.as_i64(),
        };
        number
            .map(Some)
            .ok_or_else(|| self.wrong_type(name, "number", value))
    }

    /// A list of texts that may be left out.
    pub(super) fn texts(&self, name: &'static str) -> Result<Option<Vec<String>>, ApiError> {
        let value = match self.entry(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(value) => value,
        };
        let list = value.as_array().and_then(|list| {
            list.iter()
                .map(|text| text.as_str().filter(|text| !text.contains('\0')))
                .map(|text| text.map(str::to_owned))
                .collect()
        });
        list.map(Some)
            .ok_or_else(|| self.wrong_type(name, "array", value))
    }

    /// Whether there is an entry that is not `null`.
    pub(super) fn is_there(&self, name: &'static str) -> bool {
        self.entry(name).is_some_and(|value| !value.is_null())
    }

    /// Data of the app's own, which may be taken away.
    pub(super) fn metadata(&self, name: &'static str) -> Result<Patch<&'a Value>, ApiError> {
        match self.entry(name) {
            None => Ok(Patch::Keep),
            Some(Value::Null) => Ok(Patch::Clear),
            // Postgres keeps all JSON but this character.
            Some(value) if value.to_string().contains("\\u0000") => Err(self.has_nul(name)),
            Some(value) => Ok(Patch::Set(value)),
        }
    }

    /// Refuses what was not asked for.
    pub(super) fn finish(&self) -> Result<(), ApiError> {
        let asked = self.asked.borrow();
        let unknown: Vec<&str> = self
            .entries
            .keys()
            .map(String::as_str)
            .filter(|name| !asked.contains(name))
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        Err(self.fault(&format!(
            "{} contains unknown properties: {}",
            self.part,
            unknown.join(", ")
        )))
    }
}

/// The form in which addresses are kept and compared. `None` for what cannot be one.
pub(crate) fn normalise_email(given: &str) -> Option<String> {
    let email = given.trim().to_lowercase();
    let (name, domain) = email.rsplit_once('@')?;
    let is_one = !name.is_empty()
        && !domain.is_empty()
        && email.len() <= MAX_EMAIL
        && !domain.starts_with('.')
        && !domain.ends_with('.')
        && !name.contains('@')
        && !email
            .contains(|c: char| c.is_whitespace() || c.is_control() || "<>()[]\\,;:\"".contains(c));
    is_one.then_some(email)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn message(error: ApiError) -> String {
        match error {
            ApiError::Known { message, .. } | ApiError::Plain(_, message) => message,
        }
    }

    #[test]
    fn absent_null_and_wrong_are_told_apart() {
        let body = json!({ "name": null, "text": "t", "count": 3, "odd": [] });
        let fields = Fields::new("POST /x", "body", body.as_object().unwrap());
        assert_eq!(fields.patch_text("absent").unwrap(), Patch::Keep);
        assert_eq!(fields.patch_text("name").unwrap(), Patch::Clear);
        assert_eq!(fields.text("text").unwrap(), "t");
        assert_eq!(fields.number("count").unwrap(), Some(3));
        assert_eq!(
            message(fields.text("absent").unwrap_err()),
            "Request validation failed on POST /x:\n  - body.absent must be defined"
        );
        assert!(message(fields.text("count").unwrap_err()).contains("`string` type"));
        assert!(message(fields.finish().unwrap_err()).ends_with("unknown properties: odd"));
        fields.ignore("odd");
        assert!(fields.finish().is_ok());
    }

    #[test]
    fn texts_that_the_database_cannot_keep_are_refused() {
        let body = json!({ "a": "x\0y", "b": { "c": ["\0"] } });
        let fields = Fields::new("POST /x", "body", body.as_object().unwrap());
        assert!(fields.text("a").is_err());
        assert!(fields.metadata("b").is_err());
    }

    #[test]
    fn addresses_are_kept_in_one_form() {
        assert_eq!(
            normalise_email(" A@Example.COM ").as_deref(),
            Some("a@example.com")
        );
        for wrong in [
            "",
            "a",
            "@b.c",
            "a@",
            "a b@c.d",
            "a@b@c.d",
            "a@.b",
            "a@b\r\nBcc: c@d",
        ] {
            assert_eq!(normalise_email(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_kept_address_stays_as_it_is(given in ".{0,20}@?.{0,20}") {
            if let Some(kept) = normalise_email(&given) {
                prop_assert_eq!(normalise_email(&kept), Some(kept.clone()));
                prop_assert!(!kept.contains(['\r', '\n']));
            }
        }
    }
}
