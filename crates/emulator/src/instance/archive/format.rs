//! The format of archives, as pure functions over bytes.
//!
//! An archive is a sequence of zstd frames, each preceded by a *mark*: a
//! skippable frame, which `zstd` passes over and which tells our reader how
//! long the next frame is, so that frames go to threads without being scanned.
//!
//! ```text
//! mark     magic u32, 16 u32 (a skippable frame), "sevm", number u32, compressed u32, raw u32
//! frame    a whole zstd frame with content size and checksum
//! ```
//!
//! Decompressed, frame 0 is the prelude, the last one the end, and those
//! between hold extents. All numbers are little-endian.
//!
//! ```text
//! prelude  "stack-emulator-savevm 1\n", length u32, JSON (see [`Header`])
//! extents  any number of: 1 u8, file u8, length u32, offset u64, bytes
//! end      2 u8, frames u32, extents u64, data bytes u64, BLAKE3 of the marks and checksums before it
//! ```
//!
//! No extent holds an all-zero block of 4 KiB: what no extent covers is a hole.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// How the prelude begins; the version and a line feed follow.
const NAME: &str = "stack-emulator-savevm ";
/// Raised when the prelude or what follows it changes shape.
pub(super) const VERSION: u32 = 1;
/// The longest header that is accepted, in bytes.
pub(super) const MAX_HEADER: usize = 1 << 20;
/// The most that a frame may hold, in bytes; bounds what a reader's thread needs.
pub(super) const MAX_FRAME: u32 = 16 << 20;
/// The most frames; bounds what the reader's table of them needs.
pub(super) const MAX_FRAMES: usize = 1 << 17;
/// The longest file that is accepted, in bytes: far above any guest's memory.
pub(super) const MAX_FILE: u64 = 1 << 42;
/// Length of a mark in bytes.
pub(super) const MARK: usize = 24;
/// Length of an end in bytes.
const END: usize = 53;
/// Length of an extent's head in bytes.
pub(super) const EXTENT_HEAD: usize = 14;
/// Length of the checksum at the end of a zstd frame, in bytes.
pub(super) const CHECKSUM: usize = 4;
/// The files of a snapshot; extents name them by their place here.
pub(super) const FILES: [&str; 4] = ["ram.raw", "device.state", "disk.qcow2", "config.iso"];

/// One of the 16 magic numbers of skippable frames.
const SKIPPABLE: u32 = 0x184D_2A5A;
const TAG: [u8; 4] = *b"sevm";
const KIND_EXTENT: u8 = 1;
const KIND_END: u8 = 2;

/// What is wrong with an archive at some place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// The mark before a frame is unknown.
    #[error("there is no mark before frame {number}")]
    Mark {
        /// The frame that was expected.
        number: u32,
    },
    /// Frames are missing, doubled or swapped.
    #[error("frame {found} is where frame {expected} belongs")]
    Order {
        /// The frame that was expected.
        expected: u32,
        /// The frame that is there.
        found: u32,
    },
    /// A length that no archive of ours has.
    #[error("the {what} has a length of {length}, which cannot be")]
    Length {
        /// What is too long or too short.
        what: &'static str,
        /// Its length, in bytes unless it is a count.
        length: u64,
    },
    /// The frame is not what was compressed.
    #[error("a frame cannot be decompressed")]
    Frame(#[source] std::io::Error),
    /// What should be one frame is several, or less than one.
    #[error("what is marked as one frame is not one")]
    Boundary,
    /// The header is not of the right shape.
    #[error("the header cannot be read")]
    Header(#[source] serde_json::Error),
    /// The header lists other files than a snapshot has.
    #[error("the header lists other files than a snapshot has")]
    Files,
    /// A piece of a file reaches outside of it.
    #[error("a piece of {length} bytes at {offset} does not lie within file {file}")]
    Extent {
        /// The file's place in the header.
        file: u8,
        /// Where in it, in bytes.
        offset: u64,
        /// The piece's length in bytes.
        length: u32,
    },
    /// What is between the first and the last frame is of an unknown kind.
    #[error("there is something other than pieces of files")]
    Kind,
    /// The last frame contradicts those before it.
    #[error("the frames are not those that were written")]
    Sum,
}

/// What the archive is of.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    /// The text of `snapshot.json`, sealed as it is.
    pub manifest: String,
    /// The files, in the order of [`FILES`].
    pub files: Vec<FileEntry>,
}

/// One file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileEntry {
    pub name: String,
    /// Its length, holes included.
    pub bytes: u64,
}

impl Header {
    pub(super) fn new(manifest: String, lengths: [u64; FILES.len()]) -> Self {
        let files = FILES.iter().zip(lengths).map(|(name, bytes)| FileEntry {
            name: (*name).to_owned(),
            bytes,
        });
        Self {
            manifest,
            files: files.collect(),
        }
    }

    /// The prelude that carries it.
    pub(super) fn encode(&self) -> Result<Vec<u8>, Damage> {
        let json = serde_json::to_vec(self).map_err(Damage::Header)?;
        let length = match u32::try_from(json.len()) {
            Ok(length) if json.len() <= MAX_HEADER => length,
            _ => return Err(too_long("header", json.len())),
        };
        let mut prelude = format!("{NAME}{VERSION}\n").into_bytes();
        prelude.extend(length.to_le_bytes());
        prelude.extend(json);
        Ok(prelude)
    }
}

/// What a prelude says.
pub(super) enum Prelude {
    /// It is one of ours.
    Ours {
        /// What the archive is of.
        header: Header,
        /// The lengths of [`FILES`].
        lengths: [u64; FILES.len()],
    },
    /// It was written by another version.
    OtherVersion(u32),
    /// The file is something else.
    Foreign,
}

/// Reads the prelude.
pub(super) fn prelude(bytes: &[u8]) -> Result<Prelude, Damage> {
    let Some(rest) = bytes.strip_prefix(NAME.as_bytes()) else {
        return Ok(Prelude::Foreign);
    };
    // As many digits as a u32 can have.
    let Some(end) = rest.iter().take(11).position(|byte| *byte == b'\n') else {
        return Ok(Prelude::Foreign);
    };
    let version = std::str::from_utf8(&rest[..end])
        .ok()
        .and_then(|text| text.parse().ok());
    match version {
        None => return Ok(Prelude::Foreign),
        Some(VERSION) => {}
        Some(other) => return Ok(Prelude::OtherVersion(other)),
    }
    let mut rest = &rest[end + 1..];
    let length = take_u32(&mut rest).ok_or_else(|| too_long("header", 0))?;
    if usize::try_from(length) != Ok(rest.len()) {
        return Err(too_long("header", rest.len()));
    }
    let header: Header = serde_json::from_slice(rest).map_err(Damage::Header)?;
    let named =
        |(entry, name): (&FileEntry, &&str)| entry.name == **name && entry.bytes <= MAX_FILE;
    if header.files.len() != FILES.len() || !header.files.iter().zip(&FILES).all(named) {
        return Err(Damage::Files);
    }
    let lengths = std::array::from_fn(|index| header.files[index].bytes);
    Ok(Prelude::Ours { header, lengths })
}

/// What the mark before a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub number: u32,
    /// Length of the zstd frame in bytes.
    pub compressed: u32,
    /// Length of its content in bytes.
    pub raw: u32,
}

impl Mark {
    pub(super) fn encode(self) -> [u8; MARK] {
        let mut bytes = [0; MARK];
        let fields = [
            SKIPPABLE.to_le_bytes(),
            16_u32.to_le_bytes(),
            TAG,
            self.number.to_le_bytes(),
            self.compressed.to_le_bytes(),
            self.raw.to_le_bytes(),
        ];
        bytes.copy_from_slice(fields.as_flattened());
        bytes
    }

    /// Reads the mark of frame `number`.
    pub(super) fn decode(bytes: &[u8; MARK], number: u32) -> Result<Self, Damage> {
        let (fields, _) = bytes.as_chunks::<4>();
        let field = |index: usize| u32::from_le_bytes(fields[index]);
        if field(0) != SKIPPABLE || field(1) != 16 || fields[2] != TAG {
            return Err(Damage::Mark { number });
        }
        let mark = Self {
            number: field(3),
            compressed: field(4),
            raw: field(5),
        };
        if mark.number != number {
            return Err(Damage::Order {
                expected: number,
                found: mark.number,
            });
        }
        if mark.raw == 0 || mark.raw > MAX_FRAME {
            return Err(too_long("content of a frame", mark.raw));
        }
        let possible = CHECKSUM + 1..=bound(mark.raw as usize);
        if !possible.contains(&(mark.compressed as usize)) {
            return Err(too_long("frame", mark.compressed));
        }
        Ok(mark)
    }
}

/// The longest that a frame of `raw` bytes can get, in bytes.
pub(super) fn bound(raw: usize) -> usize {
    zstd::zstd_safe::compress_bound(raw)
}

/// Sums up marks and checksums, so that the end vouches for all before it.
#[derive(Clone, Default)]
pub(super) struct Chain(blake3::Hasher);

impl Chain {
    /// Takes the next frame.
    pub(super) fn add(&mut self, mark: &[u8; MARK], checksum: [u8; CHECKSUM]) {
        self.0.update(mark);
        self.0.update(&checksum);
    }

    pub(super) fn sum(&self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// The last frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// Number of frames, prelude and end included.
    pub frames: u32,
    /// Number of extents.
    pub extents: u64,
    /// Bytes in all extents together.
    pub data_bytes: u64,
    /// See [`Chain`].
    pub sum: [u8; 32],
}

impl End {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(END);
        bytes.push(KIND_END);
        bytes.extend(self.frames.to_le_bytes());
        bytes.extend(self.extents.to_le_bytes());
        bytes.extend(self.data_bytes.to_le_bytes());
        bytes.extend(self.sum);
        bytes
    }

    /// Reads the end; `None` if it is something else.
    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let (&kind, rest) = bytes.split_first()?;
        bytes = rest;
        let end = Self {
            frames: take_u32(&mut bytes)?,
            extents: take_u64(&mut bytes)?,
            data_bytes: take_u64(&mut bytes)?,
            sum: take(&mut bytes)?,
        };
        (kind == KIND_END && bytes.is_empty()).then_some(end)
    }
}

/// Appends an extent to a frame's content.
pub(super) fn push_extent(content: &mut Vec<u8>, file: u8, offset: u64, bytes: &[u8]) {
    debug_assert!(bytes.len() < MAX_FRAME as usize);
    content.push(KIND_EXTENT);
    content.push(file);
    #[expect(clippy::cast_possible_truncation, reason = "less than a frame")]
    let length = bytes.len() as u32;
    content.extend(length.to_le_bytes());
    content.extend(offset.to_le_bytes());
    content.extend(bytes);
}

/// An extent, by where its bytes lie in the frame's content.
pub(super) struct Extent {
    pub file: u8,
    pub offset: u64,
    pub bytes: Range<usize>,
}

/// Takes a frame's content apart; `lengths` are those of the files.
pub(super) fn extents(
    content: &[u8],
    lengths: &[u64; FILES.len()],
) -> impl Iterator<Item = Result<Extent, Damage>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = content.get(at..).filter(|rest| !rest.is_empty())?;
        let extent = extent(rest, lengths).map(|mut extent| {
            extent.bytes = at + extent.bytes.start..at + extent.bytes.end;
            extent
        });
        // Nothing follows an error: where the next would begin is unknown.
        at = extent
            .as_ref()
            .map_or(content.len(), |extent| extent.bytes.end);
        Some(extent)
    })
}

fn extent(content: &[u8], lengths: &[u64; FILES.len()]) -> Result<Extent, Damage> {
    let mut rest = content;
    let [kind, file] = take(&mut rest).ok_or(Damage::Kind)?;
    if kind != KIND_EXTENT {
        return Err(Damage::Kind);
    }
    let (Some(length), Some(offset)) = (take_u32(&mut rest), take_u64(&mut rest)) else {
        return Err(Damage::Kind);
    };
    let within = |end: u64| {
        lengths
            .get(usize::from(file))
            .is_some_and(|&all| end <= all)
    };
    let fits = offset.checked_add(length.into()).is_some_and(within);
    let present = usize::try_from(length).is_ok_and(|length| length <= rest.len());
    if length == 0 || !fits || !present {
        return Err(Damage::Extent {
            file,
            offset,
            length,
        });
    }
    Ok(Extent {
        file,
        offset,
        bytes: EXTENT_HEAD..EXTENT_HEAD + length as usize,
    })
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    take(bytes).map(u32::from_le_bytes)
}

fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    take(bytes).map(u64::from_le_bytes)
}

fn too_long(what: &'static str, length: impl TryInto<u64>) -> Damage {
    Damage::Length {
        what,
        length: length.try_into().unwrap_or(u64::MAX),
    }
}
