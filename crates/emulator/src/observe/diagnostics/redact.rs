//! Takes out of a text what nobody else may see.
//!
//! By value, where a value is known (see `known`); and by form, since not every value can be
//! known: keys and tokens have prefixes, our own values are 64 hex digits, a
//! password in an address stands before an `@`, and a variable says by its name
//! that it is a secret.

use std::path::Path;

use images::Token;

use super::known::KnownValues;

/// What is written in place of a secret.
const GONE: &str = "[redacted]";
/// How the keys of projects and GitHub's tokens begin.
const PREFIXES: [&str; 11] = [
    "pck_",
    "ssk_",
    "sak_",
    "ghp_",
    "gho_",
    "ghs_",
    "ghu_",
    "ghr_",
    "github_pat_",
    // The first characters of every JSON web token: `{"` in base64.
    "eyJ",
    "sk_live_",
];
/// What the names of variables with secrets have in them.
const TELLING: [&str; 6] = ["KEY", "SECRET", "TOKEN", "PASSWORD", "PASSWD", "CREDENTIAL"];
/// Hex digits of our own values, and of SHA-256 digests.
const HEX_DIGITS: usize = 64;

/// Knows what to take out.
#[derive(Default)]
pub(super) struct Redactor {
    values: KnownValues,
    tokens: Vec<Token>,
    home: Option<String>,
}

impl Redactor {
    /// Writes `home`, the user's folder, as `~`.
    pub(super) fn new(home: Option<&Path>) -> Self {
        let home = home
            .and_then(Path::to_str)
            .map(|home| home.trim_end_matches('/'));
        Self {
            values: KnownValues::default(),
            tokens: Vec::new(),
            home: home.filter(|home| !home.is_empty()).map(ToOwned::to_owned),
        }
    }

    /// Takes out `value` wherever it stands.
    pub(super) fn hide(&mut self, value: &str) {
        // A shorter one would be found in the middle of words.
        if value.len() >= 8 {
            self.values.add(value);
        }
    }

    /// Takes out `token` wherever it stands.
    pub(super) fn hide_token(&mut self, token: Token) {
        self.tokens.push(token);
    }

    /// `text` without what nobody else may see.
    pub(super) fn redact(&self, text: &str) -> String {
        let mut text = self.values.taken_out_of(text, GONE);
        for token in &self.tokens {
            text = token.taken_out_of(&text, GONE);
        }
        if let Some(home) = &self.home {
            text = without_home(&text, home);
        }
        let lines = text.split_inclusive('\n').map(|line| {
            let line = without_passwords(line);
            let line = without_variables(&line);
            without_keys(&line)
        });
        lines.collect()
    }
}

/// Writes `~` for `home`, where a path ends with it or goes on below it.
fn without_home(text: &str, home: &str) -> String {
    let mut parts = text.split(home);
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let goes_on =
            part.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
        result.push_str(if goes_on { home } else { "~" });
        result.push_str(part);
    }
    result
}

/// Takes out what stands before an `@` in an address.
fn without_passwords(line: &str) -> String {
    let mut parts = line.split("://");
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        result.push_str("://");
        let end = part
            .find(|c: char| {
                c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\'' | '<' | '>')
            })
            .unwrap_or(part.len());
        let (authority, rest) = part.split_at(end);
        match authority.rsplit_once('@') {
            Some((_, host)) => {
                result.push_str(GONE);
                result.push('@');
                result.push_str(host);
            }
            None => result.push_str(authority),
        }
        result.push_str(rest);
    }
    result
}

/// Takes out the values of variables whose names tell that they are secret.
fn without_variables(line: &str) -> String {
    let mut result = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find('=') {
        let (before, after) = rest.split_at(at);
        let after = &after[1..];
        result.push_str(before);
        result.push('=');
        rest = after;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let name = before.rsplit(|c| !plain(c)).next().unwrap_or_default();
        let name = name.to_ascii_uppercase();
        if TELLING.iter().any(|word| name.contains(word)) {
            let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''));
            let begin = usize::from(quote.is_some());
            let ends = |c: char| match quote {
                Some(quote) => c == quote || c == '\n',
                None => c.is_whitespace() || matches!(c, '"' | '\'' | ';' | '&'),
            };
            let value = after.get(begin..).unwrap_or_default();
            let end = begin + value.find(ends).unwrap_or(value.len());
            if end > begin {
                result.push_str(&after[..begin]);
                result.push_str(GONE);
                rest = &after[end..];
            }
        }
    }
    result.push_str(rest);
    result
}

/// Takes out what has the form of a key, and marks long runs of hex digits.
fn without_keys(line: &str) -> String {
    let mut result = String::with_capacity(line.len());
    let mut rest = line;
    let belongs = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    while let Some(begin) = rest.find(belongs) {
        let (before, from) = rest.split_at(begin);
        let end = from.find(|c| !belongs(c)).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        result.push_str(before);
        match PREFIXES.iter().filter_map(|prefix| word.find(prefix)).min() {
            // `pck_` alone is a name, not a key.
            Some(at) if word.len() - at > 12 => {
                result.push_str(&without_hex(&word[..at]));
                result.push_str(GONE);
            }
            _ => result.push_str(&without_hex(word)),
        }
        rest = after;
    }
    result.push_str(rest);
    result
}

/// Replaces each run of hex digits that could be a value of ours by a mark that
/// is the same for the same digits, so that digests can still be compared.
fn without_hex(word: &str) -> String {
    let mut result = String::new();
    let mut rest = word;
    while let Some(begin) = rest.find(|c: char| c.is_ascii_hexdigit()) {
        let (before, from) = rest.split_at(begin);
        let end = from
            .find(|c: char| !c.is_ascii_hexdigit())
            .unwrap_or(from.len());
        let (digits, after) = from.split_at(end);
        result.push_str(before);
        if digits.len() < HEX_DIGITS {
            result.push_str(digits);
        } else {
            let mark = blake3::hash(digits.as_bytes()).to_hex();
            result.push_str("hex-");
            result.push_str(mark.get(..10).unwrap_or_default());
        }
        rest = after;
    }
    result.push_str(rest);
    result
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn redact(text: &str) -> String {
        Redactor::new(Some(Path::new("/home/ada"))).redact(text)
    }

    #[test]
    fn forms_of_secrets_are_known() {
        let hex = "0123456789abcdef".repeat(4);
        for (text, shown) in [
            ("a pck_0123456789abc b", "a [redacted] b"),
            ("\"ghp_0123456789abc\"", "\"[redacted]\""),
            ("x-github_pat_11AAA_bbbccc", "x-[redacted]"),
            ("eyJhbGciOiJI.eyJzdWIi.c2ln", "[redacted]"),
            ("pck_ and eyJ", "pck_ and eyJ"),
            ("http://u:p@h:1/x?y", "http://[redacted]@h:1/x?y"),
            ("http://h/a@b", "http://h/a@b"),
            ("CRON_SECRET=abc d", "CRON_SECRET=[redacted] d"),
            ("API_KEY=\"a b\" c", "API_KEY=\"[redacted]\" c"),
            ("TOKEN=\nroot=/dev/vda1", "TOKEN=\nroot=/dev/vda1"),
            ("/home/ada/x /home/adam", "~/x /home/adam"),
            ("é=ü", "é=ü"),
        ] {
            assert_eq!(redact(text), shown, "{text}");
        }
        let marked = redact(&format!("sha256-{hex}/x {hex}"));
        let (first, second) = marked.split_once("/x ").unwrap();
        assert_eq!(first.strip_prefix("sha256-"), Some(second));
        assert!(!marked.contains(&hex[..16]), "{marked}");
    }

    #[test]
    fn a_known_value_is_taken_out_of_anything() {
        let mut redactor = Redactor::new(None);
        redactor.hide("open sesame");
        assert_eq!(redactor.redact("xopen sesamey"), format!("x{GONE}y"));
    }

    proptest! {
        #[test]
        fn no_value_of_ours_gets_through(
            before in "\\PC{0,30}",
            value in "[0-9a-f]{64}",
            after in "\\PC{0,30}",
        ) {
            let shown = redact(&format!("{before}{value}{after}"));
            prop_assert!(!shown.contains(&value));
        }

        #[test]
        fn plain_prose_stays(text in "[a-z ,\n]{0,200}") {
            prop_assert_eq!(redact(&text), text);
        }
    }
}
