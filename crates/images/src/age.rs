//! How old an image is, where that is worth a word: people expect what is rolling to be new.

use jiff::{SignedDuration, Timestamp};

/// From this age on it is said.
const WORTH_A_WORD: SignedDuration = SignedDuration::from_hours(6 * 7 * 24);

/// The age of what was published at `published_at` (RFC 3339), such as `6 months`, if it is more than six
/// weeks; `now_ms` is in milliseconds since the Unix epoch.
pub fn worth_a_word(published_at: &str, now_ms: u64) -> Option<String> {
    let published: Timestamp = published_at.parse().ok()?;
    let now = Timestamp::from_millisecond(i64::try_from(now_ms).ok()?).ok()?;
    let age = now.duration_since(published);
    if age < WORTH_A_WORD {
        return None;
    }
    let days = age.as_hours() / 24;
    // Months and years of mean length.
    Some(match days {
        ..61 => format!("{} weeks", days / 7),
        61..730 => format!("{} months", days * 10 / 304),
        _ => format!("{} years", days / 365),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_old_image_s_age_is_in_the_unit_that_fits() {
        let now: Timestamp = "2026-12-01T00:00:00Z".parse().unwrap();
        let now = u64::try_from(now.as_millisecond()).unwrap();
        for (published, age) in [
            ("2026-11-30T00:00:00Z", None),
            ("2027-01-01T00:00:00Z", None),
            ("2026-10-21T00:00:00Z", None),
            ("2026-10-19T00:00:00Z", Some("6 weeks")),
            ("2026-10-01T00:00:00Z", Some("2 months")),
            ("2026-05-16T09:00:00Z", Some("6 months")),
            ("2025-12-01T00:00:00+02:00", Some("12 months")),
            ("2024-11-01T00:00:00Z", Some("2 years")),
            ("some day", None),
        ] {
            assert_eq!(worth_a_word(published, now).as_deref(), age, "{published}");
        }
    }

    proptest! {
        #[test]
        fn no_text_and_no_clock_is_too_odd(text in "\\PC{0,30}", year in 0..9999_u32, now in any::<u64>()) {
            worth_a_word(&text, now);
            worth_a_word(&format!("{year:04}-01-01T00:00:00Z"), now);
        }
    }
}
