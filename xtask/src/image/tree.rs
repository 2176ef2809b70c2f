//! A folder as a sorted list of entries, and its digest.
//!
//! The digest depends on names, contents, executable bits and link targets
//! alone, so that a checkout elsewhere, by another user, has the same one.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use images::{Sha256Digest, sha256_file};

/// The block of a file system in the guest, see `guest/image/mke2fs.conf`.
const BLOCK_BYTES: u64 = 4096;

/// One file, link or folder below a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Path below the root, parts joined by `/`.
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

/// What an [`Entry`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder,
    File { bytes: u64, executable: bool },
    Link { target: PathBuf },
}

/// Everything below `root`, sorted by name; folders come before what is in them.
pub(crate) fn walk(root: &Path) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    visit(root, "", &mut entries)?;
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

fn visit(folder: &Path, prefix: &str, entries: &mut Vec<Entry>) -> Result<()> {
    let list = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for item in list {
        let item = item.with_context(|| format!("cannot list {}", folder.display()))?;
        let path = item.path();
        let Ok(own_name) = item.file_name().into_string() else {
            bail!("{} has a name that is not UTF-8; rename it", path.display());
        };
        let name = format!("{prefix}{own_name}");
        let metadata = fs::symlink_metadata(&path)
            .with_context(|| format!("cannot look at {}", path.display()))?;
        let kind = if metadata.is_dir() {
            visit(&path, &format!("{name}/"), entries)?;
            Kind::Folder
        } else if metadata.is_file() {
            Kind::File {
                bytes: metadata.len(),
                executable: metadata.permissions().mode() & 0o111 != 0,
            }
        } else if metadata.is_symlink() {
            let target = fs::read_link(&path)
                .with_context(|| format!("cannot read the link {}", path.display()))?;
            Kind::Link { target }
        } else {
            bail!(
                "{} is neither file, folder nor link; remove it",
                path.display()
            );
        };
        entries.push(Entry { name, kind });
    }
    Ok(())
}

/// The digest of `entries` below `root`, contents included.
pub(crate) fn digest(root: &Path, entries: &[Entry]) -> Result<Sha256Digest> {
    let mut listing = String::new();
    for Entry { name, kind } in entries {
        let line = match kind {
            // Empty folders are not kept by every tool that moves a tree, so they do not count.
            Kind::Folder => continue,
            Kind::File { executable, .. } => {
                let path = root.join(name);
                let content = sha256_file(&path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                format!("{} {content}", if *executable { "x" } else { "f" })
            }
            Kind::Link { target } => format!(
                "l {}",
                Sha256Digest::of(target.as_os_str().as_encoded_bytes())
            ),
        };
        // The name's length makes the listing unambiguous whatever is in a name.
        listing.extend([line, name.len().to_string(), name.clone()].map(|part| part + "\n"));
    }
    Ok(Sha256Digest::of(listing.as_bytes()))
}

/// What `entries` take on a disk, however small each may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Footprint {
    /// Bytes in whole blocks.
    pub(crate) bytes: u64,
    /// Files, folders and links.
    pub(crate) inodes: u64,
}

impl Footprint {
    pub(crate) fn of(entries: &[Entry]) -> Self {
        let blocks = entries.iter().map(|entry| match entry.kind {
            Kind::File { bytes, .. } => bytes.div_ceil(BLOCK_BYTES),
            // A folder has one with its names. A link's target is in its inode, or in one.
            Kind::Folder | Kind::Link { .. } => 1,
        });
        Self {
            bytes: blocks.sum::<u64>() * BLOCK_BYTES,
            inodes: u64::try_from(entries.len()).unwrap_or(u64::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(root: &Path) {
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/file"), "one").unwrap();
        fs::write(root.join("z"), "two").unwrap();
        std::os::unix::fs::symlink("z", root.join("link")).unwrap();
    }

    fn digest_of(root: &Path) -> Sha256Digest {
        digest(root, &walk(root).unwrap()).unwrap()
    }

    #[test]
    fn the_digest_is_the_same_in_another_place() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        sample(one.path());
        sample(two.path());
        fs::create_dir(two.path().join("empty")).unwrap();
        assert_eq!(digest_of(one.path()), digest_of(two.path()));
    }

    #[test]
    fn small_files_take_whole_blocks() {
        let folder = tempfile::tempdir().unwrap();
        sample(folder.path());
        fs::write(folder.path().join("large"), [0; 4097]).unwrap();
        fs::write(folder.path().join("nothing"), "").unwrap();
        let footprint = Footprint::of(&walk(folder.path()).unwrap());
        // Two folders, two files of three bytes, a link; the large one takes two.
        let (bytes, inodes) = (7 * 4096, 7);
        assert_eq!(footprint, Footprint { bytes, inodes });
    }

    #[test]
    fn name_content_mode_and_target_count() {
        let changes: [fn(&Path); 4] = [
            |root| fs::write(root.join("z"), "TWO").unwrap(),
            |root| fs::rename(root.join("z"), root.join("y")).unwrap(),
            |root| fs::set_permissions(root.join("z"), fs::Permissions::from_mode(0o755)).unwrap(),
            |root| {
                fs::remove_file(root.join("link")).unwrap();
                std::os::unix::fs::symlink("a", root.join("link")).unwrap();
            },
        ];
        for change in changes {
            let folder = tempfile::tempdir().unwrap();
            sample(folder.path());
            fs::set_permissions(folder.path().join("z"), fs::Permissions::from_mode(0o644))
                .unwrap();
            let before = digest_of(folder.path());
            change(folder.path());
            assert_ne!(before, digest_of(folder.path()));
        }
    }

    #[test]
    fn a_socket_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("sock")).unwrap();
        assert!(
            walk(folder.path())
                .unwrap_err()
                .to_string()
                .contains("sock")
        );
    }
}
