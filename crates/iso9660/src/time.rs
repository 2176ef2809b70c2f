//! The one moment a volume carries, in the two encodings ECMA-119 has for it.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::Error;

/// A moment in UTC, to the second, from 1970 to 2155.
///
/// A volume has one: its descriptors and every file and folder in it carry the
/// same time, so the image depends on nothing the caller did not give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    year: u16,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
}

/// Directory records count years from 1900 in one byte.
const LAST_YEAR: u64 = 1900 + 255;

impl Timestamp {
    /// 1970-01-01 00:00:00 UTC.
    pub const UNIX_EPOCH: Self = Self {
        year: 1970,
        month: 1,
        day: 1,
        hour: 0,
        minute: 0,
        second: 0,
    };

    /// The moment `seconds` after 1970-01-01 00:00:00 UTC.
    ///
    /// # Errors
    /// [`Error::TimeOutOfRange`] after 2155-12-31 23:59:59.
    pub fn from_unix_seconds(seconds: u64) -> Result<Self, Error> {
        let out_of_range = || Error::TimeOutOfRange { seconds };
        let small = |value: u64| u8::try_from(value).map_err(|_| out_of_range());

        // Years counted from March put the leap day last, which makes the length
        // of the months before any given one a linear formula; 719 468 days lie
        // between 0000-03-01 and 1970-01-01.
        let days = seconds / 86_400 + 719_468;
        let era_day = days % 146_097;
        let era_year = (era_day - era_day / 1_460 + era_day / 36_524 - era_day / 146_096) / 365;
        let year_day = era_day - (365 * era_year + era_year / 4 - era_year / 100);
        let march_month = (5 * year_day + 2) / 153;
        let day = year_day - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 {
            march_month + 3
        } else {
            march_month - 9
        };
        let year = days / 146_097 * 400 + era_year + u64::from(month <= 2);
        if year > LAST_YEAR {
            return Err(out_of_range());
        }
        let second_of_day = seconds % 86_400;
        Ok(Self {
            year: u16::try_from(year).map_err(|_| out_of_range())?,
            month: small(month)?,
            day: small(day)?,
            hour: small(second_of_day / 3_600)?,
            minute: small(second_of_day / 60 % 60)?,
            second: small(second_of_day % 60)?,
        })
    }

    /// ECMA-119 9.1.5, for directory records: seven numbers, the last the
    /// offset from UTC in quarters of an hour.
    pub(crate) fn record_form(self) -> [u8; 7] {
        // From 1970 to 2155 the subtraction always fits.
        let years = u8::try_from(self.year - 1900).unwrap_or(u8::MAX);
        [
            years,
            self.month,
            self.day,
            self.hour,
            self.minute,
            self.second,
            0,
        ]
    }

    /// ECMA-119 8.4.26.1, for volume descriptors: digits down to hundredths of
    /// a second, then the offset from UTC.
    pub(crate) fn descriptor_form(self) -> [u8; 17] {
        let digits = format!(
            "{:04}{:02}{:02}{:02}{:02}{:02}00",
            self.year, self.month, self.day, self.hour, self.minute, self.second
        );
        let mut form = [0; 17];
        for (place, digit) in form.iter_mut().zip(digits.bytes()) {
            *place = digit;
        }
        form
    }
}

/// ECMA-119 8.4.26.1 for a moment that is not specified: all digits zero.
pub(crate) const UNSPECIFIED: [u8; 17] = *b"0000000000000000\0";

impl TryFrom<SystemTime> for Timestamp {
    type Error = Error;

    /// Drops fractions of a second; a clock before 1970 counts as 1970.
    fn try_from(time: SystemTime) -> Result<Self, Error> {
        let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::from_unix_seconds(since_epoch.as_secs())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn digits(seconds: u64) -> String {
        let form = Timestamp::from_unix_seconds(seconds)
            .unwrap()
            .descriptor_form();
        assert_eq!(form[16], 0);
        String::from_utf8(form[..16].to_vec()).unwrap()
    }

    #[test]
    fn moments_come_out_as_calendar_dates() {
        // Cross-checked with `date -u -d @N +%Y%m%d%H%M%S`.
        assert_eq!(digits(0), "1970010100000000");
        assert_eq!(digits(951_782_399), "2000022823595900");
        assert_eq!(digits(951_782_400), "2000022900000000");
        assert_eq!(digits(951_868_800), "2000030100000000");
        assert_eq!(digits(1_700_000_000), "2023111422132000");
        assert_eq!(digits(4_107_542_400), "2100030100000000");
        assert_eq!(digits(5_869_583_999), "2155123123595900");
        assert_eq!(
            Timestamp::from_unix_seconds(0).unwrap(),
            Timestamp::UNIX_EPOCH
        );
    }

    #[test]
    fn directory_records_count_years_from_1900() {
        let time = Timestamp::from_unix_seconds(1_700_000_000).unwrap();
        assert_eq!(time.record_form(), [123, 11, 14, 22, 13, 20, 0]);
        let last = Timestamp::from_unix_seconds(5_869_583_999).unwrap();
        assert_eq!(last.record_form(), [255, 12, 31, 23, 59, 59, 0]);
    }

    #[test]
    fn later_moments_are_refused() {
        for seconds in [5_869_584_000, u64::MAX] {
            assert!(matches!(
                Timestamp::from_unix_seconds(seconds),
                Err(Error::TimeOutOfRange { seconds: s }) if s == seconds
            ));
        }
    }

    #[test]
    fn a_clock_before_1970_counts_as_1970() {
        let before = UNIX_EPOCH - std::time::Duration::from_secs(1);
        assert_eq!(Timestamp::try_from(before).unwrap(), Timestamp::UNIX_EPOCH);
    }
}
