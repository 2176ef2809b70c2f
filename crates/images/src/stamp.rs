//! A file's identity, as cheap as one `stat`.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// What `stat` says of a file: enough to notice that it was replaced, written
/// to or truncated, without reading it.
///
/// An equal stamp is no proof of equal content (a write may restore the
/// modification time); it decides when a digest is worth its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    /// Device number of the file system.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Length in bytes.
    pub bytes: u64,
    /// Modification time in nanoseconds since the Unix epoch; good until 2262.
    pub modified_ns: i64,
}

impl FileStamp {
    /// Reads the stamp of the file at `path`, following symbolic links.
    pub fn of(path: &Path) -> std::io::Result<Self> {
        let meta = std::fs::metadata(path)?;
        Ok(Self {
            device: meta.dev(),
            inode: meta.ino(),
            bytes: meta.len(),
            modified_ns: meta
                .mtime()
                .saturating_mul(1_000_000_000)
                .saturating_add(meta.mtime_nsec()),
        })
    }
}
