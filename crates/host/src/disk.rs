//! Free space, and what will still take some.

use std::io;
use std::path::Path;

use crate::system;

/// The bytes that this user may still write on the disk of `folder`.
///
/// # Errors
///
/// Those of the system, if the folder is not there for instance.
pub fn free_bytes(folder: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// The bytes that `file` will still take where it is mapped and read: on a file system in memory, a hole
/// becomes a page at the first look at it. 0 on every other one.
///
/// # Errors
///
/// Those of the system, if the file is not there for instance.
pub fn bytes_to_come(file: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    if !system::is_in_memory(file)? {
        return Ok(0);
    }
    let meta = std::fs::metadata(file)?;
    Ok(meta.len().saturating_sub(meta.blocks() * 512))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_free_space_and_a_missing_one_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(free_bytes(dir.path()).unwrap() > 0);
        assert!(free_bytes(&dir.path().join("missing")).is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn holes_of_a_file_in_memory_are_to_come() {
        let Ok(file) = tempfile::NamedTempFile::new_in("/dev/shm") else {
            return;
        };
        file.as_file().set_len(1 << 20).unwrap();
        assert_eq!(bytes_to_come(file.path()).unwrap(), 1 << 20);
        std::fs::write(file.path(), vec![1; 1 << 20]).unwrap();
        assert_eq!(bytes_to_come(file.path()).unwrap(), 0);
    }
}
