//! A qcow2 header, read without trust.
//!
//! A qcow2 file can name a backing file, an external data file or an encryption key, and QEMU would
//! open what it names; a table in it can say how much memory QEMU takes before the guest has run.
//! [`Header::read`] parses the header so that [`crate::Image::open`] can refuse those before QEMU
//! sees the file. What is allowed is listed here, and all else refused: versions, feature bits,
//! header extensions, table sizes. That is what `qemu-img create` and `convert` write, with any
//! cluster size and compression, and without internal snapshots and bitmaps.

use std::io::Read as _;
use std::path::Path;

use record::regular;

pub(super) const MAGIC: u32 = 0x5146_49fb;
/// Incompatible feature bit: marked corrupt.
const INCOMPATIBLE_CORRUPT: u64 = 1 << 1;
/// Incompatible feature bit: the data lives in another file.
const INCOMPATIBLE_DATA_FILE: u64 = 1 << 2;
/// Incompatible features that this reader knows to be harmless: dirty,
/// compression type and extended L2 entries.
const INCOMPATIBLE_KNOWN: u64 = 1 | (1 << 3) | INCOMPATIBLE_EXTENDED_L2;
/// Incompatible feature bit: L2 entries are of 16 bytes, not of 8.
const INCOMPATIBLE_EXTENDED_L2: u64 = 1 << 4;
/// Compatible features that are known: lazy reference counts.
const COMPATIBLE_KNOWN: u64 = 1;
/// The header extension that ends the list.
const END: u32 = 0;
/// The header extension with the backing file's format.
pub(super) const BACKING_FORMAT: u32 = 0xe279_2aca;
/// The header extension with the features' names, which QEMU prints where it lacks one.
const FEATURE_NAMES: u32 = 0x6803_f857;
/// The header extension with an external data file's name.
const DATA_FILE_NAME: u32 = 0x4441_5441;
/// The header extension that says where a LUKS header is.
const ENCRYPTION: u32 = 0x0537_be77;
/// Header lengths that are known: without and with the compression type.
const HEADER_LENGTHS: [u32; 2] = [104, 112];
/// Longest backing file format, in bytes, as QEMU has it.
const MAX_BACKING_FORMAT: u32 = 15;
/// Most bytes of a table of reference counts, as QEMU has it.
const MAX_REFCOUNT_TABLE: u64 = 8 << 20;
/// Most bytes of an L1 table, as QEMU has it.
const MAX_L1_TABLE: u64 = 32 << 20;
/// The largest virtual size accepted, in bytes: 2 TiB, far above any image
/// and far below what makes L1 tables a memory problem.
pub(super) const MAX_VIRTUAL_BYTES: u64 = 2 << 40;
/// Longest backing file name the format allows, in bytes.
pub(super) const MAX_BACKING_NAME: u32 = 1023;

/// What a qcow2 header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Size of the disk that the guest sees, in bytes.
    pub virtual_bytes: u64,
    /// Cluster size in bytes.
    pub cluster_bytes: u32,
    /// The backing file's name as written, if there is one.
    pub backing_file: Option<Vec<u8>>,
    /// The data lives in another file.
    pub external_data: bool,
    /// 0 = none, 1 = AES, 2 = LUKS.
    pub encryption: u32,
    /// QEMU had not closed the file, or marked it corrupt.
    pub corrupt: bool,
}

/// Why a file is not a qcow2 image that can be used.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// The file could not be read.
    #[error("cannot read it")]
    Read(#[source] std::io::Error),
    /// It ends within the header.
    #[error("it ends within its header: the file is truncated")]
    Truncated,
    /// Another format.
    #[error("it is not a qcow2 file")]
    NotQcow2,
    /// A version other than 2 and 3.
    #[error("it is qcow2 version {0}; versions 2 and 3 are known")]
    Version(u32),
    /// A header field that cannot hold.
    #[error("its header is damaged: {field} is {value}")]
    Field {
        /// The field, in the specification's words.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// A feature that changes how the file must be read.
    #[error("it needs qcow2 features that are not known here (bits {0:#x})")]
    Features(u64),
    /// A feature that QEMU could do without, such as dirty bitmaps, which it loads into memory.
    #[error("it has qcow2 features that are not supported here (bits {0:#x})")]
    Extras(u64),
    /// Something in the header that is not known.
    #[error("its header has an extension that is not supported here ({0:#010x})")]
    Extension(u32),
    /// Snapshots within the image: QEMU loads their list into memory.
    #[error("it has {0} internal snapshots; an image for the emulator has none")]
    Snapshots(u32),
}

impl Header {
    /// Why QEMU is not given the file, whatever it is to be: it would open another
    /// file, ask for a key or repair it.
    ///
    /// A backing file is not among the reasons: QEMU is told by name what a disk
    /// lies on, and where it may lie on nothing, that is for the caller to say.
    pub const fn problem(&self) -> Option<&'static str> {
        if self.external_data {
            Some("its data is in another file")
        } else if self.encryption != 0 {
            Some("it is encrypted")
        } else if self.corrupt {
            Some("it is marked corrupt")
        } else if self.virtual_bytes == 0 {
            Some("its disk has no size")
        } else {
            None
        }
    }

    /// Reads the header of the file at `path`.
    pub fn read(path: &Path) -> Result<Self, HeaderError> {
        let mut bytes = Vec::new();
        let file = regular::open(path).map_err(HeaderError::Read)?;
        // The first cluster holds header, extensions and backing name; the
        // smallest cluster is 512 bytes, the largest worth reading 64 KiB.
        file.take(64 << 10)
            .read_to_end(&mut bytes)
            .map_err(HeaderError::Read)?;
        Self::parse(&bytes)
    }

    /// Parses a header from the first bytes of a file.
    pub fn parse(bytes: &[u8]) -> Result<Self, HeaderError> {
        let field = |field, value| HeaderError::Field { field, value };
        let u32_at = |at: usize| -> Result<u32, HeaderError> {
            let raw = bytes.get(at..at + 4).ok_or(HeaderError::Truncated)?;
            Ok(u32::from_be_bytes([raw[0], raw[1], raw[2], raw[3]]))
        };
        let u64_at = |at: usize| -> Result<u64, HeaderError> {
            Ok(u64::from(u32_at(at)?) << 32 | u64::from(u32_at(at + 4)?))
        };
        if u32_at(0)? != MAGIC {
            return Err(HeaderError::NotQcow2);
        }
        let version = u32_at(4)?;
        if version != 2 && version != 3 {
            return Err(HeaderError::Version(version));
        }
        let backing_offset = u64_at(8)?;
        let backing_length = u32_at(16)?;
        let cluster_bits = u32_at(20)?;
        let virtual_bytes = u64_at(24)?;
        let encryption = u32_at(32)?;
        let l1_entries = u32_at(36)?;
        let refcount_clusters = u32_at(56)?;
        let snapshots = u32_at(60)?;
        let v3 = version == 3;
        let (incompatible, compatible, autoclear) = if v3 {
            (u64_at(72)?, u64_at(80)?, u64_at(88)?)
        } else {
            (0, 0, 0)
        };
        let (refcount_order, header_length) = if v3 {
            (u32_at(96)?, u32_at(100)?)
        } else {
            (4, 72)
        };
        if !(9..=21).contains(&cluster_bits) {
            return Err(field("cluster_bits", cluster_bits.into()));
        }
        if virtual_bytes > MAX_VIRTUAL_BYTES {
            return Err(field("virtual size", virtual_bytes));
        }
        if encryption > 2 {
            return Err(field("crypt_method", encryption.into()));
        }
        if v3 && !HEADER_LENGTHS.contains(&header_length) {
            return Err(field("header length", header_length.into()));
        }
        let known = INCOMPATIBLE_KNOWN | INCOMPATIBLE_DATA_FILE | INCOMPATIBLE_CORRUPT;
        if incompatible & !known != 0 {
            return Err(HeaderError::Features(incompatible & !known));
        }
        let extras = autoclear | (compatible & !COMPATIBLE_KNOWN);
        if extras != 0 {
            return Err(HeaderError::Extras(extras));
        }
        if snapshots != 0 {
            return Err(HeaderError::Snapshots(snapshots));
        }
        if refcount_order > 6 {
            return Err(field("refcount_order", refcount_order.into()));
        }
        if u64::from(refcount_clusters) << cluster_bits > MAX_REFCOUNT_TABLE {
            return Err(field("refcount_table_clusters", refcount_clusters.into()));
        }
        let entry_bytes = if incompatible & INCOMPATIBLE_EXTENDED_L2 == 0 {
            8
        } else {
            16
        };
        // One L1 entry covers one L2 table, which is a cluster. QEMU lets a table grow by half before
        // it needs the entries.
        let covered = (1u64 << (2 * cluster_bits)) / entry_bytes;
        let l1_needed = virtual_bytes.div_ceil(covered);
        let l1_most = (2 * l1_needed).max(1 << (cluster_bits - 3));
        if u64::from(l1_entries) > l1_most.min(MAX_L1_TABLE / 8) {
            return Err(field("l1_size", l1_entries.into()));
        }
        if header_length > 104 && u32_at(104)? >> 24 > 1 {
            return Err(field("compression type", (u32_at(104)? >> 24).into()));
        }
        let extensions_end = match backing_offset {
            0 => 1 << cluster_bits,
            offset => offset,
        };
        let mut at = u64::from(header_length);
        while at < extensions_end {
            let here = usize::try_from(at).map_err(|_| HeaderError::Truncated)?;
            let (kind, length) = (u32_at(here)?, u32_at(here + 4)?);
            let data_file = incompatible & INCOMPATIBLE_DATA_FILE != 0;
            let is_known = match kind {
                END => break,
                BACKING_FORMAT => length <= MAX_BACKING_FORMAT,
                FEATURE_NAMES => true,
                // Refused as a whole, in words that say more: see `problem`.
                DATA_FILE_NAME => data_file,
                ENCRYPTION => encryption != 0,
                _ => false,
            };
            if !is_known {
                return Err(HeaderError::Extension(kind));
            }
            at += 8 + u64::from(length).next_multiple_of(8);
            if at > extensions_end {
                return Err(field("header extension length", length.into()));
            }
        }
        let backing_file = if backing_offset == 0 {
            None
        } else {
            let start = usize::try_from(backing_offset)
                .map_err(|_| field("backing file offset", backing_offset))?;
            if backing_length > MAX_BACKING_NAME {
                return Err(field("backing file name length", backing_length.into()));
            }
            let end = start
                .checked_add(backing_length as usize)
                .ok_or(field("backing file offset", backing_offset))?;
            Some(
                bytes
                    .get(start..end)
                    .ok_or(HeaderError::Truncated)?
                    .to_vec(),
            )
        };
        Ok(Self {
            virtual_bytes,
            cluster_bytes: 1 << cluster_bits,
            backing_file,
            external_data: incompatible & INCOMPATIBLE_DATA_FILE != 0,
            encryption,
            corrupt: incompatible & INCOMPATIBLE_CORRUPT != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qcow2::create_overlay;
    use proptest::prelude::*;
    use std::process::Command;

    fn qemu_img(args: &[&str]) -> String {
        let output = Command::new("qemu-img")
            .args(args)
            .output()
            .expect("install qemu-utils");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        text
    }

    #[test]
    fn features_that_open_other_files_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("i.qcow2");
        let data = dir.path().join("data.raw");
        qemu_img(&[
            "create",
            "-q",
            "-f",
            "qcow2",
            "-o",
            &format!("data_file={}", data.to_str().unwrap()),
            image.to_str().unwrap(),
            "1M",
        ]);
        assert!(Header::read(&image).unwrap().external_data);
    }

    #[test]
    fn what_qemu_img_makes_is_allowed() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let base = path("base");
        qemu_img(&["create", "-q", "-f", "qcow2", &base, "64M"]);
        for (options, size) in [
            ("compat=0.10", "64M"),
            ("cluster_size=512,refcount_bits=64", "1M"),
            ("cluster_size=2M", "2T"),
            (
                "compression_type=zstd,extended_l2=on,lazy_refcounts=on",
                "64M",
            ),
            ("refcount_bits=1,preallocation=metadata", "64M"),
        ] {
            let made = path("made");
            qemu_img(&["create", "-q", "-f", "qcow2", "-o", options, &made, size]);
            Header::read(Path::new(&made)).unwrap_or_else(|error| panic!("{options}: {error}"));
            if size != "2T" {
                qemu_img(&["resize", "-q", &made, "+3M"]);
                Header::read(Path::new(&made)).unwrap_or_else(|error| panic!("{options}: {error}"));
            }
        }
        let over = path("over");
        qemu_img(&[
            "create", "-q", "-f", "qcow2", "-b", &base, "-F", "qcow2", &over,
        ]);
        assert!(
            Header::read(Path::new(&over))
                .unwrap()
                .backing_file
                .is_some()
        );
        let converted = path("converted");
        qemu_img(&["convert", "-c", "-O", "qcow2", &base, &converted]);
        Header::read(Path::new(&converted)).unwrap();
    }

    #[test]
    fn what_qemu_would_load_into_memory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("i.qcow2");
        let name = image.to_str().unwrap();
        qemu_img(&["create", "-q", "-f", "qcow2", name, "1G"]);
        let plain = std::fs::read(&image).unwrap();
        qemu_img(&["bitmap", "--add", name, "b"]);
        let error = Header::read(&image).unwrap_err();
        assert!(matches!(error, HeaderError::Extras(1)), "{error}");
        // Nor where the bit is not set and QEMU, as things are, leaves the extension alone.
        let mut bytes = std::fs::read(&image).unwrap();
        bytes[95] = 0;
        let error = Header::parse(&bytes).unwrap_err();
        assert!(
            matches!(error, HeaderError::Extension(0x2385_2875)),
            "{error}"
        );
        std::fs::write(&image, &plain).unwrap();
        qemu_img(&["snapshot", "-c", "one", name]);
        let error = Header::read(&image).unwrap_err();
        assert!(matches!(error, HeaderError::Snapshots(1)), "{error}");

        let with = |at: usize, value: u32| {
            let mut bytes = plain.clone();
            bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
            Header::parse(&bytes).unwrap_err()
        };
        for (at, value, named) in [
            (36, 1 << 20, "l1_size"),
            (56, 129, "refcount_table_clusters"),
            (96, 7, "refcount_order"),
            (104, 2 << 24, "compression type"),
            (116, u32::MAX, "header extension length"),
        ] {
            let error = with(at, value);
            assert!(
                matches!(error, HeaderError::Field { field, .. } if field == named),
                "{named}: {error}"
            );
        }
        // The names of what nobody knows.
        assert!(matches!(with(84, 2), HeaderError::Extras(2)));
        assert!(matches!(with(88, 1 << 31), HeaderError::Extras(_)));
        for kind in [1, DATA_FILE_NAME, ENCRYPTION] {
            assert!(matches!(with(112, kind), HeaderError::Extension(named) if named == kind));
        }
    }

    #[test]
    fn each_damage_has_its_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("o.qcow2");
        create_overlay(&path, Path::new("/base"), 1 << 30).unwrap();
        let good = std::fs::read(&path).unwrap();
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            Header::parse(&bytes).unwrap_err()
        };
        assert!(matches!(
            Header::parse(&good[..3]),
            Err(HeaderError::Truncated)
        ));
        assert!(matches!(
            Header::parse(&good[..90]),
            Err(HeaderError::Truncated)
        ));
        assert!(matches!(with(0, 0), HeaderError::NotQcow2));
        assert!(matches!(with(7, 9), HeaderError::Version(9)));
        assert!(matches!(
            with(23, 40),
            HeaderError::Field {
                field: "cluster_bits",
                value: 40
            }
        ));
        assert!(matches!(
            with(24, 1),
            HeaderError::Field {
                field: "virtual size",
                ..
            }
        ));
        assert!(matches!(
            with(35, 3),
            HeaderError::Field {
                field: "crypt_method",
                ..
            }
        ));
        assert!(matches!(with(79, 0x80), HeaderError::Features(0x80)));
        assert!(matches!(
            with(103, 1),
            HeaderError::Field {
                field: "header length",
                ..
            }
        ));
        assert!(matches!(
            with(16, 1),
            HeaderError::Field {
                field: "backing file name length",
                ..
            }
        ));
        assert!(matches!(with(8, 1), HeaderError::Truncated));
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_fail_without_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Header::parse(&bytes);
            if bytes.len() >= 8 {
                bytes[..8].copy_from_slice(&[0x51, 0x46, 0x49, 0xfb, 0, 0, 0, 3]);
                let _ = Header::parse(&bytes);
            }
        }
    }
}
