//! Secret values that are known, found in a text in any of the forms that programs write them in.
//!
//! A log wraps a value over two lines, a debugger prints it in pieces, a client sends it as base64. So not
//! whole values are looked for but every piece of [`PIECE`] characters of each, as it is, as base64 and as
//! hex digits, and what stands between letters and digits is passed over. That long a piece is in no text by
//! chance. A shorter piece is not found: it gives little away.

use std::collections::HashSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// How many characters of a value are looked for at a time.
const PIECE: usize = 16;

type Piece = [u8; PIECE];

/// The values, as what is looked for of them.
#[derive(Default)]
pub(super) struct KnownValues {
    pieces: HashSet<Piece>,
    /// Those with fewer characters than a piece, as they are.
    short: Vec<String>,
}

impl KnownValues {
    /// Looks for `value`, too.
    pub(super) fn add(&mut self, value: &str) {
        if significant(value).count() < PIECE {
            self.short.push(value.to_owned());
            return;
        }
        let mut hex = String::with_capacity(2 * value.len());
        for byte in value.bytes() {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
        }
        let mut forms = vec![value.to_owned(), hex.to_ascii_uppercase(), hex];
        // In base64, a value looks different after one or two bytes of something else.
        for before in 0..3_usize {
            let mut bytes = vec![0; before];
            bytes.extend_from_slice(value.as_bytes());
            // Characters at both ends have bits of what stands beside.
            let (from, to) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
            for form in [
                STANDARD_NO_PAD.encode(&bytes),
                URL_SAFE_NO_PAD.encode(&bytes),
            ] {
                forms.extend(form.get(from..to).map(str::to_owned));
            }
        }
        for form in forms {
            let plain: Vec<u8> = significant(&form).map(|(_, byte)| byte).collect();
            self.pieces.extend(
                plain
                    .windows(PIECE)
                    .filter_map(|piece| Piece::try_from(piece).ok()),
            );
        }
    }

    /// `text` with `mark` wherever a piece of a value stood.
    pub(super) fn taken_out_of(&self, text: &str, mark: &str) -> String {
        let mut text = text.to_owned();
        for value in &self.short {
            text = text.replace(value, mark);
        }
        if self.pieces.is_empty() {
            return text;
        }
        let (at, plain): (Vec<usize>, Vec<u8>) = significant(&text).unzip();
        let mut kept = String::with_capacity(text.len());
        let mut end = 0;
        for (index, piece) in plain.windows(PIECE).enumerate() {
            if !Piece::try_from(piece).is_ok_and(|piece| self.pieces.contains(&piece)) {
                continue;
            }
            let (Some(first), Some(last)) = (at.get(index), at.get(index + PIECE - 1)) else {
                continue;
            };
            // Pieces of one value overlap, and get one mark.
            if *first >= end {
                kept.push_str(text.get(end..*first).unwrap_or_default());
                kept.push_str(mark);
            }
            end = last + 1;
        }
        kept.push_str(text.get(end..).unwrap_or_default());
        kept
    }
}

/// The characters that values are made of, with their places in `text`.
fn significant(text: &str) -> impl Iterator<Item = (usize, u8)> {
    text.bytes()
        .enumerate()
        .filter(|(_, byte)| byte.is_ascii_alphanumeric() || b"+/-_".contains(byte))
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    fn without(value: &str, text: &str) -> String {
        let mut known = KnownValues::default();
        known.add(value);
        known.taken_out_of(text, "*")
    }

    #[test]
    fn a_value_is_found_in_pieces_and_in_other_forms() {
        let value = "0123456789abcdef".repeat(4);
        let (first, second) = value.split_at(20);
        let spelled: Vec<_> = value.chars().map(|c| format!("'{c}', ")).collect();
        let dumped: Vec<_> = value.bytes().map(|byte| format!("{byte:02X} ")).collect();
        let (spelled, dumped) = (spelled.concat(), dumped.concat());
        for text in [
            value.clone(),
            format!("{first}\n    {second}"),
            spelled.trim_end_matches("', ").to_owned(),
            dumped.trim_end().to_owned(),
        ] {
            let shown = without(&value, &format!("a <{text}> b"));
            assert!(shown.replace('\'', "").starts_with("a <*> b"), "{shown}");
        }
        // Wrapped at any column.
        for column in PIECE..value.len() {
            let (first, second) = value.split_at(column);
            assert_eq!(
                without(&value, &format!("{first} \n{second}")),
                "*",
                "{column}"
            );
        }
    }

    #[test]
    fn what_is_no_value_stays() {
        let value = "0123456789abcdef".repeat(4);
        for text in ["", "é0123456789abcde", "0123456789abcdXf0123456789abcd"] {
            assert_eq!(without(&value, text), text);
        }
        assert_eq!(without("open sesame", "xopen sesamey"), "x*y");
    }

    proptest! {
        #[test]
        fn base64_of_anything_around_a_value_shows_nothing_of_it(
            before in "[ -~]{0,9}",
            value in "[0-9a-f]{64}",
            after in "[ -~]{0,9}",
        ) {
            let whole = format!("{before}{value}{after}");
            for text in [STANDARD.encode(&whole), URL_SAFE_NO_PAD.encode(&whole)] {
                let shown = without(&value, &text);
                // What remains is of what stands around it.
                prop_assert!(shown.len() <= (before.len() + after.len() + 6) * 8 / 6 + 4, "{}", shown);
            }
        }

        #[test]
        fn no_text_is_broken(text in "\\PC{0,80}", value in "[a-z]{16,40}") {
            prop_assert_eq!(without(&value, &text), text);
        }
    }
}
