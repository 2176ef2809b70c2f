//! Names of the Joliet tree: which are allowed, and which of them clash.

use crate::error::NameFault;

/// Longest file or folder name, in UTF-16 units.
///
/// The Joliet specification says 64. 103 is what `genisoimage -joliet-long` and
/// `xorriso -compliance joliet_long_names` write and readers accept; with the
/// version suffix `;1` it fills 244 of the 255 bytes a directory record can have.
pub const MAX_NAME_UNITS: usize = 103;

/// Longest file or folder name, in bytes of UTF-8.
///
/// Linux converts the recorded name, `;1` included, to UTF-8 and keeps that
/// length in one byte (`get_joliet_filename` in `fs/isofs/joliet.c`): a longer
/// name would come out cut at its length modulo 256.
pub const MAX_NAME_BYTES: usize = 255 - ";1".len();

/// What keeps `name` out of the Joliet tree, if anything does.
pub(crate) fn fault(name: &str) -> Option<NameFault> {
    if name.is_empty() {
        return Some(NameFault::Empty);
    }
    if name == "." || name == ".." {
        return Some(NameFault::Relative);
    }
    for found in name.chars() {
        // "Allowed Character Set" of the Joliet specification.
        if found < ' ' || matches!(found, '*' | '/' | ':' | ';' | '?' | '\\') {
            return Some(NameFault::Character { found });
        }
        if found > '\u{ffff}' {
            return Some(NameFault::NotUcs2 { found });
        }
    }
    if name.ends_with('.') {
        return Some(NameFault::TrailingDot);
    }
    let units = name.encode_utf16().count();
    if units > MAX_NAME_UNITS {
        return Some(NameFault::TooManyUnits { units });
    }
    (name.len() > MAX_NAME_BYTES).then_some(NameFault::TooManyBytes { bytes: name.len() })
}

/// Equal for names that readers cannot tell apart.
///
/// Linux mounts Joliet with `check=relaxed`, which compares ASCII letters
/// without regard to case; Windows and macOS do so for all letters. The key
/// covers the widest of these, so that a volume reads alike everywhere.
pub(crate) fn clash_key(name: &str) -> String {
    name.chars().flat_map(char::to_lowercase).collect()
}

/// `text` as UCS-2, most significant byte first.
pub(crate) fn ucs2(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_guests_open_are_allowed() {
        for name in [
            "runtime.env",
            "user-data",
            ".env",
            "a b",
            "grüße.txt",
            "名前",
            "~$x",
            "(group)",
            "[id].js",
            "..x",
            "\u{ffff}",
        ] {
            assert_eq!(fault(name), None, "{name:?}");
        }
    }

    #[test]
    fn names_joliet_cannot_hold_are_refused() {
        assert_eq!(fault(""), Some(NameFault::Empty));
        assert_eq!(fault("."), Some(NameFault::Relative));
        assert_eq!(fault(".."), Some(NameFault::Relative));
        for found in ['\0', '\u{1f}', '\n', '*', '/', ':', ';', '?', '\\'] {
            assert_eq!(
                fault(&format!("a{found}b")),
                Some(NameFault::Character { found })
            );
        }
        assert_eq!(fault("🚀.txt"), Some(NameFault::NotUcs2 { found: '🚀' }));
        assert_eq!(fault("end."), Some(NameFault::TrailingDot));
        assert_eq!(fault("..."), Some(NameFault::TrailingDot));
    }

    #[test]
    fn both_length_limits_are_inclusive() {
        assert_eq!(fault(&"x".repeat(103)), None);
        assert_eq!(
            fault(&"x".repeat(104)),
            Some(NameFault::TooManyUnits { units: 104 })
        );
        let cjk = format!("{}x", "名".repeat(84));
        assert_eq!((cjk.len(), fault(&cjk)), (253, None));
        assert_eq!(
            fault(&format!("{cjk}x")),
            Some(NameFault::TooManyBytes { bytes: 254 })
        );
    }

    #[test]
    fn case_alone_makes_no_other_name() {
        assert_eq!(clash_key("README.md"), clash_key("ReadMe.MD"));
        assert_eq!(clash_key("GRÜSSE"), clash_key("grüsse"));
        assert_ne!(clash_key("a"), clash_key("b"));
    }
}
