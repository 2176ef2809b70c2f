//! Writes ISO 9660 level 1 + Joliet volumes: files in, bytes out.
//!
//! A [`Volume`] is a label, a time and a tree of files. [`Volume::write_to`]
//! streams it as a complete image into any [`std::io::Write`]; it never seeks
//! and holds no file content beyond one copy buffer, so memory stays flat
//! whatever the payload. The same tree gives the same bytes, in whatever order
//! its files were added: the time is a parameter and nothing else varies.
//!
//! ```
//! use iso9660::{Timestamp, Volume};
//!
//! let mut volume = Volume::new("STACKCFG", Timestamp::UNIX_EPOCH)?;
//! volume.add_bytes("runtime.env", "STACK_EMULATOR_PORT_PREFIX=81\n")?;
//! volume.add_bytes("base.env", "NEXT_PUBLIC_STACK_IS_LOCAL_EMULATOR=true\n")?;
//! volume.add_bytes("units/backend.service", Vec::new())?;
//!
//! let mut image = Vec::new();
//! let written = volume.write_to(&mut image)?;
//! assert_eq!(written, volume.image_len()?);
//! assert_eq!(written, image.len() as u64);
//! # Ok::<(), iso9660::Error>(())
//! ```
//!
//! # What is on the volume
//!
//! Two directory trees share one copy of the file contents:
//!
//! - the **primary** tree of ECMA-119 (ISO 9660), with level 1 identifiers:
//!   upper-case 8.3 names. A name that does not fit is shortened, and numbered
//!   (`NODE_M_2`) where that would make two names of one folder equal;
//! - the **Joliet** tree (UCS-2 level 3), with the names as they were given.
//!   Linux, Windows and macOS read this one, so `runtime.env` stays `runtime.env`.
//!
//! # Where it departs from the standards, and why
//!
//! - *Depth.* ECMA-119 6.8.2.1 allows eight levels of folders and paths of 255
//!   bytes; Joliet lifts the first. Both trees here are as deep as what was
//!   added, as with `genisoimage -D`: no reader in use keeps to the limit, and
//!   the alternative is to move folders away from where they belong.
//! - *Name length.* Joliet says 64 UTF-16 units. [`MAX_NAME_UNITS`] is 103, the
//!   bound of `genisoimage -joliet-long` and of `xorriso -compliance
//!   joliet_long_names`, because build tools make such names and Linux,
//!   `bsdtar`, `xorriso` and `isoinfo` read them. [`MAX_NAME_BYTES`] comes on top
//!   of it for Linux.
//!
//! Linux shows names outside ASCII as they are where its default character set is
//! UTF-8 (Debian, Ubuntu) or with the mount option `iocharset=utf8`.
//!
//! Files of one extent only, hence [`MAX_FILE_BYTES`]; no permissions, owners or
//! symbolic links, which neither tree can hold.

mod error;
mod label;
mod layout;
mod name;
mod record;
mod short_name;
mod source;
mod time;
mod tree;
mod volume;
mod write;

pub use error::{Error, LabelFault, NameFault};
pub use label::MAX_LABEL_CHARS;
pub use name::{MAX_NAME_BYTES, MAX_NAME_UNITS};
pub use source::{HostFile, Source};
pub use time::Timestamp;
pub use tree::{MAX_FILE_BYTES, MAX_FOLDERS};
pub use volume::Volume;

/// Bytes in a sector, which is also the logical block of the volumes written
/// here. Every extent starts on a sector and an image is a whole number of them.
pub const SECTOR_BYTES: u64 = SECTOR as u64;

/// [`SECTOR_BYTES`] for the sizes of buffers.
const SECTOR: usize = 2048;
