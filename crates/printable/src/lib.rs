//! Text from outside that may be shown: nothing in it steers a terminal or
//! reorders what stands beside it.
//!
//! A guest, GitHub, a manifest or the name of a file can hold any character.
//! Two kinds do harm. Control characters make a terminal act: the C0 ones, and
//! the C1 ones, which in UTF-8 are two bytes (`U+009B` begins what `ESC [`
//! begins) and so pass whoever looks at bytes. Characters that only steer
//! layout show a text in another order than it has, or hide a part: those of
//! the bidirectional algorithm (UAX #9), line separators, and the invisible tags.
//! So text is judged here alone, decoded, a character at a time.

use std::borrow::Cow;

/// Whether `c` may be shown as it is. Tabs and newlines are not: where they
/// are harmless, the caller knows.
pub fn is_harmless(c: char) -> bool {
    !(c.is_control()
        || matches!(
            c,
            // Marks, embeddings, overrides and isolates of UAX #9.
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // Separators of lines and paragraphs.
            | '\u{2028}' | '\u{2029}'
            // Deprecated format characters, and marks between annotations.
            | '\u{206a}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}'
            // Tags: letters that nobody sees.
            | '\u{e0000}'..='\u{e007f}'
        ))
}

/// `text` with its lines and tabs, and a replacement character (`U+FFFD`) for
/// each character that is not harmless.
pub fn lines(text: &str) -> Cow<'_, str> {
    replaced(text, |c| {
        if is_harmless(c) || matches!(c, '\n' | '\t') {
            c
        } else {
            char::REPLACEMENT_CHARACTER
        }
    })
}

/// `text` as one line: a space for a newline or a tab, and else like [`lines`].
pub fn line(text: &str) -> Cow<'_, str> {
    replaced(text, |c| match c {
        '\n' | '\t' => ' ',
        c if is_harmless(c) => c,
        _ => char::REPLACEMENT_CHARACTER,
    })
}

/// Like [`lines`], but what is written for us keeps its colors: sequences
/// `ESC [ … m` of digits, `:` and `;` stay.
pub fn styled(text: &str) -> Cow<'_, str> {
    if lines(text) == text {
        return Cow::Borrowed(text);
    }
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\u{1b}') {
        let (before, from) = rest.split_at(at);
        kept.push_str(&lines(before));
        let style = style_at(from).unwrap_or_default();
        kept.push_str(style);
        if style.is_empty() {
            kept.push(char::REPLACEMENT_CHARACTER);
        }
        rest = from.get(style.len().max(1)..).unwrap_or_default();
    }
    kept.push_str(&lines(rest));
    Cow::Owned(kept)
}

/// The color sequence that `text` begins with.
fn style_at(text: &str) -> Option<&str> {
    let parameters = text.strip_prefix("\u{1b}[")?;
    let length = parameters.find(|c: char| !(c.is_ascii_digit() || matches!(c, ':' | ';')))?;
    parameters
        .get(length..)?
        .starts_with('m')
        .then(|| text.get(..2 + length + 1))?
}

/// A stream of bytes as [`lines`], whatever the borders of its pieces.
///
/// Bytes that are no UTF-8 become replacement characters.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The begin of a character whose rest has not come yet.
    begun: Vec<u8>,
}

impl Decoder {
    /// The characters that `bytes` complete. What is not harmless is left out,
    /// since a console is full of it.
    pub fn decode(&mut self, bytes: &[u8]) -> String {
        self.begun.extend_from_slice(bytes);
        let mut text = String::with_capacity(self.begun.len());
        let mut unfinished = Vec::new();
        let mut chunks = self.begun.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            let shown = |c: &char| is_harmless(*c) || matches!(c, '\n' | '\t');
            text.extend(chunk.valid().chars().filter(shown));
            if is_begin(chunk.invalid()) && chunks.peek().is_none() {
                unfinished = chunk.invalid().to_vec();
            } else if !chunk.invalid().is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        self.begun = unfinished;
        text
    }
}

/// Whether more bytes could make a character of `bytes`.
fn is_begin(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

/// `text` with each character as `shown` says.
fn replaced(text: &str, shown: impl Fn(char) -> char) -> Cow<'_, str> {
    if text.chars().all(|c| shown(c) == c) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.chars().map(shown).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ESCAPE: char = '\u{1b}';

    #[test]
    fn nothing_that_a_terminal_acts_on_gets_through() {
        assert_eq!(
            lines("a\u{1b}[2Jb\u{7}c\rd\u{9b}1m\u{9d}0;x\u{9c}\ne\tf"),
            "a�[2Jb�c�d�1m�0;x�\ne\tf"
        );
        assert_eq!(line("a\nb\tc\u{85}d"), "a b c�d");
    }

    #[test]
    fn nothing_reorders_or_hides_text() {
        // Shown by a terminal that obeys: `invoice_fdp.exe` for `invoice_exe.pdf`.
        assert_eq!(lines("invoice_\u{202e}fdp.exe"), "invoice_�fdp.exe");
        assert_eq!(lines("a\u{2066}b\u{2069}c\u{2028}d\u{e0041}"), "a�b�c�d�");
        // Letters that are written from right to left, and joiners of emoji, are text.
        for text in ["שלום עולם", "مرحبا", "👩\u{200d}💻", "e\u{301}", "größe 木"]
        {
            assert_eq!(lines(text), text);
        }
    }

    #[test]
    fn our_own_colors_stay_and_nothing_else() {
        let ours = "\u{1b}[1m\u{1b}[38;5;208mwarn\u{1b}[0m\n";
        assert_eq!(styled(ours), ours);
        assert_eq!(
            styled("\u{1b}[31mred\u{1b}[2J \u{1b}]0;t\u{7} \u{1b} \u{1b}[3\u{9b}m"),
            "\u{1b}[31mred�[2J �]0;t� � �[3�m"
        );
        assert_eq!(styled("\u{1b}["), "�[");
    }

    #[test]
    fn a_stream_is_decoded_across_its_pieces() {
        let mut decoder = Decoder::default();
        let mut text = String::new();
        for piece in [
            &b"Gr\xc3"[..],
            b"\xbc\xc3\x9f",
            b"e\xc2",
            b"\x9b1m \x9b \xf0\x9f",
            b"\n",
        ] {
            text.push_str(&decoder.decode(piece));
        }
        assert_eq!(text, "Grüße1m \u{fffd} \u{fffd}\n");
    }

    proptest! {
        #[test]
        fn what_is_shown_is_harmless(text in "\\PC{0,20}|.{0,20}|[\u{0}-\u{ff}\u{2000}-\u{2070}]{0,20}") {
            let allowed = |c: char| is_harmless(c) || matches!(c, '\n' | '\t');
            prop_assert!(lines(&text).chars().all(allowed));
            prop_assert!(line(&text).chars().all(is_harmless));
            prop_assert!(styled(&text).chars().all(|c| allowed(c) || c == ESCAPE));
            let mut decoder = Decoder::default();
            prop_assert!(decoder.decode(text.as_bytes()).chars().all(allowed));
        }

        #[test]
        fn the_borders_of_pieces_do_not_matter(
            bytes in proptest::collection::vec(any::<u8>(), 0..60),
            at in 0_usize..60,
        ) {
            let (mut whole, mut parts) = (Decoder::default(), Decoder::default());
            let (first, second) = bytes.split_at(at.min(bytes.len()));
            let pieces = parts.decode(first) + &parts.decode(second);
            prop_assert_eq!(whole.decode(&bytes), pieces);
        }
    }
}
