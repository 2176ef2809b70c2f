//! The time, in milliseconds since 1970, as the API and the tables have it.

use std::time::{SystemTime, UNIX_EPOCH};

/// A day.
pub(crate) const DAY: i64 = 24 * 60 * 60 * 1000;

/// Now. A machine whose clock is before 1970 is at 0.
pub(crate) fn now_millis() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_millis()).ok())
        .unwrap_or_default()
}
