//! Free space, what will still take some, and files that share what they take.

use std::fs::File;
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

/// Makes `to`, which must not be there, a file for the user alone with the content of `from`, whose blocks it
/// shares until one of them is written to. `None`, and no file, where the file system cannot: Btrfs, XFS and
/// APFS can.
///
/// # Errors
///
/// Those of the system, if there is something at `to` for instance.
pub fn clone_file(from: &File, to: &Path) -> io::Result<Option<File>> {
    system::clone_file(from, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the file system can, and where it cannot.
    #[test]
    fn a_clone_is_whole_or_not_there_and_replaces_nothing() {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
        let dir = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| dir.path().join(name));
        std::fs::write(&from, "content").unwrap();
        std::fs::set_permissions(&from, std::fs::Permissions::from_mode(0o444)).unwrap();
        let source = File::open(&from).unwrap();
        if let Some(mut clone) = clone_file(&source, &to).unwrap() {
            assert_eq!(std::io::read_to_string(&clone).unwrap(), "content");
            assert_eq!(clone.metadata().unwrap().mode() & 0o777, 0o600);
            std::io::Write::write_all(&mut clone, b"more").unwrap();
            assert_eq!(std::fs::read_to_string(&from).unwrap(), "content");
            std::fs::remove_file(&to).unwrap();
        }
        assert!(!to.exists());
        std::fs::write(&to, "there").unwrap();
        let error = clone_file(&source, &to).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&to).unwrap(), "there");
    }

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
