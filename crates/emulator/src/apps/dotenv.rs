//! Setting variables in a `.env` file and leaving every other byte as it is.
//!
//! The file is somebody's own: with comments, quotes, `export`, Windows line
//! endings, values over several lines, and sometimes no newline at its end. So
//! it is not parsed and written anew; the values of the wanted names are found
//! and replaced where they stand, and names that are not there are added at the
//! end.
//!
//! What counts as an assignment is what the `dotenv` package for Node takes for
//! one, since that is what Next.js, Vite and Expo read such files with:
//! `NAME=value`, optionally after `export`, where the value is quoted by `'`,
//! `"` or `` ` `` and may then span lines, or goes to the end of the line or to
//! `#`. Bytes that are not UTF-8 are fine.

use std::ops::Range;
use std::path::{Path, PathBuf};

use record::regular::Place;
use serde::Serialize;

use super::clashes::{Clash, Given, clashes};
use super::error::AppsError as Error;
use crate::instance::Emulator;

/// Longest `.env` file that is changed, in bytes.
const LONGEST: u64 = 4 << 20;

/// A variable to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variable<'a> {
    /// Letters, digits and `_`.
    pub name: &'a str,
    /// Visible ASCII without quotes, backslashes, `$`, `#` and spaces, as
    /// [`secrets::SecretText`] has it: it needs no quoting.
    pub value: &'a str,
}

/// An assignment found in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Where the name stands.
    pub name: Range<usize>,
    /// Where the value stands, without its quotes.
    pub value: Range<usize>,
}

/// What setting variables did to a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
pub struct FileChange {
    /// The file, links followed.
    pub path: PathBuf,
    /// Whether it was not there before.
    pub created: bool,
    /// Variables that were new to it.
    #[cfg_attr(feature = "specta", specta(type = specta_typescript::Number))]
    pub added: usize,
    /// Variables that had another value.
    #[cfg_attr(feature = "specta", specta(type = specta_typescript::Number))]
    pub changed: usize,
    /// Files that an app reads as well, and that contradict this one.
    pub clashes: Vec<Clash>,
}

/// A `.env` file could not be changed; it is as it was.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct DotenvError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

/// Sets `variables` in the file at `path`, which is made if it is not there.
///
/// The file is replaced by a whole one or not at all, and keeps its mode and
/// owner; a new one is the user's alone. A link is followed, unless it is in one of the
/// `guarded` folders, which the guest can write to: it could lead to any file of the user's.
///
/// # Errors
///
/// [`DotenvError`].
pub fn set_in_file(
    path: &Path,
    variables: &[Variable<'_>],
    guarded: &[PathBuf],
) -> Result<FileChange, DotenvError> {
    let failed = |action| {
        let path = path.to_owned();
        move |source| DotenvError {
            action,
            path,
            source,
        }
    };
    let place = Place::find(path, guarded).map_err(failed("find"))?;
    let was = place.read(LONGEST).map_err(failed("read"))?;
    let text = was.as_ref().map_or(&[][..], |was| &was.content);
    let (added, changed) = difference(text, variables);
    let content = set(text, variables);
    place
        .replace(&content, was.as_ref())
        .map_err(failed("write"))?;
    Ok(FileChange {
        // By the name that an app reads it by, which need not be that of what it leads to.
        clashes: clashes(variables, Given::File(path)),
        path: place.path().to_owned(),
        created: was.is_none(),
        added,
        changed,
    })
}

impl Emulator {
    /// Sets `variables` in a `.env` file, as [`set_in_file`]; the guarded folders are those that the guest sees.
    ///
    /// # Errors
    ///
    /// [`DotenvError`]; what is shared cannot be told.
    pub fn set_in_env_file(
        &self,
        path: &Path,
        variables: &[Variable<'_>],
    ) -> Result<FileChange, Error> {
        let shared = self.folders()?;
        let guarded: Vec<_> = shared
            .iter()
            .map(|folder| PathBuf::from(&folder.path))
            .collect();
        Ok(set_in_file(path, variables, &guarded)?)
    }
}

/// How many of `variables` a file does not have, and how many it has with another value.
fn difference(text: &[u8], variables: &[Variable<'_>]) -> (usize, usize) {
    let assignments = assignments(text);
    let (mut added, mut changed) = (0, 0);
    for variable in variables {
        let mut known = assignments
            .iter()
            .filter(|a| &text[a.name.clone()] == variable.name.as_bytes())
            .peekable();
        if known.peek().is_none() {
            added += 1;
        } else if known.any(|a| &text[a.value.clone()] != variable.value.as_bytes()) {
            changed += 1;
        }
    }
    (added, changed)
}

/// `text` with `variables` set.
///
/// A name that is assigned several times gets the value each time: programs
/// differ in whether the first or the last counts. Names that are missing are
/// added in the given order, each on a line of its own that ends as the file's
/// first line does.
pub fn set(text: &[u8], variables: &[Variable<'_>]) -> Vec<u8> {
    let mut out = set_once(text, variables);
    // A stray quote in a value that was replaced may have been what kept an
    // earlier one from being closed further down: what reads as an assignment is
    // another thing then. Each pass that changes that takes a quote away, since
    // no value has one, so it comes to an end, in nearly every file at once.
    loop {
        let again = set_once(&out, variables);
        if again == out {
            return out;
        }
        out = again;
    }
}

fn set_once(text: &[u8], variables: &[Variable<'_>]) -> Vec<u8> {
    let assignments = assignments(text);
    let mut out = Vec::with_capacity(text.len() + 256);
    let mut copied = 0;
    let wanted = |assignment: &Assignment| {
        let name = &text[assignment.name.clone()];
        variables
            .iter()
            .find(|variable| variable.name.as_bytes() == name)
    };
    for assignment in &assignments {
        if let Some(variable) = wanted(assignment) {
            out.extend_from_slice(&text[copied..assignment.value.start]);
            out.extend_from_slice(variable.value.as_bytes());
            copied = assignment.value.end;
        }
    }
    out.extend_from_slice(&text[copied..]);

    let newline = first_newline(text);
    for variable in variables {
        let name = variable.name.as_bytes();
        if assignments.iter().any(|a| &text[a.name.clone()] == name) {
            continue;
        }
        if !out.is_empty() && out != BYTE_ORDER_MARK && !matches!(out.last(), Some(b'\n' | b'\r')) {
            out.extend_from_slice(newline);
        }
        out.extend_from_slice(name);
        out.push(b'=');
        out.extend_from_slice(variable.value.as_bytes());
        out.extend_from_slice(newline);
    }
    out
}

/// The file's own line ending; `\n` for a file of one line or none.
fn first_newline(text: &[u8]) -> &'static [u8] {
    match text.iter().position(|byte| *byte == b'\n') {
        Some(at) if at > 0 && text[at - 1] == b'\r' => b"\r\n",
        _ => b"\n",
    }
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// All assignments of a file, in order.
pub fn assignments(text: &[u8]) -> Vec<Assignment> {
    let mut found = Vec::new();
    let mut at = if text.starts_with(BYTE_ORDER_MARK) {
        BYTE_ORDER_MARK.len()
    } else {
        0
    };
    while at < text.len() {
        match assignment(text, at) {
            Some((assignment, end)) => {
                found.push(assignment);
                at = end;
            }
            None => at = next_line(text, at),
        }
    }
    found
}

/// The assignment of the line that begins at `start`, and the beginning of the
/// line after it.
fn assignment(text: &[u8], start: usize) -> Option<(Assignment, usize)> {
    let mut at = skip_blanks(text, start);
    if text[at..].starts_with(b"export") {
        let after = skip_blanks(text, at + b"export".len());
        // `export=1` assigns to a variable of that name.
        if after > at + b"export".len() {
            at = after;
        }
    }
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-".contains(byte);
    let length = text[at..].iter().take_while(|byte| is_name(byte)).count();
    if length == 0 {
        return None;
    }
    let name = at..at + length;
    at = skip_blanks(text, name.end);
    if text.get(at) == Some(&b'=') {
        at += 1;
    } else if text.get(name.end) == Some(&b':')
        && matches!(text.get(name.end + 1), Some(b' ' | b'\t'))
    {
        at = name.end + 1;
    } else {
        return None;
    }
    let at = skip_blanks(text, at);
    let value = quoted(text, at).unwrap_or_else(|| unquoted(text, at));
    // Past the closing quote, if there is one, to the end of that line.
    let end = next_line(text, value.end);
    Some((Assignment { name, value }, end))
}

/// The inside of a quoted value that begins at `at`, if the quote is closed and
/// nothing but a comment follows it.
fn quoted(text: &[u8], at: usize) -> Option<Range<usize>> {
    let quote = *text.get(at)?;
    if !matches!(quote, b'"' | b'\'' | b'`') {
        return None;
    }
    let inside = at + 1;
    let mut end = inside;
    loop {
        match *text.get(end)? {
            byte if byte == quote => break,
            b'\\' if text.get(end + 1) == Some(&quote) => end += 2,
            _ => end += 1,
        }
    }
    let after = skip_blanks(text, end + 1);
    match text.get(after) {
        None | Some(b'\n' | b'\r' | b'#') => Some(inside..end),
        Some(_) => None,
    }
}

/// A value without quotes: to the end of the line or to a comment, without the
/// blanks before that.
fn unquoted(text: &[u8], at: usize) -> Range<usize> {
    let rest = &text[at..];
    let length = rest
        .iter()
        .position(|byte| matches!(byte, b'\n' | b'\r' | b'#'))
        .unwrap_or(rest.len());
    let kept = rest[..length]
        .iter()
        .rposition(|byte| !is_blank(*byte))
        .map_or(0, |last| last + 1);
    at..at + kept
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0b | 0x0c)
}

fn skip_blanks(text: &[u8], at: usize) -> usize {
    let blanks = text[at.min(text.len())..]
        .iter()
        .take_while(|b| is_blank(**b));
    at + blanks.count()
}

/// The beginning of the next line: after `\n`, `\r\n` or a lone `\r`.
fn next_line(text: &[u8], at: usize) -> usize {
    let Some(length) = text[at..].iter().position(|b| matches!(b, b'\n' | b'\r')) else {
        return text.len();
    };
    let end = at + length;
    match &text[end..] {
        [b'\r', b'\n', ..] => end + 2,
        _ => end + 1,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set_one(text: &str, name: &str, value: &str) -> String {
        let out = set(text.as_bytes(), &[Variable { name, value }]);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn stray_quotes_that_close_each_other_anew_are_followed_to_the_end() {
        // Found by fuzzing.
        let text = b"K=-=\nKX=`\nK=pc-`+=-=\nKX=`\nK=pc-`\x0b \0\0\0\0\0\0\x0b \0\0\0\0\0\0\n\x0b[\xff*\x90=\0X`\x0b ";
        let variables = [Variable {
            name: "K",
            value: "pck_1",
        }];
        let out = set(text, &variables);
        assert_eq!(set(&out, &variables), out);
        for found in assignments(&out) {
            if &out[found.name.clone()] == b"K" {
                assert_eq!(&out[found.value], b"pck_1");
            }
        }
    }

    #[test]
    fn only_the_value_changes() {
        for (before, after) in [
            ("K=old\n", "K=new\n"),
            ("K=\n", "K=new\n"),
            ("K=", "K=new"),
            ("K=old", "K=new"),
            ("  K = old  # why\n", "  K = new  # why\n"),
            ("K=\"old\" # why\n", "K=\"new\" # why\n"),
            ("K='old'\r\nL=1\r\n", "K='new'\r\nL=1\r\n"),
            ("K=`o\nl\nd`\nL=1\n", "K=`new`\nL=1\n"),
            ("export K=old\n", "export K=new\n"),
            ("K: old\n", "K: new\n"),
            ("K=\"it's \\\"old\\\"\"\n", "K=\"new\"\n"),
            ("K=\"unclosed\nL=1\n", "K=new\nL=1\n"),
            ("K=\"a\" b\n", "K=new\n"),
            ("\u{feff}K=old\n", "\u{feff}K=new\n"),
            ("K=one\n# K=two\nK=three\n", "K=new\n# K=two\nK=new\n"),
            ("K=a\rL=b\r", "K=new\rL=b\r"),
        ] {
            assert_eq!(set_one(before, "K", "new"), after, "{before:?}");
        }
    }

    #[test]
    fn what_is_missing_is_added_at_the_end() {
        for (before, after) in [
            ("", "K=new\n"),
            ("A=1\n", "A=1\nK=new\n"),
            ("A=1", "A=1\nK=new\n"),
            ("A=1\r\nB=2", "A=1\r\nB=2\r\nK=new\r\n"),
            ("\u{feff}", "\u{feff}K=new\n"),
            // Looks like it, but is inside another value.
            ("A=\"\nK=no\n\"\n", "A=\"\nK=no\n\"\nK=new\n"),
            ("KK=1\nXK=2\n#K=3\n", "KK=1\nXK=2\n#K=3\nK=new\n"),
            ("export=1\n", "export=1\nK=new\n"),
        ] {
            assert_eq!(set_one(before, "K", "new"), after, "{before:?}");
        }
    }

    #[test]
    fn a_stray_quote_hides_nothing() {
        let out = set_one("B=\"x\nK=a\" b\nC=\"\n", "K", "new");
        assert_eq!(out, "B=\"x\nK=new\nC=\"\nK=new\n");
    }

    #[test]
    fn bytes_that_are_no_text_stay() {
        let out = set(
            b"A=\xff\xfe\nK=1\n\xff",
            &[Variable {
                name: "K",
                value: "2",
            }],
        );
        assert_eq!(out, b"A=\xff\xfe\nK=2\n\xff");
    }

    #[test]
    fn a_file_keeps_its_mode_and_a_new_one_is_the_user_s_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join(".env"), dir.path().join("link"));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let variables = [Variable {
            name: "K",
            value: "v",
        }];
        let change = set_in_file(&file, &variables, &[]).unwrap();
        assert_eq!((change.created, change.added, change.changed), (true, 1, 0));
        assert_eq!(mode(&file), 0o600);
        std::fs::write(&file, "A=1\nK=2").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let change = set_in_file(&link, &variables, &[]).unwrap();
        assert_eq!(
            (change.created, change.added, change.changed),
            (false, 0, 1)
        );
        assert_eq!(change.path, file.canonicalize().unwrap());
        let again = set_in_file(&link, &variables, &[]).unwrap();
        assert_eq!((again.added, again.changed), (0, 0));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "A=1\nK=v");
        assert_eq!(mode(&file), 0o640);
        assert!(link.is_symlink());
        let nowhere = dir.path().join("no/.env");
        let error = set_in_file(&nowhere, &variables, &[])
            .unwrap_err()
            .to_string();
        assert!(error.contains("no/.env"), "{error}");
    }

    /// Lines as people write them, and worse.
    fn any_file() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just("A=1".to_owned()),
            Just("K=old".to_owned()),
            Just("export K2='x y' # c".to_owned()),
            Just("# K=comment".to_owned()),
            Just("B=\"\nK=inside\n\"".to_owned()),
            "[ -~\n\r\t]{0,20}",
        ];
        let end = prop_oneof![Just("\n"), Just("\r\n"), Just(""), Just("\r")];
        prop::collection::vec((piece, end), 0..8).prop_map(|lines| {
            let pieces = lines.iter().flat_map(|(line, end)| [line.as_str(), end]);
            pieces.collect::<String>().into_bytes()
        })
    }

    proptest! {
        #[test]
        fn it_reads_back_and_the_rest_is_the_same(text in any_file(), value in "[a-z0-9_:/.-]{0,12}") {
            let variables = [Variable { name: "K", value: &value }, Variable { name: "K2", value: "v2" }];
            let out = set(&text, &variables);
            check(&text, &out, &variables)?;
            prop_assert_eq!(set(&out, &variables), out);
        }

        #[test]
        fn any_bytes_are_taken(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let variables = [Variable { name: "K", value: "v" }];
            check(&text, &set(&text, &variables), &variables)?;
        }
    }

    fn check(text: &[u8], out: &[u8], variables: &[Variable<'_>]) -> Result<(), TestCaseError> {
        let is_set = |name: &[u8]| variables.iter().any(|v| v.name.as_bytes() == name);
        for variable in variables {
            let found: Vec<_> = assignments(out)
                .into_iter()
                .filter(|a| &out[a.name.clone()] == variable.name.as_bytes())
                .collect();
            prop_assert!(!found.is_empty());
            for assignment in found {
                prop_assert_eq!(&out[assignment.value], variable.value.as_bytes());
            }
        }
        let names = |text: &[u8]| -> Vec<Vec<u8>> {
            let all = assignments(text).into_iter();
            all.map(|found| text[found.name].to_vec()).collect()
        };
        // See `a_stray_quote_hides_nothing`.
        if !names(out).starts_with(&names(text)) {
            return Ok(());
        }
        // With the values cut out of both, the old file is how the new one begins.
        let without_values = |text: &[u8]| {
            let mut rest = Vec::new();
            let mut copied = 0;
            for assignment in assignments(text) {
                if is_set(&text[assignment.name.clone()]) {
                    rest.extend_from_slice(&text[copied..assignment.value.start]);
                    copied = assignment.value.end;
                }
            }
            rest.extend_from_slice(&text[copied..]);
            rest
        };
        prop_assert!(without_values(out).starts_with(&without_values(text)));
        Ok(())
    }
}
