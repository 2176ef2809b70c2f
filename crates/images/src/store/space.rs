//! What files take on disk.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// What `path` and all below it take on disk, in bytes: blocks, not lengths, so
/// that holes count nothing. What cannot be looked at counts nothing either.
pub fn bytes_on_disk(path: &Path) -> u64 {
    let Ok(meta) = std::fs::symlink_metadata(path) else {
        return 0;
    };
    // POSIX leaves the unit open; on every system here it is 512 bytes.
    let own = meta.blocks() * 512;
    let below: u64 = if meta.is_dir() {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| bytes_on_disk(&entry.path())).sum()
    } else {
        0
    };
    own + below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_take_nothing_and_data_does() {
        let dir = tempfile::tempdir().unwrap();
        let sparse = std::fs::File::create(dir.path().join("sparse")).unwrap();
        sparse.set_len(1 << 30).unwrap();
        let empty = bytes_on_disk(dir.path());
        assert!(empty < 1 << 20, "{empty}");
        let full = dir.path().join("below");
        std::fs::create_dir(&full).unwrap();
        std::fs::write(full.join("full"), vec![1; 1 << 20]).unwrap();
        assert!(bytes_on_disk(dir.path()) >= empty + (1 << 20));
        assert_eq!(bytes_on_disk(&dir.path().join("none")), 0);
    }
}
