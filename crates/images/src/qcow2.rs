//! Just enough qcow2: read a header without trusting it, write an empty overlay.
//!
//! A qcow2 file can name a backing file, an external data file or an encryption
//! key, and QEMU would open what it names. [`Header::read`] parses the header so
//! that [`crate::Image::open`] can refuse those before QEMU sees the file. The
//! header's extensions need no look: QEMU takes the name of a data file or of a
//! key from them only if the header itself says that there is one. [`create_overlay`] writes the few clusters of an empty
//! overlay itself: spawning `qemu-img` costs more than the rest of preparing a
//! start.
//!
//! Layout after the format's specification, QEMU's `interop/qcow2.txt`.

use std::io::{Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use record::regular;

const MAGIC: u32 = 0x5146_49fb;
/// Incompatible feature bit: the data lives in another file.
const INCOMPATIBLE_DATA_FILE: u64 = 1 << 2;
/// Incompatible features that this reader knows to be harmless: dirty,
/// compression type and extended L2 entries.
const INCOMPATIBLE_KNOWN: u64 = 1 | (1 << 3) | (1 << 4);
/// The largest virtual size accepted, in bytes: 2 TiB, far above any image
/// and far below what makes L1 tables a memory problem.
const MAX_VIRTUAL_BYTES: u64 = 2 << 40;
/// Longest backing file name the format allows, in bytes.
const MAX_BACKING_NAME: u32 = 1023;

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
        let (incompatible, header_length) = if version == 3 {
            (u64_at(72)?, u32_at(100)?)
        } else {
            (0, 72)
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
        let least = if version == 3 { 104 } else { 72 };
        if header_length < least || header_length > 1 << cluster_bits {
            return Err(field("header length", header_length.into()));
        }
        let known = INCOMPATIBLE_KNOWN | INCOMPATIBLE_DATA_FILE | 2;
        if incompatible & !known != 0 {
            return Err(HeaderError::Features(incompatible & !known));
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
            corrupt: incompatible & 2 != 0,
        })
    }
}

/// Why an overlay could not be made.
#[derive(Debug, thiserror::Error)]
pub enum OverlayError {
    /// The backing file's path does not fit the format.
    #[error("the path {} has {} bytes; a qcow2 overlay can name at most {MAX_BACKING_NAME}: move the emulator's folder", path.display(), path.as_os_str().len())]
    BackingPath {
        /// The backing file.
        path: PathBuf,
    },
    /// The disk is larger than any image may be.
    #[error("the disk of {} would have {virtual_bytes} bytes; at most {MAX_VIRTUAL_BYTES} are supported", path.display())]
    Size {
        /// The overlay.
        path: PathBuf,
        /// The size asked for.
        virtual_bytes: u64,
    },
    /// The file could not be written.
    #[error("cannot write the disk overlay {}", path.display())]
    Write {
        /// The overlay.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// Writes an empty version-3 overlay of `virtual_bytes` at `path` (which must
/// not exist) on top of the qcow2 file `backing`.
///
/// It is not synced: QEMU's first flush for the guest syncs the whole file, and
/// before that there is nothing in it to lose.
///
/// `backing` should be absolute: QEMU resolves a relative name against the
/// overlay's folder.
pub fn create_overlay(path: &Path, backing: &Path, virtual_bytes: u64) -> Result<(), OverlayError> {
    const CLUSTER: u64 = 1 << 16;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::OpenOptionsExt as _;

    let name = backing.as_os_str().as_bytes();
    let name_length = u32::try_from(name.len())
        .ok()
        .filter(|length| *length <= MAX_BACKING_NAME);
    let Some(name_length) = name_length else {
        return Err(OverlayError::BackingPath {
            path: backing.to_owned(),
        });
    };
    // One L1 entry covers one L2 table: cluster size / 8 clusters.
    let entries = virtual_bytes.div_ceil(CLUSTER * (CLUSTER / 8)).max(1);
    let Some(l1_entries) = u32::try_from(entries)
        .ok()
        .filter(|_| virtual_bytes <= MAX_VIRTUAL_BYTES)
    else {
        return Err(OverlayError::Size {
            path: path.to_owned(),
            virtual_bytes,
        });
    };
    let l1_clusters = (entries * 8).div_ceil(CLUSTER);
    // Clusters: header, refcount table, refcount block, then the L1 table.
    // One refcount block of 16-bit counts describes 32768 clusters.
    let used = 3 + l1_clusters;

    let mut header = Vec::with_capacity(1024);
    header.extend(MAGIC.to_be_bytes());
    header.extend(3u32.to_be_bytes());
    // The name follows the 112 bytes of header and the extensions' end mark.
    let backing_at = 112 + 16 + 8;
    header.extend(u64::to_be_bytes(backing_at));
    header.extend(name_length.to_be_bytes());
    header.extend(16u32.to_be_bytes()); // cluster_bits
    header.extend(virtual_bytes.to_be_bytes());
    header.extend(0u32.to_be_bytes()); // crypt_method
    header.extend(l1_entries.to_be_bytes());
    header.extend((3 * CLUSTER).to_be_bytes()); // L1 table offset
    header.extend(CLUSTER.to_be_bytes()); // refcount table offset
    header.extend(1u32.to_be_bytes()); // refcount table clusters
    header.extend(0u32.to_be_bytes()); // snapshots
    header.extend(0u64.to_be_bytes());
    header.extend(0u64.to_be_bytes()); // incompatible features
    header.extend(0u64.to_be_bytes()); // compatible features
    header.extend(0u64.to_be_bytes()); // autoclear features
    header.extend(4u32.to_be_bytes()); // refcount_order: 16 bits
    header.extend(112u32.to_be_bytes()); // header length
    header.extend([0; 8]); // compression type (zlib, unused) and padding
    // Extension: the backing file's format, so that QEMU never probes it.
    header.extend(0xe279_2acau32.to_be_bytes());
    header.extend(5u32.to_be_bytes());
    header.extend(*b"qcow2\0\0\0");
    header.extend([0; 8]); // end of extensions
    header.extend(name);

    let write = || -> std::io::Result<()> {
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(&header)?;
        file.seek(SeekFrom::Start(CLUSTER))?;
        file.write_all(&(2 * CLUSTER).to_be_bytes())?;
        file.seek(SeekFrom::Start(2 * CLUSTER))?;
        for _ in 0..used {
            file.write_all(&1u16.to_be_bytes())?;
        }
        file.set_len(used * CLUSTER)
    };
    write().map_err(|source| OverlayError::Write {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn qemu_finds_nothing_wrong_with_an_overlay() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("base ü.qcow2");
        let overlay = dir.path().join("overlay.qcow2");
        for size in ["1M", "8G", "1T"] {
            qemu_img(&["create", "-q", "-f", "qcow2", base.to_str().unwrap(), size]);
            let virtual_bytes = Header::read(&base).unwrap().virtual_bytes;
            create_overlay(&overlay, &base, virtual_bytes).unwrap();
            let checked = qemu_img(&["check", overlay.to_str().unwrap()]);
            assert!(checked.contains("No errors"), "{checked}");
            let info: serde_json::Value = serde_json::from_str(&qemu_img(&[
                "info",
                "--output=json",
                overlay.to_str().unwrap(),
            ]))
            .unwrap();
            assert_eq!(info["virtual-size"], virtual_bytes);
            assert_eq!(info["backing-filename"], base.to_str().unwrap());
            assert_eq!(info["backing-filename-format"], "qcow2");
            let header = Header::read(&overlay).unwrap();
            assert_eq!(
                header.backing_file.unwrap(),
                base.to_str().unwrap().as_bytes()
            );
            std::fs::remove_file(&overlay).unwrap();
        }
    }

    #[test]
    fn what_is_written_through_an_overlay_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let (base, overlay) = (dir.path().join("b.qcow2"), dir.path().join("o.qcow2"));
        qemu_img(&["create", "-q", "-f", "qcow2", base.to_str().unwrap(), "64M"]);
        create_overlay(&overlay, &base, 64 << 20).unwrap();
        let output = Command::new("qemu-io")
            .args([
                "-f",
                "qcow2",
                "-c",
                "write -P 7 63M 64k",
                "-c",
                "read -P 7 63M 64k",
            ])
            .arg(&overlay)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(!String::from_utf8_lossy(&output.stdout).contains("Pattern verification failed"));
    }

    #[test]
    fn an_existing_overlay_is_never_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("o.qcow2");
        std::fs::write(&path, "mine").unwrap();
        assert!(create_overlay(&path, Path::new("/b"), 1 << 20).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
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
