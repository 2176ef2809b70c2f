//! The time, and which boot of the host this is.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::system;

/// Milliseconds since the Unix epoch.
pub fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// An identifier of the current boot: the next boot has another one.
///
/// # Errors
///
/// If the system does not tell.
pub fn boot_id() -> io::Result<String> {
    system::boot_id()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_has_one_id() {
        let id = boot_id().unwrap();
        assert!(!id.is_empty() && id.trim() == id, "{id:?}");
        assert_eq!(boot_id().unwrap(), id);
    }
}
