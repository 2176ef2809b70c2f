//! How much memory there is.

use crate::system;

/// All memory of this host in bytes, where the system tells.
pub fn total() -> Option<u64> {
    system::memory_total()
}

/// Memory in bytes that the system can give without swapping, where it tells.
pub fn available() -> Option<u64> {
    system::memory_available()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_has_memory() {
        let total = total().unwrap();
        assert!(total > 256 << 20, "{total}");
        let available = available().unwrap();
        assert!((1..=total).contains(&available), "{available} of {total}");
    }
}
