//! How much memory there is.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use crate::system;

/// All memory of this host in bytes, where the system tells.
pub fn total() -> Option<u64> {
    system::memory_total()
}

/// Memory in bytes that the system can give without swapping, where it tells.
pub fn available() -> Option<u64> {
    system::memory_available()
}

/// A new file in memory that only this process has, and the path by which processes of the same user
/// can open it while this one has it open. `None` where the system has no such files.
pub fn nameless_file(purpose: &str) -> io::Result<Option<(File, PathBuf)>> {
    system::nameless_file(purpose)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_nameless_file_is_found_by_its_path_while_it_is_open() {
        let (file, path) = nameless_file("test").unwrap().unwrap();
        std::fs::write(&path, "memory").unwrap();
        assert_eq!(std::io::read_to_string(&file).unwrap(), "memory");
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn the_host_has_memory() {
        let total = total().unwrap();
        assert!(total > 256 << 20, "{total}");
        let available = available().unwrap();
        assert!((1..=total).contains(&available), "{available} of {total}");
    }
}
