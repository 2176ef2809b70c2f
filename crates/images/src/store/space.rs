//! What files take on disk.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// What `path` and all below it take on disk, in bytes: blocks, not lengths, so
/// that holes count nothing. What cannot be looked at counts nothing either.
pub fn bytes_on_disk(path: &Path) -> u64 {
    sum(path, &|meta| bytes_of(meta))
}

/// The same, of a file with several names the part that falls to one of them: these parts add up to
/// what there is.
pub fn share_on_disk(path: &Path) -> u64 {
    sum(path, &|meta| match meta.nlink() {
        names @ 2.. if !meta.is_dir() => bytes_of(meta) / names,
        _ => bytes_of(meta),
    })
}

/// The same, without files with several names: what is there no more once `path` is removed.
pub fn own_on_disk(path: &Path) -> u64 {
    sum(path, &|meta| {
        let is_shared = meta.nlink() > 1 && !meta.is_dir();
        if is_shared { 0 } else { bytes_of(meta) }
    })
}

fn bytes_of(meta: &Metadata) -> u64 {
    // POSIX leaves the unit open; on every system here it is 512 bytes.
    meta.blocks() * 512
}

fn sum(path: &Path, count: &impl Fn(&Metadata) -> u64) -> u64 {
    let Ok(meta) = std::fs::symlink_metadata(path) else {
        return 0;
    };
    let below: u64 = if meta.is_dir() {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| sum(&entry.path(), count)).sum()
    } else {
        0
    };
    count(&meta) + below
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

    #[test]
    fn a_file_with_two_names_is_half_each_name_s() {
        let dir = tempfile::tempdir().unwrap();
        let folders = ["one", "two"].map(|name| dir.path().join(name));
        for folder in &folders {
            std::fs::create_dir(folder).unwrap();
        }
        let file = folders[0].join("file");
        std::fs::write(&file, vec![1; 4 << 20]).unwrap();
        std::fs::hard_link(&file, folders[1].join("file")).unwrap();
        for folder in &folders {
            let around = bytes_on_disk(folder) - (4 << 20);
            assert_eq!(share_on_disk(folder), around + (2 << 20));
            assert_eq!(own_on_disk(folder), around);
        }
    }
}
