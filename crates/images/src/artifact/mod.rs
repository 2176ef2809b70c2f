//! A workflow run's artifact: a zip from which a few expected files come out,
//! and nothing else.
//!
//! The zip is somebody else's. Names in it only select: what is written has our
//! names, in our folder. An archive that looks as if it tried something (names
//! that climb, two files of one name, links, more bytes than a disk image has,
//! a suspicious ratio) is refused as a whole. Content is read as a stream with
//! flat memory, digested on the way, and checked against its CRC.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use failure::{Code, Remedy, is_no_room};
use flate2::read::DeflateDecoder;
use rawzip::{CompressionMethod, ReaderAt, ZipArchive, ZipArchiveEntryWayfinder};
use sha2::{Digest as _, Sha256};

use crate::Sha256Digest;
use crate::space::lacking;

/// Entries looked at; an artifact of ours has four at most.
const MAX_ENTRIES: u64 = 10_000;
/// Inflated bytes for one compressed byte: the format's most is 1032, a disk
/// image that is mostly zeros is not stored as such.
const MAX_RATIO: u64 = 200;
/// Below this many bytes the ratio says nothing.
const RATIO_FROM: u64 = 64 << 20;
/// Bytes inflated at once.
const PIECE: usize = 256 << 10;

/// A file that is looked for in the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Its name there (in any folder) and here.
    pub name: String,
    /// More bytes than this are refused.
    pub limit: u64,
}

/// A file that came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// One of the names that were expected.
    pub name: String,
    /// Length in bytes.
    pub bytes: u64,
    /// Digest of its content.
    pub sha256: Sha256Digest,
}

/// An artifact cannot be unpacked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// Not a zip, or a damaged one.
    #[error("the archive {} is damaged or not a zip", path.display())]
    Zip {
        /// The archive.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: rawzip::Error,
    },
    /// An archive that no workflow of ours makes.
    #[error("the archive {} is not accepted: {name:?} {problem}", path.display())]
    Refused {
        /// The archive.
        path: PathBuf,
        /// The entry.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The content is not what the archive's directory says, or cannot be inflated.
    #[error("{name} in the archive {} is damaged", path.display())]
    Content {
        /// The archive.
        path: PathBuf,
        /// The entry.
        name: String,
        /// Where and why.
        #[source]
        source: io::Error,
    },
    /// The disk is too full.
    #[error("not enough disk space to unpack {}: {needed} bytes needed, {available} free", path.display())]
    Space {
        /// The archive.
        path: PathBuf,
        /// Bytes needed.
        needed: u64,
        /// Bytes free.
        available: u64,
    },
    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It was asked to stop.
    #[error("unpacking {} was stopped", path.display())]
    Stopped {
        /// The archive.
        path: PathBuf,
    },
}

impl ArtifactError {
    /// A stable code for programs.
    pub fn code(&self) -> Code {
        match self {
            Self::Zip { .. } | Self::Content { .. } => Code::ArtifactDamaged,
            Self::Refused { .. } => Code::ArtifactRefused,
            Self::Space { .. } => Code::DiskFull,
            Self::File { .. } if is_no_room(self) => Code::DiskFull,
            Self::File { .. } => Code::File,
            Self::Stopped { .. } => Code::Cancelled,
        }
    }

    /// What to do about it, if anything helps.
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Zip { .. } | Self::Content { .. } => Some(Remedy::DownloadAgain),
            Self::Refused { .. } => Some(Remedy::DistrustBuild),
            Self::Space { .. } => Some(Remedy::free_disk_space()),
            Self::File { .. } => is_no_room(self).then(Remedy::free_disk_space),
            Self::Stopped { .. } => None,
        }
    }
}

/// Takes the `expected` files out of the archive at `zip` into `folder`, and
/// replaces what has their names there. Those that are not in it are not in the
/// answer. `report` hears of bytes done and of all bytes; `stop` ends it early.
pub fn unpack(
    zip: &Path,
    folder: &Path,
    expected: &[Expected],
    stop: &AtomicBool,
    report: &mut dyn FnMut(u64, u64),
) -> Result<Vec<Unpacked>, ArtifactError> {
    let file = |action, path: &Path| {
        let path = path.to_owned();
        move |source| ArtifactError::File {
            action,
            path,
            source,
        }
    };
    let mut buffer = vec![0; rawzip::RECOMMENDED_BUFFER_SIZE];
    let archive = record::regular::open(zip).map_err(file("open", zip))?;
    let archive =
        ZipArchive::from_file(archive, &mut buffer).map_err(|source| ArtifactError::Zip {
            path: zip.to_owned(),
            source,
        })?;
    let entries = find(&archive, zip, expected, &mut buffer)?;
    let needed: u64 = entries.iter().map(|entry| entry.bytes).sum();
    let lacking = lacking(folder, needed);
    if let Some(available) = lacking.map_err(file("ask for the free space of", folder))? {
        return Err(ArtifactError::Space {
            path: zip.to_owned(),
            needed,
            available,
        });
    }
    let (mut unpacked, mut before) = (Vec::new(), 0);
    for entry in &entries {
        let path = folder.join(&entry.name);
        let beside = folder.join(format!("{}.unpacking", entry.name));
        let mut out = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)
            .map_err(file("create", &beside))?;
        let sha256 = inflate(&archive, zip, entry, &mut out, &beside, &mut |done| {
            report(before + done, needed);
            !stop.load(Ordering::Relaxed)
        })?;
        out.sync_all().map_err(file("sync", &beside))?;
        std::fs::rename(&beside, &path).map_err(file("name", &path))?;
        before += entry.bytes;
        unpacked.push(Unpacked {
            name: entry.name.clone(),
            bytes: entry.bytes,
            sha256,
        });
    }
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(file("sync", folder))?;
    Ok(unpacked)
}

/// An entry that is wanted.
struct Entry {
    name: String,
    bytes: u64,
    compressed: u64,
    method: CompressionMethod,
    wayfinder: ZipArchiveEntryWayfinder,
}

/// Finds the expected files, and refuses the archive if anything in it is odd.
fn find<R: ReaderAt>(
    archive: &ZipArchive<R>,
    zip: &Path,
    expected: &[Expected],
    buffer: &mut [u8],
) -> Result<Vec<Entry>, ArtifactError> {
    let damaged = |source| ArtifactError::Zip {
        path: zip.to_owned(),
        source,
    };
    let mut found: Vec<Entry> = Vec::new();
    let mut entries = archive.entries(buffer);
    let mut count = 0;
    while let Some(entry) = entries.next_entry().map_err(damaged)? {
        let raw = entry.file_path();
        let raw = raw.as_bytes();
        let shown = || {
            String::from_utf8_lossy(raw)
                .chars()
                .take(200)
                .collect::<String>()
        };
        let refuse = |problem| ArtifactError::Refused {
            path: zip.to_owned(),
            name: shown(),
            problem,
        };
        count += 1;
        if count > MAX_ENTRIES {
            return Err(refuse("is one of too many entries"));
        }
        let name = last_part(raw).ok_or_else(|| refuse("has a name that leads elsewhere"))?;
        let Some(wanted) = expected
            .iter()
            .find(|wanted| wanted.name.as_bytes() == name)
        else {
            continue;
        };
        if entry.is_dir() {
            return Err(refuse("is a folder"));
        }
        if entry.mode().is_symlink() {
            return Err(refuse("is a symbolic link"));
        }
        if entry.flags().is_encrypted() {
            return Err(refuse("is encrypted"));
        }
        let method = entry.compression_method();
        if method != CompressionMethod::STORE && method != CompressionMethod::DEFLATE {
            return Err(refuse("is compressed in a way that is not known here"));
        }
        let (bytes, compressed) = (entry.uncompressed_size_hint(), entry.compressed_size_hint());
        if bytes > wanted.limit {
            return Err(refuse("is larger than such a file ever is"));
        }
        if bytes > RATIO_FROM && bytes / MAX_RATIO > compressed {
            return Err(refuse("is compressed too well to be honest"));
        }
        if found.iter().any(|entry| entry.name == wanted.name) {
            return Err(refuse("is there twice"));
        }
        found.push(Entry {
            name: wanted.name.clone(),
            bytes,
            compressed,
            method,
            wayfinder: entry.wayfinder(),
        });
    }
    Ok(found)
}

/// The last part of a path within an archive; `None` for one that leads out of it.
fn last_part(path: &[u8]) -> Option<&[u8]> {
    let odd = path.starts_with(b"/")
        || path.iter().any(|byte| matches!(byte, b'\\' | b':' | 0))
        || path.split(|byte| *byte == b'/').any(|part| part == b"..");
    let name = path.strip_suffix(b"/").unwrap_or(path);
    (!odd).then(|| name.rsplit(|byte| *byte == b'/').next().unwrap_or(name))
}

/// Writes the content of `entry` to `out`, never more than its directory entry
/// announces, and returns its digest.
fn inflate<R: ReaderAt>(
    archive: &ZipArchive<R>,
    zip: &Path,
    entry: &Entry,
    out: &mut impl Write,
    out_path: &Path,
    go_on: &mut dyn FnMut(u64) -> bool,
) -> Result<Sha256Digest, ArtifactError> {
    let content = |source| ArtifactError::Content {
        path: zip.to_owned(),
        name: entry.name.clone(),
        source,
    };
    let local = archive
        .get_entry(entry.wayfinder)
        .map_err(|source| ArtifactError::Zip {
            path: zip.to_owned(),
            source,
        })?;
    let compressed = local.reader().take(entry.compressed);
    let plain: Box<dyn Read + '_> = if entry.method == CompressionMethod::STORE {
        Box::new(compressed)
    } else {
        Box::new(DeflateDecoder::new(compressed))
    };
    // One byte more than announced, so that a longer one is noticed; the reader
    // around it compares length and CRC at the end.
    let mut plain = local.verifying_reader(plain.take(entry.bytes.saturating_add(1)));
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; PIECE];
    let mut done = 0;
    loop {
        let length = plain.read(&mut buffer).map_err(content)?;
        if length == 0 {
            break;
        }
        done += length as u64;
        if done > entry.bytes {
            return Err(content(io::Error::other("it is longer than announced")));
        }
        hasher.update(&buffer[..length]);
        out.write_all(&buffer[..length])
            .map_err(|source| ArtifactError::File {
                action: "write",
                path: out_path.to_owned(),
                source,
            })?;
        if !go_on(done) {
            return Err(ArtifactError::Stopped {
                path: zip.to_owned(),
            });
        }
    }
    Ok(<[u8; 32]>::from(hasher.finalize()).into())
}

/// Unpacks bytes to nowhere: how many came out, or why not.
pub(crate) fn unpack_bytes(bytes: &[u8], expected: &[Expected]) -> Result<u64, ArtifactError> {
    let path = Path::new("fuzz.zip");
    let mut buffer = vec![0; rawzip::RECOMMENDED_BUFFER_SIZE];
    let archive =
        ZipArchive::from_seekable(io::Cursor::new(bytes), &mut buffer).map_err(|source| {
            ArtifactError::Zip {
                path: path.to_owned(),
                source,
            }
        })?;
    let mut sum = 0;
    for entry in find(&archive, path, expected, &mut buffer)? {
        inflate(&archive, path, &entry, &mut io::sink(), path, &mut |_| true)?;
        sum += entry.bytes;
    }
    Ok(sum)
}

#[cfg(test)]
mod tests;
