//! What a rotation is given on its standard input: four `NAME=value` lines.

use std::io::{self, Read};

use zeroize::Zeroizing;

use crate::{
    env_file::{self, EnvFileError},
    key::{Key, KeyError},
    secrets::{CRON, PCK, SAK, SSK, Secrets},
};

/// The largest input in bytes; four lines have under 500.
const MAX_INPUT: usize = 4096;

/// Why the input was refused. Never contains any of it but known names.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The input could not be read.
    #[error("cannot read standard input")]
    Read(#[source] io::Error),
    /// More than [`MAX_INPUT`] bytes.
    #[error("the input is larger than {MAX_INPUT} bytes; expected four NAME=value lines")]
    TooLarge,
    /// Not `NAME=value` lines.
    #[error("the input is not four NAME=value lines")]
    Format(#[from] EnvFileError),
    /// A name that is none of the four; entries count from 1.
    #[error("entry {0} has a name that is not one of {PCK}, {SSK}, {SAK} and {CRON}")]
    UnknownName(usize),
    /// One of the four is not there.
    #[error("{0} is missing; all four secrets are rotated together")]
    Missing(&'static str),
    /// A value is no key.
    #[error("the value of {name} is no secret")]
    Value {
        /// The variable.
        name: &'static str,
        /// Why.
        source: KeyError,
    },
}

/// Reads the four secrets to come, to the end of the input.
///
/// # Errors
/// See [`InputError`].
pub fn read_input(input: impl Read) -> Result<Secrets, InputError> {
    // Full size from the start: growing would leave copies of the keys behind.
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_INPUT + 1));
    input
        .take(MAX_INPUT as u64 + 1)
        .read_to_end(&mut text)
        .map_err(InputError::Read)?;
    parse_input(&text)
}

/// Understands the input.
///
/// # Errors
/// See [`InputError`].
pub fn parse_input(text: &[u8]) -> Result<Secrets, InputError> {
    if text.len() > MAX_INPUT {
        return Err(InputError::TooLarge);
    }
    let entries = env_file::parse(text)?;
    if let Some(index) = entries
        .iter()
        .position(|(name, _)| ![PCK, SSK, SAK, CRON].contains(name))
    {
        return Err(InputError::UnknownName(index + 1));
    }
    let key = |name| {
        let value = env_file::find(&entries, name).ok_or(InputError::Missing(name))?;
        Key::parse(value.as_bytes()).map_err(|source| InputError::Value { name, source })
    };
    Ok(Secrets {
        pck: key(PCK)?,
        ssk: key(SSK)?,
        sak: key(SAK)?,
        cron: key(CRON)?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(values: [&str; 4]) -> String {
        [PCK, SSK, SAK, CRON]
            .iter()
            .zip(values)
            .map(|(name, value)| format!("{name}={value}\n"))
            .collect::<Vec<_>>()
            .concat()
    }

    fn error(text: &str) -> String {
        let error = parse_input(text.as_bytes()).unwrap_err();
        let cause = std::error::Error::source(&error);
        format!(
            "{error}: {}",
            cause.map(ToString::to_string).unwrap_or_default()
        )
    }

    #[test]
    fn four_keys_are_taken_in_any_order() {
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|digit| digit.repeat(64));
        let text = lines([&a, &b, &c, &d]);
        let reversed = text.lines().rev().collect::<Vec<_>>().join("\n");
        for text in [text, reversed] {
            let secrets = parse_input(text.as_bytes()).unwrap();
            assert_eq!(secrets.pck.expose(), a);
            assert_eq!(secrets.ssk.expose(), b);
            assert_eq!(secrets.sak.expose(), c);
            assert_eq!(secrets.cron.expose(), d);
        }
    }

    #[test]
    fn each_fault_is_named() {
        let good = "0".repeat(64);
        let text = lines([&good; 4]);
        for (number, name) in [PCK, SSK, SAK, CRON].iter().enumerate() {
            let without = text
                .lines()
                .enumerate()
                .filter(|(index, _)| *index != number)
                .map(|(_, line)| line)
                .collect::<Vec<_>>()
                .join("\n");
            assert!(error(&without).starts_with(&format!("{name} is missing")));
        }
        assert_eq!(
            error(&format!("{text}OTHER=1\n")),
            format!("entry 5 has a name that is not one of {PCK}, {SSK}, {SAK} and {CRON}: ")
        );
        assert!(error(&format!("{text}{PCK}={good}\n")).contains("line 5 repeats a name"));
        assert!(error(&" ".repeat(MAX_INPUT + 1)).contains("larger than 4096 bytes"));
        assert!(error("junk").contains("line 1 is not NAME=value"));
        assert!(error("").contains("missing"));
    }

    #[test]
    fn reading_stops_at_the_limit() {
        let endless = io::repeat(b'#');
        assert!(matches!(read_input(endless), Err(InputError::TooLarge)));
    }

    proptest! {
        #[test]
        fn errors_never_repeat_the_input(value in "[g-z]{8,70}") {
            let good = "0".repeat(64);
            for values in [[value.as_str(), &good, &good, &good], [&good, &good, &good, value.as_str()]] {
                prop_assert!(!error(&lines(values)).contains(&value));
            }
            let message = error(&format!("{value}={value}\n"));
            prop_assert!(!message.contains(&value));
        }

        #[test]
        fn any_bytes_are_handled(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            prop_assert!(parse_input(&bytes).is_err());
        }
    }
}
