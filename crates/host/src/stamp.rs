//! A file's identity, as cheap as one `stat`.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// What `stat` says of a file: enough to notice that it was replaced, written to or truncated,
/// without reading it.
///
/// An equal stamp is no proof of equal content (a write may restore the modification time); it
/// decides when a digest is worth its time.
///
/// The other names are those in caches of earlier versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileStamp {
    /// Device number of the file system.
    #[serde(alias = "dev")]
    pub device: u64,
    /// Inode number.
    #[serde(alias = "ino")]
    pub inode: u64,
    /// Length in bytes.
    #[serde(alias = "size")]
    pub bytes: u64,
    /// Modification time in nanoseconds since the Unix epoch; good until 2262.
    #[serde(alias = "mtime_ns")]
    pub modified_ns: i64,
}

impl FileStamp {
    /// The stamp of the file at `path`, following symbolic links.
    ///
    /// # Errors
    ///
    /// Those of `stat`.
    pub fn of(path: &Path) -> io::Result<Self> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_tells_one_content_from_the_next() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let before = FileStamp::of(file.path()).unwrap();
        assert_eq!(FileStamp::of(file.path()).unwrap(), before);
        std::fs::write(file.path(), "longer").unwrap();
        assert_ne!(FileStamp::of(file.path()).unwrap(), before);
    }

    #[test]
    fn both_stored_forms_are_read_and_one_is_written() {
        let stamp = FileStamp {
            device: 1,
            inode: 2,
            bytes: 3,
            modified_ns: 4,
        };
        let written = r#"{"device":1,"inode":2,"bytes":3,"modified_ns":4}"#;
        assert_eq!(serde_json::to_string(&stamp).unwrap(), written);
        for stored in [written, r#"{"dev":1,"ino":2,"size":3,"mtime_ns":4}"#] {
            assert_eq!(serde_json::from_str::<FileStamp>(stored).unwrap(), stamp);
        }
    }
}
