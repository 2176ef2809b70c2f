//! Which folder this is, in words that no copy of it shares and that a move does not change.
//!
//! What belongs to one folder and lies elsewhere goes by it: sockets, processes, and the secrets in
//! the user's keychain.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

/// Which folder this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FolderIdentity {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    /// Nanoseconds since the Unix epoch, where the file system tells. An inode's number is used
    /// again for another folder once the first is gone.
    pub(crate) born_ns: Option<u64>,
}

impl FolderIdentity {
    /// The identity of the folder at `path`.
    pub(crate) fn of(path: &Path) -> std::io::Result<Self> {
        let meta = std::fs::metadata(path)?;
        let born = meta.created().ok();
        let since = born.and_then(|born| born.duration_since(UNIX_EPOCH).ok());
        Ok(Self {
            device: meta.dev(),
            inode: meta.ino(),
            born_ns: since.and_then(|since| u64::try_from(since.as_nanos()).ok()),
        })
    }

    /// The identity in 12 hex characters.
    pub(crate) fn mark(&self) -> String {
        let text = format!("{}:{}:{:?}", self.device, self.inode, self.born_ns);
        images::Sha256Digest::of(text.as_bytes()).short()
    }
}
