//! `base.env`, the static development settings that a published image wants on
//! its config disk.
//!
//! They are made from two files of the commit that the image was built from:
//! those of the backend, then those of the dashboard that the backend does not
//! have, less what the emulator makes itself, and with the addresses that hold
//! inside the machine laid over. The result is `NAME=value` lines without
//! quotes, as `docker run --env-file` reads them, which is what the guests do.
//!
//! The project has begun to rename its variables from `STACK_` to `HEXCLAVE_`.
//! What is said here of a name holds for its twin too where the files have it;
//! left alone, `…_HEXCLAVE_IS_LOCAL_EMULATOR=false` would contradict us.

use std::collections::BTreeMap;

/// The backend's file, in the repository.
pub const BACKEND_PATH: &str = "apps/backend/.env.development";
/// The dashboard's file, in the repository.
pub const DASHBOARD_PATH: &str = "apps/dashboard/.env.development";

/// Of these the dashboard's values win.
const DASHBOARD_WINS: [&str; 3] = [
    "NEXT_PUBLIC_STACK_PROJECT_ID",
    "NEXT_PUBLIC_STACK_PUBLISHABLE_CLIENT_KEY",
    "STACK_SECRET_SERVER_KEY",
];

/// These are made anew for each start, and must not have a value before.
const LEFT_OUT: [&str; 6] = [
    "STACK_SEED_INTERNAL_PROJECT_PUBLISHABLE_CLIENT_KEY",
    "STACK_SEED_INTERNAL_PROJECT_SECRET_SERVER_KEY",
    "STACK_SEED_INTERNAL_PROJECT_SUPER_SECRET_ADMIN_KEY",
    // As newer files have them; the third in case they get it, too.
    "STACK_INTERNAL_PROJECT_PUBLISHABLE_CLIENT_KEY",
    "STACK_INTERNAL_PROJECT_SECRET_SERVER_KEY",
    "STACK_INTERNAL_PROJECT_SUPER_SECRET_ADMIN_KEY",
];

/// What holds inside the machine, whatever the files say.
const FIXED: [(&str, &str); 11] = [
    ("NEXT_PUBLIC_STACK_IS_LOCAL_EMULATOR", "true"),
    ("STACK_EMAIL_PORT", "2500"),
    ("BACKEND_PORT", "8102"),
    ("DASHBOARD_PORT", "8101"),
    ("STACK_FORWARD_MOCK_OAUTH_SERVER", "false"),
    ("STACK_CLICKHOUSE_DATABASE", "default"),
    ("STACK_SVIX_SERVER_URL", "http://127.0.0.1:8071"),
    ("STACK_S3_ENDPOINT", "http://127.0.0.1:9090"),
    ("STACK_QSTASH_URL", "http://127.0.0.1:8080"),
    ("STACK_CLICKHOUSE_URL", "http://127.0.0.1:8123"),
    (
        "STACK_EMAIL_MONITOR_INBUCKET_API_URL",
        "http://127.0.0.1:9001",
    ),
];

/// References within references are followed this deep, …
const MAX_DEPTH: u32 = 8;
/// … and this many for one value: a value of nothing but references to such
/// values would otherwise take for ever without growing.
const MAX_REFERENCES: u32 = 1000;
/// A value is not let grow beyond this many bytes by its references.
const MAX_VALUE: usize = 64 << 10;

/// A settings file cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("line {line} of {file} is no setting")]
pub struct BaseEnvError {
    /// Which file.
    pub file: &'static str,
    /// From 1.
    pub line: usize,
}

/// The content of `base.env`, and the names that were left out because their
/// values refer to what is not known or cannot be written in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseEnv {
    /// `NAME=value` lines, sorted by name.
    pub text: String,
    /// The names left out.
    pub left_out: Vec<String>,
}

/// Makes `base.env` of the backend's and the dashboard's file.
pub fn compose(backend: &[u8], dashboard: &[u8]) -> Result<BaseEnv, BaseEnvError> {
    let mut entries = parse(dashboard, DASHBOARD_PATH)?;
    for (name, value) in parse(backend, BACKEND_PATH)? {
        let dashboard_wins = DASHBOARD_WINS.iter().any(|known| is(known, &name));
        if !(dashboard_wins && entries.contains_key(&name)) {
            entries.insert(name, value);
        }
    }
    for (known, value) in FIXED {
        let twin = twin(known);
        if entries.contains_key(&twin) {
            entries.insert(twin, Value::literal(value));
        }
        entries.insert(known.to_owned(), Value::literal(value));
    }
    let mut text = String::new();
    let mut left_out = Vec::new();
    for (name, value) in &entries {
        if LEFT_OUT.iter().any(|known| is(known, name)) {
            continue;
        }
        let mut left = MAX_REFERENCES;
        match resolve(value, &entries, MAX_DEPTH, &mut left) {
            Some(value) if !value.contains(['\n', '\r', '\0']) => {
                text.extend([name, "=", &value, "\n"]);
            }
            _ => left_out.push(name.clone()),
        }
    }
    Ok(BaseEnv { text, left_out })
}

/// The name that `known` has after the renaming.
fn twin(known: &str) -> String {
    known.replacen("STACK_", "HEXCLAVE_", 1)
}

fn is(known: &str, name: &str) -> bool {
    known == name || twin(known) == name
}

/// A value as written.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Value {
    text: String,
    /// In single quotes, or ours: `${…}` means itself.
    literal: bool,
}

impl Value {
    fn literal(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            literal: true,
        }
    }
}

fn parse(file: &[u8], path: &'static str) -> Result<BTreeMap<String, Value>, BaseEnvError> {
    let text = String::from_utf8_lossy(file);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut entries = BTreeMap::new();
    let mut rest = text;
    let mut line = 1;
    while !rest.is_empty() {
        let this = rest.split('\n').next().unwrap_or_default();
        let error = || BaseEnvError { file: path, line };
        let trimmed = this.trim();
        let mut consumed = this.len();
        if !trimmed.is_empty() && !trimmed.starts_with('#') {
            let (name, raw) = this.split_once('=').ok_or_else(error)?;
            let name = name.trim();
            let name = name.strip_prefix("export ").map_or(name, str::trim);
            if !is_name(name) {
                return Err(error());
            }
            // A quoted value may go on over lines.
            let after = &rest[this.len() - raw.len()..];
            let (value, length) = parse_value(after).ok_or_else(error)?;
            consumed = this.len() - raw.len() + length;
            entries.insert(name.to_owned(), value);
            // What is left of the last line can only be a comment.
            consumed += rest[consumed..].find('\n').unwrap_or(rest.len() - consumed);
        }
        line += 1 + rest[..consumed].matches('\n').count();
        rest = rest.get(consumed + 1..).unwrap_or_default();
    }
    Ok(entries)
}

fn is_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The value at the beginning of `text`, and the bytes it takes. `None` if a
/// quote is not closed.
fn parse_value(text: &str) -> Option<(Value, usize)> {
    let indent = text.len() - text.trim_start_matches([' ', '\t']).len();
    let body = &text[indent..];
    let quote = body
        .chars()
        .next()
        .filter(|c| matches!(c, '"' | '\'' | '`'));
    let Some(quote) = quote else {
        let line = body.split('\n').next().unwrap_or_default();
        // A comment begins with a space before it: `#` alone may be of a colour or address.
        let value = line.split(" #").next().unwrap_or_default();
        return Some((
            Value {
                text: value.trim().to_owned(),
                literal: false,
            },
            indent + line.len(),
        ));
    };
    let mut value = String::new();
    let mut characters = body.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            _ if character == quote => {
                return Some((
                    Value {
                        text: value,
                        literal: quote == '\'',
                    },
                    indent + at + quote.len_utf8(),
                ));
            }
            '\\' if quote == '"' => match characters.next()?.1 {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                escaped @ ('"' | '\\' | '$') => value.push(escaped),
                other => value.extend(['\\', other]),
            },
            _ => value.push(character),
        }
    }
    None
}

/// `value` with its `${NAME}` and `${NAME:-default}` replaced; `None` if one of
/// them is not known.
fn resolve(
    value: &Value,
    entries: &BTreeMap<String, Value>,
    depth: u32,
    left: &mut u32,
) -> Option<String> {
    if value.literal {
        return Some(value.text.clone());
    }
    expand(&value.text, entries, depth, left)
}

fn expand(
    text: &str,
    entries: &BTreeMap<String, Value>,
    depth: u32,
    left: &mut u32,
) -> Option<String> {
    let depth = depth.checked_sub(1)?;
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        *left = left.checked_sub(1)?;
        out.push_str(&rest[..at]);
        let inner = &rest[at + 2..];
        let end = closing_brace(inner)?;
        let (name, default) = match inner[..end].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&inner[..end], None),
        };
        let known = entries
            .get(name)
            .filter(|value| default.is_none() || !value.text.is_empty());
        out.push_str(&match (known, default) {
            (Some(value), _) => resolve(value, entries, depth, left)?,
            (None, Some(default)) => expand(default, entries, depth, left)?,
            (None, None) => return None,
        });
        if out.len() > MAX_VALUE {
            return None;
        }
        rest = &inner[end + 1..];
    }
    out.push_str(rest);
    Some(out)
}

/// Where the brace is that closes the one before `text`.
fn closing_brace(text: &str) -> Option<usize> {
    let mut open = 0u32;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => open += 1,
            b'}' if open == 0 => return Some(at),
            b'}' => open -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn composed(backend: &str, dashboard: &str) -> BTreeMap<String, String> {
        compose(backend.as_bytes(), dashboard.as_bytes())
            .unwrap()
            .text
            .lines()
            .map(|line| {
                let (name, value) = line.split_once('=').unwrap();
                (name.to_owned(), value.to_owned())
            })
            .collect()
    }

    #[test]
    fn the_backend_wins_but_for_the_dashboard_s_own_three() {
        let both = composed(
            "A=backend\nSTACK_SECRET_SERVER_KEY=backend\n",
            "A=dashboard\nB=dashboard\nSTACK_SECRET_SERVER_KEY=dashboard\n",
        );
        assert_eq!(both["A"], "backend");
        assert_eq!(both["B"], "dashboard");
        assert_eq!(both["STACK_SECRET_SERVER_KEY"], "dashboard");
        let backend_only = composed("NEXT_PUBLIC_STACK_PROJECT_ID=internal\n", "");
        assert_eq!(backend_only["NEXT_PUBLIC_STACK_PROJECT_ID"], "internal");
    }

    #[test]
    fn what_the_emulator_makes_is_left_out_and_what_holds_inside_is_fixed() {
        let env = composed(
            "STACK_SEED_INTERNAL_PROJECT_SECRET_SERVER_KEY=x\n\
             HEXCLAVE_SEED_INTERNAL_PROJECT_SECRET_SERVER_KEY=x\n\
             HEXCLAVE_INTERNAL_PROJECT_PUBLISHABLE_CLIENT_KEY=x\n\
             HEXCLAVE_INTERNAL_PROJECT_SECRET_SERVER_KEY=x\n\
             STACK_EMAIL_PORT=${P:-81}29\nNEXT_PUBLIC_HEXCLAVE_IS_LOCAL_EMULATOR=false\n",
            "",
        );
        assert!(!env.keys().any(|name| name.contains("INTERNAL_PROJECT")));
        assert_eq!(env["STACK_EMAIL_PORT"], "2500");
        assert_eq!(env["STACK_S3_ENDPOINT"], "http://127.0.0.1:9090");
        assert_eq!(env["NEXT_PUBLIC_STACK_IS_LOCAL_EMULATOR"], "true");
        assert_eq!(env["NEXT_PUBLIC_HEXCLAVE_IS_LOCAL_EMULATOR"], "true");
        assert!(!env.contains_key("HEXCLAVE_EMAIL_PORT"));
    }

    #[test]
    fn references_are_resolved_or_their_entry_is_left_out() {
        let source = "P=82\nURL=http://localhost:${P}02\nDEFAULT=${Q:-81}01\nNESTED=${Q:-${P}}\n\
                      UNKNOWN=${Q}\nLOOP=${LOOP}\nQUOTED='${Q}'\nOPEN=${P\n";
        let env = compose(source.as_bytes(), b"").unwrap();
        for line in [
            "URL=http://localhost:8202",
            "DEFAULT=8101",
            "NESTED=82",
            "QUOTED=${Q}",
        ] {
            assert!(env.text.lines().any(|l| l == line), "{line}\n{}", env.text);
        }
        assert_eq!(env.left_out, ["LOOP", "OPEN", "UNKNOWN"]);
    }

    #[test]
    fn quotes_comments_and_spaces_are_as_the_files_have_them() {
        let env = composed(
            "# a comment\n\n export A = \"does not matter\" # why\r\nB='[\"x\", {\"y\": 1}]'\n\
             C=a#b # comment\nD=\nE=\"x\\\"y\"\nF=a=b\n",
            "",
        );
        assert_eq!(env["A"], "does not matter");
        assert_eq!(env["B"], "[\"x\", {\"y\": 1}]");
        assert_eq!(env["C"], "a#b");
        assert_eq!(env["D"], "");
        assert_eq!(env["E"], "x\"y");
        assert_eq!(env["F"], "a=b");
    }

    #[test]
    fn a_value_of_several_lines_cannot_be_written() {
        let env = compose(b"KEY=\"a\nb\"\nNEXT=1\n", b"").unwrap();
        assert_eq!(env.left_out, ["KEY"]);
        assert!(env.text.contains("NEXT=1\n"));
    }

    #[test]
    fn a_line_that_is_no_setting_is_named() {
        let error = compose(b"A=1\n\nnonsense\n", b"").unwrap_err();
        assert_eq!((error.file, error.line), (BACKEND_PATH, 3));
        assert_eq!(compose(b"", b"A=\"open\n").unwrap_err().line, 1);
        assert_eq!(compose(b"A=\"x\ny\"\n1B=2", b"").unwrap_err().line, 3);
    }

    proptest! {
        #[test]
        fn every_line_is_a_name_and_a_value(backend in "[A-C_=\"'`$ {}:#\\\\\n-]{0,80}", dashboard in "\\PC{0,40}") {
            if let Ok(env) = compose(backend.as_bytes(), dashboard.as_bytes()) {
                for line in env.text.lines() {
                    let (name, _) = line.split_once('=').unwrap();
                    prop_assert!(is_name(name));
                }
                for (name, value) in FIXED {
                    prop_assert!(env.text.contains(&format!("{name}={value}\n")), "{}", name);
                }
            }
        }

        #[test]
        fn plain_settings_come_out_as_they_went_in(value in "[a-z0-9/:.=-]{0,30}") {
            let env = compose(format!("ZZ={value}\n").as_bytes(), b"").unwrap();
            let expected = format!("ZZ={value}\n");
            prop_assert!(env.text.ends_with(&expected));
        }
    }
}
