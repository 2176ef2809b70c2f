//! Everything that can be wrong with a volume, and what to do about it.

use std::io;
use std::path::PathBuf;

use crate::{MAX_FILE_BYTES, MAX_FOLDERS, MAX_LABEL_CHARS, MAX_NAME_BYTES, MAX_NAME_UNITS};

/// Why a volume could not be put together or written.
///
/// Paths are those inside the volume unless the variant says `host`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The label cannot stand in both volume descriptors.
    #[error("volume label {label:?} cannot be used")]
    InvalidLabel {
        /// The label as given.
        label: String,
        /// What is wrong with it.
        #[source]
        fault: LabelFault,
    },
    /// A part of a path is no name the Joliet tree can hold.
    #[error("cannot add {path:?}: {name:?} is not a usable name")]
    InvalidName {
        /// The whole path as given.
        path: String,
        /// The part of it that is at fault.
        name: String,
        /// What is wrong with it.
        #[source]
        fault: NameFault,
    },
    /// The path is already taken, by a file or a folder.
    #[error("cannot add {path:?}: the volume already has that path; add each path once")]
    Duplicate {
        /// The path as given.
        path: String,
    },
    /// The path differs from one in the volume by upper and lower case alone.
    /// Readers of Joliet look names up without regard to case (Linux does so
    /// by default), so only one of the two could ever be opened.
    #[error(
        "cannot add {path:?}: it differs from {existing:?} only in upper and lower case; \
         rename one of them"
    )]
    CaseClash {
        /// The path as given.
        path: String,
        /// The file or folder already in the volume.
        existing: String,
    },
    /// A folder is needed where the volume has a file.
    #[error("cannot add {path:?}: {file:?} is a file, not a folder; rename one of them")]
    NotAFolder {
        /// The path as given.
        path: String,
        /// The file that stands in its way.
        file: String,
    },
    /// The file does not fit in one extent.
    #[error(
        "cannot add {path:?}: it has {bytes} bytes, a file can have at most {MAX_FILE_BYTES}; \
         split or compress it"
    )]
    FileTooLarge {
        /// The path as given.
        path: String,
        /// Its content's length.
        bytes: u64,
    },
    /// Path tables number folders with 16 bits.
    #[error(
        "cannot add {path:?}: the volume would have more than {MAX_FOLDERS} folders; \
         pack some of them into an archive file"
    )]
    TooManyFolders {
        /// The path as given.
        path: String,
    },
    /// More entries in a folder than 8.3 names can tell apart.
    #[error("no unused 8.3 name is left for {path:?}; spread its folder over several")]
    ShortNamesExhausted {
        /// The file or folder left without a name.
        path: String,
    },
    /// Sector numbers have 32 bits, which ends a volume at 8 TiB.
    #[error("the volume does not fit in 2^32 sectors of 2048 bytes; split it over several")]
    VolumeTooLarge,
    /// A time that directory records cannot hold.
    #[error(
        "{seconds} seconds after 1970 is past 2155-12-31, the last day a volume can hold; \
         check the clock"
    )]
    TimeOutOfRange {
        /// Seconds since 1970-01-01 00:00 UTC.
        seconds: u64,
    },
    /// A file of the host could not be looked at.
    #[error("cannot read the size of {}; check that it exists and may be read", host.display())]
    HostFileSize {
        /// The file on the host.
        host: PathBuf,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// A folder, device, pipe or socket of the host was given as a file.
    #[error("{} is not a regular file; add the files in it one by one", host.display())]
    NotARegularFile {
        /// What was given.
        host: PathBuf,
    },
    /// A file's content could not be opened while writing the image.
    #[error("cannot open the content of {path:?}; the image is incomplete, write it again")]
    OpenContent {
        /// The file in the volume.
        path: String,
        /// The source's reason.
        #[source]
        source: io::Error,
    },
    /// A file's content could not be read while writing the image.
    #[error("cannot read the content of {path:?}; the image is incomplete, write it again")]
    ReadContent {
        /// The file in the volume.
        path: String,
        /// The source's reason.
        #[source]
        source: io::Error,
    },
    /// A file had become shorter by the time it was written.
    #[error(
        "{path:?} shrank from {expected} to {found} bytes while the image was written; \
         stop whatever changes it and write the image again"
    )]
    ContentShrank {
        /// The file in the volume.
        path: String,
        /// Bytes announced when it was added.
        expected: u64,
        /// Bytes it turned out to have.
        found: u64,
    },
    /// A file had become longer by the time it was written.
    #[error(
        "{path:?} grew past its {expected} bytes while the image was written; \
         stop whatever changes it and write the image again"
    )]
    ContentGrew {
        /// The file in the volume.
        path: String,
        /// Bytes announced when it was added.
        expected: u64,
    },
    /// The destination refused the image.
    #[error("cannot write the image; it is incomplete, check the destination and its free space")]
    WriteImage {
        /// The destination's reason.
        #[source]
        source: io::Error,
    },
}

/// What is wrong with a volume label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelFault {
    /// Nothing there to find the volume by.
    #[error("it is empty; give at least one character")]
    Empty,
    /// Longer than the Joliet descriptor's field.
    #[error("it has {chars} characters, at most {MAX_LABEL_CHARS} fit; shorten it")]
    TooLong {
        /// Its length.
        chars: usize,
    },
    /// Outside the d-characters of ECMA-119 7.4.1.
    #[error("{found:?} is not allowed; use A-Z, 0-9 and _")]
    Character {
        /// The first such character.
        found: char,
    },
}

/// What is wrong with a file or folder name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameFault {
    /// The path is empty, starts or ends with `/`, or has `//` in it.
    #[error("it is empty; write paths as `folder/file`, with no leading, trailing or double slash")]
    Empty,
    /// `.` or `..`, which every folder already has.
    #[error("it stands for a folder itself or its parent; name the entry outright")]
    Relative,
    /// More UTF-16 units than a directory record is allowed to hold.
    #[error("it has {units} UTF-16 units, at most {MAX_NAME_UNITS} fit; shorten it")]
    TooManyUnits {
        /// Its length.
        units: usize,
    },
    /// More bytes of UTF-8 than Linux can show.
    #[error("it has {bytes} bytes in UTF-8, at most {MAX_NAME_BYTES} can be opened; shorten it")]
    TooManyBytes {
        /// Its length.
        bytes: usize,
    },
    /// NUL, another control character, or one of `* : ; ? \`.
    #[error("Joliet forbids {found:?} in names; replace it")]
    Character {
        /// The first such character.
        found: char,
    },
    /// Beyond U+FFFF, as emoji are: UCS-2 has no code for it.
    #[error("{found:?} lies outside the 16-bit characters of UCS-2; replace it")]
    NotUcs2 {
        /// The first such character.
        found: char,
    },
    /// Linux and Windows drop dots at the end of a Joliet name.
    #[error("readers drop the dot at its end; leave it out")]
    TrailingDot,
}
