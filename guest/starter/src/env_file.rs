//! `NAME=value` files: `runtime.env` from the host and `secrets.env` of the guest.
//!
//! The format is the plainest there is: one entry a line, no quoting, no expansion, `#` for comments.
//! Values are handed out as they stand.

/// The largest file that is read, in bytes. Real ones have a few hundred.
pub const MAX_BYTES: usize = 64 * 1024;

/// Why a file is not a list of `NAME=value` lines. Values are never quoted, since they may be secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnvFileError {
    /// Larger than [`MAX_BYTES`].
    #[error("is larger than {MAX_BYTES} bytes")]
    TooLarge,
    /// Not UTF-8, or holds a NUL.
    #[error("is not plain text")]
    NotText,
    /// A line that is no `NAME=value`; lines count from 1.
    #[error("line {0} is not NAME=value")]
    NoAssignment(usize),
    /// A name given twice; lines count from 1.
    #[error("line {0} repeats a name")]
    Repeated(usize),
}

/// Splits a file into its entries, in their order.
///
/// # Errors
/// [`EnvFileError`] names the first line that is wrong.
pub fn parse(bytes: &[u8]) -> Result<Vec<(&str, &str)>, EnvFileError> {
    if bytes.len() > MAX_BYTES {
        return Err(EnvFileError::TooLarge);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| EnvFileError::NotText)?;
    if text.contains('\0') {
        return Err(EnvFileError::NotText);
    }
    let mut entries: Vec<(&str, &str)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_end_matches('\r');
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = line
            .split_once('=')
            .filter(|(name, _)| is_name(name))
            .ok_or(EnvFileError::NoAssignment(index + 1))?;
        if entries.iter().any(|(known, _)| *known == name) {
            return Err(EnvFileError::Repeated(index + 1));
        }
        entries.push((name, value));
    }
    Ok(entries)
}

/// The value of `name`, if the file has it.
pub fn find<'a>(entries: &[(&'a str, &'a str)], name: &str) -> Option<&'a str> {
    entries
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, value)| *value)
}

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_the_host_writes() {
        let entries = parse(b"# a comment\nA=1\r\n\nB=x=y \n_C=\n").unwrap();
        assert_eq!(entries, [("A", "1"), ("B", "x=y "), ("_C", "")]);
        assert_eq!(find(&entries, "B"), Some("x=y "));
        assert_eq!(find(&entries, "b"), None);
    }

    #[test]
    fn each_fault_is_named() {
        assert_eq!(parse(b"A=1\nB\n"), Err(EnvFileError::NoAssignment(2)));
        assert_eq!(parse(b"A=1\n=2\n"), Err(EnvFileError::NoAssignment(2)));
        assert_eq!(parse(b"A=1\n2=2\n"), Err(EnvFileError::NoAssignment(2)));
        assert_eq!(parse(b"A=1\nB=2\nA=3\n"), Err(EnvFileError::Repeated(3)));
        assert_eq!(parse(b"A=\xff"), Err(EnvFileError::NotText));
        assert_eq!(parse(b"A=\0"), Err(EnvFileError::NotText));
        assert_eq!(
            parse(&vec![b'#'; MAX_BYTES + 1]),
            Err(EnvFileError::TooLarge)
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_handled(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            if let Ok(entries) = parse(&bytes) {
                for (name, _) in entries {
                    prop_assert!(is_name(name));
                }
            }
        }

        #[test]
        fn entries_come_back(
            entries in proptest::collection::btree_map("[A-Z_][A-Z0-9_]{0,12}", "[^\\pC]{0,20}", 0..8)
        ) {
            let lines: Vec<_> = entries.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
            let text = lines.concat();
            let parsed = parse(text.as_bytes()).unwrap();
            let expected: Vec<_> = entries.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            prop_assert_eq!(parsed, expected);
        }
    }
}
