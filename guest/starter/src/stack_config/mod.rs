//! Understanding a `stack.config.ts` without running it.
//!
//! The file is TypeScript, but what the app's developer writes in it is almost always one object
//! literal: `export const config: StackConfig = { … };`. So a scanner that knows comments and strings
//! finds that literal, and a JSON5 parser reads it. What only running the file could tell, such as a
//! call or a variable, is an error that says where.

mod settings;

use serde_json::{Map, Value};

/// How deep brackets may be nested; keeps recursion in the parser bounded.
const MAX_DEPTH: usize = 64;

/// Why a config file was not understood. Lines and columns count from 1.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// No `export const config` or `export default`.
    #[error("there is no `export const config = {{ … }}` in it")]
    NoExport,
    /// The export is not an object literal.
    #[error(
        "line {line}, column {column}: `config` must be an object literal, `{{ … }}`; the emulator does not run the file"
    )]
    NotLiteral {
        /// Where the value starts.
        line: usize,
        /// Where the value starts.
        column: usize,
    },
    /// A bracket, string or comment that has no end.
    #[error("line {line}, column {column}: this is never closed")]
    Unclosed {
        /// Where it starts.
        line: usize,
        /// Where it starts.
        column: usize,
    },
    /// Brackets nested deeper than 64.
    #[error("line {line}, column {column}: nested deeper than {MAX_DEPTH} levels")]
    TooDeep {
        /// The bracket that is too much.
        line: usize,
        /// The bracket that is too much.
        column: usize,
    },
    /// The literal has something in it that is not plain data.
    #[error(
        "only plain data is understood (strings, numbers, true, false, null, lists and objects): {0}"
    )]
    NotData(String),
    /// A setting that there is not, or whose value is of another kind.
    #[error("line {line}, column {column}: {text}")]
    NotASetting {
        /// Where its name stands.
        line: usize,
        /// Where its name stands.
        column: usize,
        /// The setting's name and what is wrong with it.
        text: String,
    },
}

/// Reads the settings from a file's text, and checks that there are such settings. A file with nothing but
/// comments means no settings.
///
/// # Errors
/// [`ConfigError`] says where and what.
pub fn read(text: &str) -> Result<Value, ConfigError> {
    let config = parse(text)?;
    settings::check(&config).map_err(|fault| {
        let start = name_of(text, &fault.names).unwrap_or_default();
        let (line, column) = position(text, start);
        ConfigError::NotASetting {
            line,
            column,
            text: fault.text,
        }
    })?;
    Ok(config)
}

/// Reads the object from a file's text, whatever is in it.
///
/// # Errors
/// [`ConfigError`] says where and what.
pub fn parse(text: &str) -> Result<Value, ConfigError> {
    let tokens = scan(text)?;
    if tokens.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    let start = find_value(&tokens).ok_or(ConfigError::NoExport)?;
    let open = &tokens[start];
    if open.kind != Kind::Open(b'{') {
        let (line, column) = position(text, open.start);
        return Err(ConfigError::NotLiteral { line, column });
    }
    let end = close_of(text, &tokens[start..])?;

    // With all before it blanked out, the parser's positions are those of the file.
    let mut blanked: String = text[..open.start]
        .chars()
        .map(|character| if character == '\n' { '\n' } else { ' ' })
        .collect();
    blanked.push_str(&text[open.start..end]);
    json5::from_str(&blanked).map_err(|error| ConfigError::NotData(error.to_string()))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Word,
    Text,
    Open(u8),
    Close(u8),
    Other(u8),
}

#[derive(Debug)]
struct Token {
    kind: Kind,
    start: usize,
    end: usize,
    is: Option<Keyword>,
}

/// The words that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keyword {
    Export,
    Const,
    Config,
    Default,
}

/// Splits the text into tokens, leaving out white space and comments.
fn scan(text: &str) -> Result<Vec<Token>, ConfigError> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let start = at;
        let rest = &text[at..];
        let kind = match byte {
            _ if rest.starts_with("//") => {
                at += rest.find('\n').unwrap_or(rest.len());
                continue;
            }
            _ if rest.starts_with("/*") => {
                let length = rest[2..].find("*/").ok_or_else(|| unclosed(text, start))?;
                at += length + 4;
                continue;
            }
            b'"' | b'\'' | b'`' => {
                at = end_of_string(bytes, at).ok_or_else(|| unclosed(text, start))?;
                Kind::Text
            }
            b'{' | b'[' | b'(' => {
                at += 1;
                Kind::Open(byte)
            }
            b'}' | b']' | b')' => {
                at += 1;
                Kind::Close(byte)
            }
            _ => {
                let word = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                if word > 0 {
                    at += word;
                    Kind::Word
                } else {
                    let character = rest.chars().next().unwrap_or_default();
                    at += character.len_utf8();
                    // A byte order mark counts as white space, as it does in JavaScript.
                    if character.is_whitespace() || character == '\u{feff}' {
                        continue;
                    }
                    Kind::Other(byte)
                }
            }
        };
        let is = match &text[start..at] {
            "export" => Some(Keyword::Export),
            "const" | "let" | "var" => Some(Keyword::Const),
            "config" => Some(Keyword::Config),
            "default" => Some(Keyword::Default),
            _ => None,
        };
        tokens.push(Token {
            kind,
            start,
            end: at,
            is,
        });
    }
    Ok(tokens)
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '$')
}

fn end_of_string(bytes: &[u8], start: usize) -> Option<usize> {
    let quote = bytes[start];
    let mut at = start + 1;
    loop {
        match *bytes.get(at)? {
            b'\\' => at += 2,
            byte if byte == quote => return Some(at + 1),
            b'\n' if quote != b'`' => return None,
            _ => at += 1,
        }
    }
}

/// The index of the first token of the exported value.
fn find_value(tokens: &[Token]) -> Option<usize> {
    let is = |index: usize, keyword| {
        tokens.get(index).and_then(|token: &Token| token.is) == Some(keyword)
    };
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate() {
        match token.kind {
            Kind::Open(_) => depth += 1,
            Kind::Close(_) => depth = depth.saturating_sub(1),
            Kind::Word if depth == 0 && token.is == Some(Keyword::Export) => {
                let value = if is(index + 1, Keyword::Const) && is(index + 2, Keyword::Config) {
                    after_equals(tokens, index + 3)
                } else if is(index + 1, Keyword::Default) {
                    Some(index + 2)
                } else {
                    None
                };
                if let Some(value) = value.filter(|value| *value < tokens.len()) {
                    return Some(value);
                }
            }
            Kind::Word | Kind::Text | Kind::Other(_) => {}
        }
    }
    None
}

/// Skips a type annotation, which may hold brackets and arrows, up to the `=` after it.
fn after_equals(tokens: &[Token], start: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(start) {
        match token.kind {
            Kind::Open(_) => depth += 1,
            Kind::Close(_) => depth = depth.checked_sub(1)?,
            Kind::Other(b'=') if depth == 0 => {
                let arrow = tokens
                    .get(index + 1)
                    .is_some_and(|next| next.kind == Kind::Other(b'>'));
                if !arrow {
                    return Some(index + 1);
                }
            }
            Kind::Other(b';') if depth == 0 => return None,
            Kind::Word | Kind::Text | Kind::Other(_) => {}
        }
    }
    None
}

/// Where the bracket that the tokens start with is closed.
fn close_of(text: &str, tokens: &[Token]) -> Result<usize, ConfigError> {
    let mut open = Vec::new();
    for token in tokens {
        match token.kind {
            Kind::Open(bracket) => {
                open.push((bracket, token.start));
                if open.len() > MAX_DEPTH {
                    let (line, column) = position(text, token.start);
                    return Err(ConfigError::TooDeep { line, column });
                }
            }
            Kind::Close(bracket) => {
                let expected = match open.pop() {
                    Some((b'{', _)) => b'}',
                    Some((b'[', _)) => b']',
                    Some(_) | None => b')',
                };
                if bracket != expected {
                    return Err(unclosed(text, token.start));
                }
                if open.is_empty() {
                    return Ok(token.end);
                }
            }
            Kind::Word | Kind::Text | Kind::Other(_) => {}
        }
    }
    Err(unclosed(text, open.last().map_or(0, |(_, start)| *start)))
}

/// Where the last of `names` stands, each being in the object that the one before it names.
fn name_of(text: &str, names: &[String]) -> Option<usize> {
    let tokens = scan(text).ok()?;
    let mut at = find_value(&tokens)?;
    let mut found = None;
    for name in names {
        // Inside of the object whose bracket `at` is.
        let mut depth = 0_usize;
        let mut last = None;
        for (index, token) in tokens.iter().enumerate().skip(at) {
            match token.kind {
                Kind::Open(_) => depth += 1,
                Kind::Close(_) => {
                    depth = depth.checked_sub(1)?;
                    if depth == 0 {
                        break;
                    }
                }
                Kind::Word | Kind::Text if depth == 1 => {
                    let is_name = tokens
                        .get(index + 1)
                        .is_some_and(|next| next.kind == Kind::Other(b':'));
                    if is_name && spelt(&text[token.start..token.end]).as_ref() == Some(name) {
                        // Of two with one name the later one counts.
                        last = Some(index);
                    }
                }
                Kind::Word | Kind::Text | Kind::Other(_) => {}
            }
        }
        let index = last?;
        found = Some(tokens[index].start);
        at = index + 2;
    }
    found
}

/// What a name in an object is, with or without quotes.
fn spelt(token: &str) -> Option<String> {
    if token.starts_with(['"', '\'']) {
        json5::from_str(token).ok()
    } else {
        Some(token.to_owned())
    }
}

fn unclosed(text: &str, start: usize) -> ConfigError {
    let (line, column) = position(text, start);
    ConfigError::Unclosed { line, column }
}

fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..offset];
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (line, before[start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn usual_files_are_understood() {
        let expected =
            json!({ "auth": { "allowSignUp": true, "password": { "allowSignIn": true } } });
        for text in [
            "export const config = { auth: { allowSignUp: true, password: { allowSignIn: true } } };",
            "import { StackConfig } from '@stackframe/js';\n// export const config = {}\nexport const config: StackConfig = {\n  'auth': { \"allowSignUp\": true, /* } */ password: { allowSignIn: true, }, },\n}",
            "export const config: { f: (x: number) => void } = { auth: { allowSignUp: true, password: { allowSignIn: true } } } as const;",
            "export const config = { auth: { allowSignUp: true, password: { allowSignIn: true } } } satisfies StackConfig;\nexport const other = f();",
            "\u{feff}export default { auth: { allowSignUp: true, password: { allowSignIn: true } } }\n",
        ] {
            assert_eq!(parse(text).as_ref(), Ok(&expected), "{text}");
        }
    }

    #[test]
    fn nothing_in_the_file_is_no_settings() {
        for text in ["", "  \n", "// only a comment", "/* { */"] {
            assert_eq!(parse(text), Ok(json!({})));
        }
    }

    #[test]
    fn data_of_all_kinds_is_read() {
        let text = r#"export const config = { "a.b": 'it\'s', list: [1, 2.5, -3, null,], "}": "{", url: "http://x//y" }"#;
        let expected =
            json!({ "a.b": "it's", "list": [1, 2.5, -3, null], "}": "{", "url": "http://x//y" });
        assert_eq!(parse(text), Ok(expected));
    }

    #[test]
    fn what_only_running_could_tell_is_refused_with_a_position() {
        assert_eq!(parse("const config = {};"), Err(ConfigError::NoExport));
        assert_eq!(
            parse("export const configs = {};"),
            Err(ConfigError::NoExport)
        );
        assert_eq!(
            parse("\n  export const config = make();"),
            Err(ConfigError::NotLiteral {
                line: 2,
                column: 25
            })
        );
        assert_eq!(
            parse("export const config = {\n  a: [\n};"),
            Err(ConfigError::Unclosed { line: 3, column: 1 })
        );
        assert_eq!(
            parse("export const config = { a: 'x };"),
            Err(ConfigError::Unclosed {
                line: 1,
                column: 28
            })
        );
        let error = parse("export const config = {\n  key: process.env.KEY,\n};").unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
        assert!(parse("export const config = { ...base };").is_err());
        assert!(parse("export const config = { a: `x` };").is_err());
    }

    #[test]
    fn a_setting_that_is_wrong_is_found_in_the_file() {
        let at = |text: &str| match read(text) {
            Err(ConfigError::NotASetting { line, column, .. }) => (line, column),
            other => panic!("{text}: {other:?}"),
        };
        let text = "import { f } from 'pasword';\nexport const config = {\n  auth: {\n    otp: { allowSignIn: true },\n    // pasword\n    pasword: {},\n  },\n};";
        assert_eq!(at(text), (6, 5));
        assert_eq!(
            read(text).unwrap_err().to_string(),
            "line 6, column 5: `auth.pasword` is not a setting: there is no `pasword`; did you mean `password`?"
        );
        // In the object that it is in, not in one before it.
        assert_eq!(at("export default { a: 1 , teams: { a: true } }"), (1, 18));
        assert_eq!(
            at(
                "export default {\n teams: {},\n 'auth': {\n  \"oauth.providers\": {\n   x: { allowSignIn: 1 } } } }"
            ),
            (5, 9)
        );
        assert_eq!(at("export default { teams: {}, teams: 1 }"), (1, 29));
        assert_eq!(
            at("export default {\n domains: { trustedDomains: [\n { url: 'x' }] } }"),
            (2, 13)
        );
        assert!(read("export default { auth: { password: { allowSignIn: true } } }").is_ok());
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| {
            format!(
                "export const config = {{ a: {}{} }}",
                "[".repeat(depth),
                "]".repeat(depth)
            )
        };
        assert!(parse(&nested(MAX_DEPTH - 1)).is_ok());
        assert!(matches!(
            parse(&nested(MAX_DEPTH)),
            Err(ConfigError::TooDeep { .. })
        ));
        assert!(matches!(
            parse(&nested(1_000_000)),
            Err(ConfigError::TooDeep { .. })
        ));
    }

    fn any_data() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[^\\pC]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[^\\pC]{1,8}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn json_is_read_as_itself(
            data in proptest::collection::btree_map("[^\\pC]{1,8}", any_data(), 0..5),
            pretty in any::<bool>(),
        ) {
            let data = Value::Object(data.into_iter().collect());
            let literal = if pretty { format!("{data:#}") } else { data.to_string() };
            let text = format!("// {{\nexport const config: A<{{ b: '}}' }}> = {literal};\n");
            prop_assert_eq!(parse(&text), Ok(data));
        }

        #[test]
        fn any_text_is_handled(text in ".{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn any_literal_is_handled(text in "[ -~\\n]{0,80}") {
            let _ = parse(&format!("export const config = {{{text}}}"));
        }
    }
}
