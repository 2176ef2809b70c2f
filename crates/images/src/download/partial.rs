//! The file that grows: `<name>.part`, and the record of what it is.
//!
//! ```text
//! <name>.part     as many bytes as have arrived
//! <name>.record   which file that is, so that nothing else is ever appended
//! <name>          all of it: fsynced, its digest in the record, then renamed
//! ```
//!
//! A byte in `.part` is there after a `kill -9`, because the kernel has it. After
//! a power failure it may not be what it was, which the digest shows.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::Sha256Digest;

const FORMAT: &str = "stack-emulator-download";
const VERSION: u32 = 1;
/// Records above this many bytes were not written by this program.
const MAX_RECORD: u64 = 64 << 10;
/// Bytes read at once for a digest.
const PIECE: usize = 1 << 20;

/// The names of a download's files.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    pub(super) done: PathBuf,
    pub(super) part: PathBuf,
    record: PathBuf,
    folder: PathBuf,
}

impl Paths {
    pub(super) fn new(folder: &Path, name: &str) -> Self {
        Self {
            done: folder.join(name),
            part: folder.join(format!("{name}.part")),
            record: folder.join(format!("{name}.record")),
            folder: folder.to_owned(),
        }
    }

    /// Removes what is there, in an order in which the rest is never taken for
    /// something else.
    pub(super) fn clear(&self) -> io::Result<()> {
        for path in [&self.done, &self.part, &self.record] {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// What the bytes are of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    format: String,
    version: u32,
    /// What was asked for.
    pub(super) identity: String,
    /// A strong `ETag`, or the `Last-Modified` time: what `If-Range` takes.
    pub(super) validator: Option<String>,
    /// Length of all of it, where that was said.
    pub(super) total: Option<u64>,
    /// Set when all of it is there.
    pub(super) sha256: Option<Sha256Digest>,
}

impl Record {
    pub(super) fn new(identity: &str) -> Self {
        Self {
            format: FORMAT.into(),
            version: VERSION,
            identity: identity.to_owned(),
            validator: None,
            total: None,
            sha256: None,
        }
    }

    /// The record of `identity`. `None` if there is none, or it is damaged or of
    /// something else: then what lies there is of no use.
    pub(super) fn read(paths: &Paths, identity: &str) -> io::Result<Option<Self>> {
        let mut bytes = Vec::new();
        match record::regular::open(&paths.record) {
            Ok(file) => file.take(MAX_RECORD).read_to_end(&mut bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(serde_json::from_slice(&bytes).ok().filter(|record: &Self| {
            record.format == FORMAT && record.version == VERSION && record.identity == identity
        }))
    }

    pub(super) fn write(&self, paths: &Paths) -> io::Result<()> {
        let text = serde_json::to_vec(self)?;
        record::replace(&paths.record, &text, record::Durability::PowerCut)
    }
}

/// The open `.part` with the digest of its bytes so far.
#[derive(Debug)]
pub(super) struct Partial {
    file: File,
    hasher: Sha256,
    length: u64,
}

impl Partial {
    /// Opens what is there, and reads it for its digest. `go_on` is told how far
    /// that is, and ends it by `false`.
    pub(super) fn open(path: &Path, mut go_on: impl FnMut(u64) -> bool) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        let mut partial = Self {
            file,
            hasher: Sha256::new(),
            length: 0,
        };
        let mut buffer = vec![0; PIECE];
        loop {
            match partial.file.read(&mut buffer)? {
                0 => return Ok(partial),
                length => {
                    partial.hasher.update(&buffer[..length]);
                    partial.length += length as u64;
                }
            }
            if !go_on(partial.length) {
                return Err(io::ErrorKind::Interrupted.into());
            }
        }
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The file itself, to sync it.
    pub(super) fn file(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// The end of the file, and the digest of what is before it, for a thread
    /// each. What the one takes, the other has to take too.
    pub(super) fn halves(&mut self) -> (Tail<'_>, &mut Sha256) {
        let tail = Tail {
            file: &mut self.file,
            length: &mut self.length,
        };
        (tail, &mut self.hasher)
    }

    /// Back to nothing.
    pub(super) fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.hasher = Sha256::new();
        self.length = 0;
        Ok(())
    }

    pub(super) fn digest(&self) -> Sha256Digest {
        <[u8; 32]>::from(self.hasher.clone().finalize()).into()
    }

    /// Makes it the file that was wanted. A process that dies in here leaves
    /// either a whole `.part` or the file, and a record that knows it.
    pub(super) fn commit(self, paths: &Paths, record: &mut Record) -> io::Result<()> {
        self.file.sync_all()?;
        record.sha256 = Some(self.digest());
        record.write(paths)?;
        std::fs::rename(&paths.part, &paths.done)?;
        File::open(&paths.folder)?.sync_all()
    }
}

/// Where bytes are added to a [`Partial`].
pub(super) struct Tail<'a> {
    file: &'a mut File,
    length: &'a mut u64,
}

impl Tail<'_> {
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        *self.length += bytes.len() as u64;
        Ok(())
    }

    pub(super) fn length(&self) -> u64 {
        *self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Partial {
        /// An empty one in a file that need not be regular. What uses it is for Linux.
        #[cfg(target_os = "linux")]
        pub(in crate::download) fn of(file: File) -> Self {
            Self {
                file,
                hasher: Sha256::new(),
                length: 0,
            }
        }

        fn append(&mut self, bytes: &[u8]) {
            let (mut tail, hasher) = self.halves();
            tail.append(bytes).unwrap();
            hasher.update(bytes);
        }
    }

    #[test]
    fn what_was_left_is_continued_and_has_one_digest() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path(), "f");
        let mut partial = Partial::open(&paths.part, |_| true).unwrap();
        partial.append(b"abc");
        drop(partial);
        let mut partial = Partial::open(&paths.part, |_| true).unwrap();
        assert_eq!(partial.length(), 3);
        partial.append(b"def");
        assert_eq!(partial.digest(), Sha256Digest::of(b"abcdef"));
        let mut record = Record::new("this");
        partial.commit(&paths, &mut record).unwrap();
        assert_eq!(std::fs::read(&paths.done).unwrap(), b"abcdef");
        assert!(!paths.part.exists());
        assert_eq!(Record::read(&paths, "this").unwrap(), Some(record));
    }

    #[test]
    fn a_record_of_something_else_or_damaged_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path(), "f");
        assert_eq!(Record::read(&paths, "this").unwrap(), None);
        Record::new("this").write(&paths).unwrap();
        assert_eq!(Record::read(&paths, "that").unwrap(), None);
        std::fs::write(&paths.record, "{\"format\"").unwrap();
        assert_eq!(Record::read(&paths, "this").unwrap(), None);
    }

    #[test]
    fn reading_for_the_digest_can_be_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path(), "f");
        std::fs::write(&paths.part, vec![0; 3 * PIECE]).unwrap();
        let mut pieces = 0;
        let error = Partial::open(&paths.part, |_| {
            pieces += 1;
            false
        })
        .unwrap_err();
        assert_eq!((pieces, error.kind()), (1, io::ErrorKind::Interrupted));
    }
}
