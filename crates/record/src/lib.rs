//! Records on disk: small JSON files that declare themselves and commit by rename.
//!
//! A *sealed* record wraps its body as
//! `{"format": …, "version": …, "blake3": …, "body": {…}}`. The version can be
//! read without the body, the digest covers the body's bytes as written, and
//! files above a size cap are refused unread.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod regular;
pub mod reserve;
pub mod unfinished;

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

/// Records above this many bytes are refused unread.
const MAX_BYTES: u64 = 1 << 20;

/// A type that is kept as a sealed record.
pub trait Record: Serialize + DeserializeOwned {
    /// Names the format; stable for ever.
    const FORMAT: &'static str;
    /// Raised when the body changes shape.
    const VERSION: u32;
}

/// Why a record cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The record.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The record.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is larger than any record.
    #[error("{} has {bytes} bytes, more than a record's {MAX_BYTES}", path.display())]
    TooLarge {
        /// The record.
        path: PathBuf,
        /// Its length in bytes.
        bytes: u64,
    },
    /// Not JSON, or not of the record's shape.
    #[error("{} is damaged", path.display())]
    Parse {
        /// The record.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// It is a record of something else.
    #[error("{} is a record of {found:?}, not of {expected:?}", path.display())]
    Format {
        /// The record.
        path: PathBuf,
        /// What it calls itself.
        found: String,
        /// What was looked for.
        expected: &'static str,
    },
    /// It was written by another version of the program.
    #[error("{} has version {found}; this program reads version {expected}", path.display())]
    Version {
        /// The record.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The version that is understood.
        expected: u32,
    },
    /// The body is not the one that was sealed.
    #[error("{} does not match its own digest: it is damaged", path.display())]
    Digest {
        /// The record.
        path: PathBuf,
    },
}

impl RecordError {
    /// The record.
    pub fn path(&self) -> &Path {
        match self {
            Self::Read { path, .. }
            | Self::Write { path, .. }
            | Self::TooLarge { path, .. }
            | Self::Parse { path, .. }
            | Self::Format { path, .. }
            | Self::Version { path, .. }
            | Self::Digest { path } => path,
        }
    }

    /// Whether the file was read and is not what anybody wrote. One of another
    /// version is whole, and one that cannot be read may be.
    pub fn is_damaged(&self) -> bool {
        match self {
            Self::TooLarge { .. }
            | Self::Parse { .. }
            | Self::Format { .. }
            | Self::Digest { .. } => true,
            Self::Read { .. } | Self::Write { .. } | Self::Version { .. } => false,
        }
    }

    /// Whether the file is simply not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
    }
}

#[derive(Serialize, Deserialize)]
struct Sealed<B> {
    format: String,
    version: u32,
    blake3: String,
    body: B,
}

#[derive(Deserialize)]
struct Declaration {
    format: String,
    version: u32,
}

/// Whether a write must survive a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It only has to be whole for the processes of this boot.
    ThisBoot,
    /// Synced, and the folder too.
    PowerCut,
}

/// Reads the sealed record at `path`.
pub fn read<R: Record>(path: &Path) -> Result<R, RecordError> {
    let read = |source| RecordError::Read {
        path: path.to_owned(),
        source,
    };
    let file = regular::open(path).map_err(read)?;
    let bytes = file.metadata().map_err(read)?.len();
    if bytes > MAX_BYTES {
        return Err(RecordError::TooLarge {
            path: path.to_owned(),
            bytes,
        });
    }
    let mut text = Vec::new();
    // It may grow meanwhile.
    let mut file = file.take(MAX_BYTES + 1);
    file.read_to_end(&mut text).map_err(read)?;
    parse(path, &text)
}

/// Takes a sealed record from its text; `path` is for the messages alone.
pub fn parse<R: Record>(path: &Path, text: &[u8]) -> Result<R, RecordError> {
    let parse = |source| RecordError::Parse {
        path: path.to_owned(),
        source,
    };
    let bytes = text.len() as u64;
    if bytes > MAX_BYTES {
        return Err(RecordError::TooLarge {
            path: path.to_owned(),
            bytes,
        });
    }
    let declared: Declaration = serde_json::from_slice(text).map_err(parse)?;
    if declared.format != R::FORMAT {
        return Err(RecordError::Format {
            path: path.to_owned(),
            found: declared.format,
            expected: R::FORMAT,
        });
    }
    if declared.version != R::VERSION {
        return Err(RecordError::Version {
            path: path.to_owned(),
            found: declared.version,
            expected: R::VERSION,
        });
    }
    let sealed: Sealed<Box<RawValue>> = serde_json::from_slice(text).map_err(parse)?;
    let digest = blake3::hash(sealed.body.get().as_bytes()).to_hex();
    if digest.as_str() != sealed.blake3 {
        return Err(RecordError::Digest {
            path: path.to_owned(),
        });
    }
    serde_json::from_str(sealed.body.get()).map_err(parse)
}

/// Reads the record at `path`, or `None` if there is none.
pub fn read_optional<R: Record>(path: &Path) -> Result<Option<R>, RecordError> {
    match read(path) {
        Ok(record) => Ok(Some(record)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes `record` at `path` by way of a temporary file and a rename.
pub fn write<R: Record>(
    path: &Path,
    record: &R,
    durability: Durability,
) -> Result<(), RecordError> {
    let parse = |source| RecordError::Parse {
        path: path.to_owned(),
        source,
    };
    let body = serde_json::value::to_raw_value(record).map_err(parse)?;
    let sealed = Sealed {
        format: R::FORMAT.to_owned(),
        version: R::VERSION,
        blake3: blake3::hash(body.get().as_bytes()).to_hex().to_string(),
        body,
    };
    let mut text = serde_json::to_vec(&sealed).map_err(parse)?;
    text.push(b'\n');
    replace(path, &text, durability).map_err(|source| RecordError::Write {
        path: path.to_owned(),
        source,
    })
}

/// Puts `bytes` at `path`, whole or not at all, readable by the user alone. On a full disk the
/// [`reserve`] is given up for it.
pub fn replace(path: &Path, bytes: &[u8], durability: Durability) -> std::io::Result<()> {
    match replace_once(path, bytes, durability) {
        Err(error) if is_no_room(&error) && reserve::give_up(path) => {
            replace_once(path, bytes, durability)
        }
        result => result,
    }
}

fn is_no_room(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

fn replace_once(path: &Path, bytes: &[u8], durability: Durability) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut file = unfinished::begin(folder)?;
    file.write_all(bytes)?;
    if durability == Durability::PowerCut {
        file.as_file().sync_all()?;
    }
    file.persist(path).map_err(|error| error.error)?;
    if durability == Durability::PowerCut {
        sync_folder(folder)?;
    }
    Ok(())
}

/// Makes renames and removals in `folder` survive a power cut.
pub fn sync_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}

/// Removes the file at `path`; a file that is not there is fine.
pub fn remove_file(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes the folder at `path` and all in it; one that is not there is fine.
pub fn remove_folder(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Note {
        text: String,
    }

    impl Record for Note {
        const FORMAT: &'static str = "note";
        const VERSION: u32 = 2;
    }

    fn written(dir: &Path) -> (PathBuf, String) {
        let path = dir.join("note.json");
        write(
            &path,
            &Note {
                text: "hello".into(),
            },
            Durability::PowerCut,
        )
        .unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        (path, text)
    }

    #[test]
    fn round_trips_and_leaves_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (path, _) = written(dir.path());
        assert_eq!(
            read::<Note>(&path).unwrap(),
            Note {
                text: "hello".into()
            }
        );
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_record_that_is_a_pipe_or_a_folder_is_an_error_and_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("note.json");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        for path in [pipe.as_path(), dir.path(), Path::new("/dev/zero")] {
            let error = read::<Note>(path).unwrap_err();
            assert!(matches!(error, RecordError::Read { .. }), "{error}");
            assert!(!error.is_missing());
        }
    }

    #[test]
    fn each_damage_has_its_error() {
        let dir = tempfile::tempdir().unwrap();
        let (path, text) = written(dir.path());
        let with = |change: String| {
            std::fs::write(&path, change).unwrap();
            read::<Note>(&path).unwrap_err()
        };
        assert!(matches!(
            with(text.replace("hello", "hullo")),
            RecordError::Digest { .. }
        ));
        assert!(matches!(
            with(text.replace("\"version\":2", "\"version\":3")),
            RecordError::Version { found: 3, .. }
        ));
        assert!(matches!(
            with(text.replace("note", "poem")),
            RecordError::Format { .. }
        ));
        assert!(matches!(
            with(text[..text.len() / 2].into()),
            RecordError::Parse { .. }
        ));
        assert!(matches!(
            with(" ".repeat(2 << 20)),
            RecordError::TooLarge { .. }
        ));
        std::fs::remove_file(&path).unwrap();
        assert!(read::<Note>(&path).unwrap_err().is_missing());
        assert_eq!(read_optional::<Note>(&path).unwrap(), None);
    }
}
