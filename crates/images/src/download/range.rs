//! The `Content-Range` header.

/// Which bytes a server says it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContentRange {
    /// `bytes first-last/total`, or `*` for a total that is not known.
    Bytes {
        first: u64,
        last: u64,
        total: Option<u64>,
    },
    /// `bytes */total`: none, for the file is not that long.
    Unsatisfied { total: u64 },
}

impl ContentRange {
    /// `None` for anything that is not of that form or contradicts itself.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (unit, rest) = text.trim().split_once(' ')?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (range, total) = rest.trim().split_once('/')?;
        let total = match total {
            "*" => None,
            total => Some(number(total)?),
        };
        if range == "*" {
            return Some(Self::Unsatisfied { total: total? });
        }
        let (first, last) = range.split_once('-')?;
        let (first, last) = (number(first)?, number(last)?);
        (first <= last && total.is_none_or(|total| last < total)).then_some(Self::Bytes {
            first,
            last,
            total,
        })
    }
}

/// Digits alone; `parse` would take a sign as well.
fn number(text: &str) -> Option<u64> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_contradicts_itself_is_none() {
        for text in [
            "",
            "bytes",
            "bytes 1-2",
            "bytes 2-1/9",
            "bytes 0-9/9",
            "bytes */*",
            "lines 0-1/2",
            "bytes -1-2/9",
            "bytes +1-2/9",
            "bytes 0-18446744073709551616/*",
        ] {
            assert_eq!(ContentRange::parse(text), None, "{text}");
        }
        assert_eq!(
            ContentRange::parse("bytes */9"),
            Some(ContentRange::Unsatisfied { total: 9 })
        );
    }

    proptest! {
        #[test]
        fn a_range_is_read_as_written(first: u32, length in 1u32.., more: u32) {
            let (first, last) = (u64::from(first), u64::from(first) + u64::from(length) - 1);
            let total = last + 1 + u64::from(more);
            let read = ContentRange::parse(&format!("bytes {first}-{last}/{total}"));
            prop_assert_eq!(read, Some(ContentRange::Bytes { first, last, total: Some(total) }));
        }

        #[test]
        fn any_text_is_read_or_not(text in "\\PC{0,60}") {
            let _ = ContentRange::parse(&text);
        }
    }
}
