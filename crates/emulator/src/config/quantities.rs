//! Numbers with units for people, three significant digits at most: `0.71 s`,
//! `18.4 s`, `148 MB`. One way of writing them, whichever shell shows them.

/// A time in milliseconds, as seconds.
pub fn seconds(ms: f64) -> String {
    format!("{} s", significant(ms / 1e3))
}

/// A size in bytes, in decimal units as disks are sold in.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn bytes(bytes: u64) -> String {
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in ["kB", "MB", "GB", "TB"] {
        // What would be shown as 1000 is 1.00 of the next unit.
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    format!("{} {unit}", significant(value))
}

/// A stretch of time in milliseconds, for which its order is enough: `3 min`.
pub fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// How many times one time is another: `24×`.
pub fn factor(of: f64, by: f64) -> String {
    let factor = of / by;
    if factor < 9.95 {
        format!("{factor:.1}×")
    } else {
        format!("{factor:.0}×")
    }
}

fn significant(value: f64) -> String {
    // The bounds are where rounding would add a digit.
    if value < 9.995 {
        format!("{value:.2}")
    } else if value < 99.95 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits() {
        for (ms, text) in [
            (0.0, "0.00 s"),
            (4.9, "0.00 s"),
            (712.4, "0.71 s"),
            (9_994.0, "9.99 s"),
            (9_996.0, "10.0 s"),
            (18_437.0, "18.4 s"),
            (99_960.0, "100 s"),
            (130_400.0, "130 s"),
        ] {
            assert_eq!(seconds(ms), text, "{ms} ms");
        }
    }

    #[test]
    fn sizes_change_units_where_a_fourth_digit_would_come() {
        for (size, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.00 kB"),
            (148_400_000, "148 MB"),
            (999_499_999, "999 MB"),
            (999_600_000, "1.00 GB"),
            (1_234_567_890, "1.23 GB"),
            (8_589_934_592, "8.59 GB"),
            (u64::MAX, "18446744 TB"),
        ] {
            assert_eq!(bytes(size), text, "{size}");
        }
    }

    #[test]
    fn spans_are_in_the_largest_unit_that_fits() {
        for (ms, text) in [
            (999, "0 s"),
            (59_999, "59 s"),
            (60_000, "1 min"),
            (7_200_000, "2 h"),
            (172_799_999, "47 h"),
            (172_800_000, "2 days"),
        ] {
            assert_eq!(span(ms), text, "{ms} ms");
        }
    }

    #[test]
    fn factors_are_compared_times() {
        assert_eq!(factor(18_400.0, 710.0), "26×");
        assert_eq!(factor(3.0, 2.0), "1.5×");
    }
}
