//! What the failures of all areas share.
//!
//! Each area has an error type of its own, with its messages. What those types
//! have in common is here: a stable [`Code`] for programs, a [`Remedy`] as data,
//! which each shell puts into its own words, and the causes in one line.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod code;
mod file;
mod remedy;

pub use code::Code;
pub use file::{FileError, is_no_room, limit_reached};
pub use remedy::{ImageHold, Loss, Remedy, UsedPort};

/// An error and its causes in one line: `a: b: c`.
///
/// A cause that its error has put into its own words is left out.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    text
}
