//! Just enough qcow2: read a header without trusting it ([`Header`]), write an empty overlay.
//!
//! [`create_overlay`] writes the few clusters of an empty overlay itself: spawning `qemu-img` costs
//! more than the rest of preparing a start.
//!
//! Layout after the format's specification, QEMU's `interop/qcow2.txt`.

mod header;

use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use header::{BACKING_FORMAT, MAGIC, MAX_BACKING_NAME, MAX_VIRTUAL_BYTES};
pub use header::{Header, HeaderError};

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
    header.extend(BACKING_FORMAT.to_be_bytes());
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
}
