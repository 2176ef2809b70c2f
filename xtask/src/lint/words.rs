//! The words of a Rust source, without its comments and literals, and the paths that they spell.
//!
//! Enough to see which modules a file names; what a macro makes of its arguments is not looked into.

/// A word or a mark of a source, with its line.
pub(super) struct Word<'a> {
    pub(super) text: &'a str,
    pub(super) line: usize,
}

/// The words and marks of `source`: identifiers and numbers, `::`, and every other sign by itself.
pub(super) fn words(source: &str) -> Vec<Word<'_>> {
    let mut words = vec![];
    let (mut at, mut line) = (0, 1);
    while let Some(first) = source[at..].chars().next() {
        let rest = &source[at..];
        let (length, is_word) = if let Some(length) = silent(rest) {
            (length, false)
        } else if is_part(first) {
            let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            (length, true)
        } else if rest.starts_with("::") {
            (2, true)
        } else {
            (first.len_utf8(), !first.is_whitespace())
        };
        let text = &rest[..length];
        if is_word {
            words.push(Word { text, line });
        }
        line += text.matches('\n').count();
        at += length;
    }
    words
}

fn is_part(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// The length of a comment or a literal that `text` begins with, or of what makes a raw identifier raw.
fn silent(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(block_comment(text));
    }
    // b"…", c"…", and raw ones.
    let prefix = ["br", "cr", "b", "c", "r"]
        .into_iter()
        .find(|prefix| {
            text.strip_prefix(prefix)
                .is_some_and(|rest| rest.starts_with(['"', '#', '\'']))
        })
        .unwrap_or_default();
    let rest = &text[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = rest.len() - rest.trim_start_matches('#').len();
        return if rest[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let content = prefix.len() + hashes + 1;
            Some(
                text[content..]
                    .find(&end)
                    .map_or(text.len(), |length| content + length + end.len()),
            )
        } else {
            (prefix == "r" && hashes == 1).then_some(2)
        };
    }
    if rest.starts_with('"') {
        return Some(prefix.len() + quoted(rest, '"'));
    }
    if rest.starts_with('\'') && prefix != "c" {
        let mut content = rest[1..].chars();
        let is_character = match content.next() {
            Some('\\') => true,
            // Else it is the name of a lifetime.
            Some(_) => content.next() == Some('\''),
            None => false,
        };
        return is_character.then(|| prefix.len() + quoted(rest, '\''));
    }
    None
}

/// The length of the literal that `text` begins with, both quotes included.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + 1;
        }
    }
    text.len()
}

/// The length of the comment that `text` begins with; such comments nest.
fn block_comment(text: &str) -> usize {
    let (mut at, mut depth) = (2, 1);
    while depth > 0 {
        let Some(mark) = text[at..]
            .find("/*")
            .into_iter()
            .chain(text[at..].find("*/"))
            .min()
        else {
            return text.len();
        };
        depth = if text[at + mark..].starts_with("/*") {
            depth + 1
        } else {
            depth - 1
        };
        at += mark + 2;
    }
    at
}

/// A path from the crate's root, by its first part.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named<'a> {
    /// `*` if all of the root's names are brought in, or the root itself.
    pub(super) first: &'a str,
    pub(super) line: usize,
}

/// The first parts of all paths from the crate's root that the file of the module `module` spells:
/// with `crate`, or with enough `super`.
pub(super) fn named_from_root<'a>(module: &[&str], source: &'a str) -> Vec<Named<'a>> {
    let words = words(source);
    let text = |at: usize| words.get(at).map_or("", |word| word.text);
    let mut named = vec![];
    // Depths of the modules that are written out in the file, and the depth here.
    let (mut inner, mut depth) = (vec![], 0_usize);
    for at in 0..words.len() {
        match text(at) {
            "{" => {
                depth += 1;
                if at >= 2 && text(at - 2) == "mod" {
                    inner.push(depth);
                }
            }
            "}" => {
                if inner.last() == Some(&depth) {
                    inner.pop();
                }
                depth = depth.saturating_sub(1);
            }
            // Not the end of another path, or of `pub(super)`.
            "crate" | "super" | "self" if at == 0 || text(at - 1) != "::" => {
                let below = module.len() + inner.len();
                path(&words, at, below, &mut named);
            }
            _ => {}
        }
    }
    named
}

/// Follows the path that begins at `at`, `below` modules below the root; how far it reaches into `words`.
fn path<'a>(
    words: &[Word<'a>],
    mut at: usize,
    mut below: usize,
    named: &mut Vec<Named<'a>>,
) -> usize {
    let text = |at: usize| words.get(at).map_or("", |word| word.text);
    loop {
        let Some(Word { text: first, line }) = words.get(at) else {
            return at;
        };
        let mut found = |first| named.push(Named { first, line: *line });
        match *first {
            "crate" => below = 0,
            "super" => below = below.saturating_sub(1),
            "self" => {}
            "{" => return group(words, at + 1, below, named),
            first => {
                if below == 0 {
                    found(first);
                }
                return skip(words, at);
            }
        }
        if text(at + 1) != "::" {
            // `use crate as root` and `crate::{self}`; the word alone is `pub(crate)` or a method's `self`.
            if below == 0 && text(at + 1) == "as" {
                found("*");
            }
            return at + 1;
        }
        at += 2;
    }
}

/// Follows each path of the group whose first word is at `at`.
fn group<'a>(words: &[Word<'a>], mut at: usize, below: usize, named: &mut Vec<Named<'a>>) -> usize {
    while let Some(Word { text, line }) = words.get(at) {
        match *text {
            "}" => return at + 1,
            "," => at += 1,
            "self" if below == 0 => {
                named.push(Named {
                    first: "*",
                    line: *line,
                });
                at = skip(words, at);
            }
            _ => at = path(words, at, below, named).max(at + 1),
        }
    }
    at
}

/// Where the member of a group ends that `at` is in.
fn skip(words: &[Word<'_>], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while let Some(word) = words.get(at) {
        match word.text {
            "{" => depth += 1,
            "}" if depth > 0 => depth -= 1,
            "," | "}" | ";" if depth == 0 => break,
            _ => {}
        }
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(source: &str) -> String {
        let words: Vec<_> = words(source).iter().map(|word| word.text).collect();
        words.join(" ")
    }

    #[test]
    fn comments_and_literals_are_not_words() {
        for (source, expected) in [
            ("a // b\nc /* d /* e */ f */ g", "a c g"),
            (r#"f("x\"y", b"z", 'q', b'\'', '\u{1f}')"#, "f ( , , , , )"),
            (r##"r#"a " b"# r"\" br"x" c"x" end"##, "end"),
            (
                "fn f<'a>(x: &'a str) {}",
                "fn f < ' a > ( x : & ' a str ) { }",
            ),
            ("r#type::b for\"x\"", "type :: b for"),
            ("\"never ends", ""),
            ("/* never ends", ""),
        ] {
            assert_eq!(said(source), expected, "{source}");
        }
        let lines: Vec<_> = words("a\n\"b\nc\" d\n/*\n*/ e")
            .iter()
            .map(|word| word.line)
            .collect();
        assert_eq!(lines, [1, 3, 5]);
    }

    fn found(module: &[&str], source: &str) -> Vec<String> {
        let named = named_from_root(module, source);
        named
            .iter()
            .map(|named| format!("{}:{}", named.first, named.line))
            .collect()
    }

    #[test]
    fn paths_from_the_root_are_found() {
        for (source, expected) in [
            (
                "use crate::a::B;\nfn f() -> crate::c::D {}",
                vec!["a:1", "c:2"],
            ),
            (
                "use crate::{a, b::{c, d}, e as f,\ng::*};",
                vec!["a:1", "b:1", "e:1", "g:2"],
            ),
            (
                "use {crate::a, std::b, super::super::c};",
                vec!["a:1", "c:1"],
            ),
            ("use super::super::{a, b};", vec!["a:1", "b:1"]),
            (
                "use super::{a, b}; use self::c::d; pub(super) fn f(&self) {}",
                vec![],
            ),
            (
                "mod t { use super::super::a; use super::super::super::b; } use super::super::c;",
                vec!["b:1", "c:1"],
            ),
            (
                "mod t { fn f() {} } fn g() { super::super::a() }",
                vec!["a:1"],
            ),
            (
                "use crate as root; use crate::{self as r}; use crate::*;",
                vec!["*:1"; 3],
            ),
            (
                "pub(crate) fn f() {} pub(in crate::a::b) fn g() {}",
                vec!["a:1"],
            ),
            ("macro_rules! m { () => { $crate::a::b() } }", vec!["a:1"]),
            ("self::super::super::a::b()", vec!["a:1"]),
            ("std::crate_::a; x::super_::b", vec![]),
            ("// crate::a\n\"crate::b\"", vec![]),
        ] {
            assert_eq!(found(&["x", "y"], source), expected, "{source}");
        }
        assert_eq!(found(&["x"], "use super::a;"), ["a:1"]);
    }

    proptest! {
        /// Whatever stands around it, a path is found where it is code, and nowhere else.
        #[test]
        fn only_code_names_modules(parts in proptest::collection::vec((0..7_usize, "[a-z]{1,5}"), 0..20)) {
            let mut source = String::new();
            let mut expected = vec![];
            for (kind, name) in &parts {
                let name = format!("{name}_");
                let path = format!("crate::{name}::x");
                let line = match kind {
                    0 => format!("// {path}\n"),
                    1 => format!("/* '\" /* {path} */ \" */"),
                    2 => format!("let _ = \"\\\" {path}\";"),
                    3 => format!("let _ = r#\"\" {path}\"#;"),
                    4 => format!("let _: &'static str = f('\"', '\\'', {path});"),
                    5 => format!("use crate::{{{name}::{{self, y}}, {name}::y as z}};\n"),
                    _ => format!("mod t {{ use super::super::super::{name}; }}\n"),
                };
                source.push_str(&line);
                expected.extend((0..[0, 0, 0, 0, 1, 2, 1][*kind]).map(|_| name.clone()));
            }
            let named = named_from_root(&["x", "y"], &source);
            let found: Vec<_> = named.iter().map(|named| named.first.to_owned()).collect();
            prop_assert_eq!(found, expected, "{}", source);
        }

        #[test]
        fn any_text_has_words(text in "\\PC*") {
            let count = words(&text).len();
            prop_assert!(count <= text.len());
            named_from_root(&["x"], &text);
        }
    }
}
