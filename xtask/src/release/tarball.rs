//! Tarballs that are the same bytes whenever and by whomever they are made: sorted, nobody's, of no time.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use anyhow::{Context as _, Result};
use flate2::{Compression, GzBuilder};
use tar::{EntryType, Header};

/// The time of every entry, seconds since 1970: the earliest that a zip could have as well.
const MTIME: u64 = 315_532_800;

/// Files by their paths in the tarball, in the order in which they are written.
#[derive(Debug, Default)]
pub(super) struct Tarball {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    content: Vec<u8>,
    mode: u32,
}

impl Tarball {
    /// Adds a file that everybody may read.
    pub(super) fn file(&mut self, path: impl Into<String>, content: Vec<u8>) {
        self.add(path.into(), content, 0o644);
    }

    /// Adds a file that everybody may run.
    pub(super) fn program(&mut self, path: impl Into<String>, content: Vec<u8>) {
        self.add(path.into(), content, 0o755);
    }

    fn add(&mut self, path: String, content: Vec<u8>, mode: u32) {
        self.entries.insert(path, Entry { content, mode });
    }

    /// The compressed tarball.
    pub(super) fn bytes(&self) -> Result<Vec<u8>> {
        self.write().context("cannot make a tarball")
    }

    fn write(&self) -> io::Result<Vec<u8>> {
        // Its header has neither a time nor a file name.
        let gzip = GzBuilder::new()
            .mtime(0)
            .write(vec![], Compression::default());
        let mut archive = tar::Builder::new(gzip);
        for folder in self.folders() {
            archive.append_data(
                &mut header(EntryType::Directory, 0o755, 0),
                folder,
                io::empty(),
            )?;
        }
        for (path, entry) in &self.entries {
            let mut header = header(EntryType::Regular, entry.mode, entry.content.len() as u64);
            archive.append_data(&mut header, path, entry.content.as_slice())?;
        }
        let mut gzip = archive.into_inner()?;
        gzip.flush()?;
        gzip.finish()
    }

    /// All folders of the files, each after the one that it is in.
    fn folders(&self) -> Vec<String> {
        let mut folders: Vec<String> = self
            .entries
            .keys()
            .flat_map(|path| {
                path.match_indices('/')
                    .map(|(at, _)| path[..=at].to_owned())
            })
            .collect();
        folders.sort();
        folders.dedup();
        folders
    }
}

fn header(kind: EntryType, mode: u32, bytes: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(bytes);
    header.set_mtime(MTIME);
    header.set_uid(0);
    header.set_gid(0);
    header
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn listed(bytes: &[u8]) -> Vec<(String, u32, u64)> {
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes));
        let entries = archive.entries().unwrap();
        entries
            .map(|entry| {
                let entry = entry.unwrap();
                let path = entry.path().unwrap().to_string_lossy().into_owned();
                let header = entry.header();
                assert_eq!(header.mtime().unwrap(), MTIME);
                assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
                (path, header.mode().unwrap(), entry.size())
            })
            .collect()
    }

    #[test]
    fn entries_are_sorted_and_folders_come_first() {
        let mut tarball = Tarball::default();
        tarball.file("a/b/two", b"22".to_vec());
        tarball.program("a/bin/one", b"1".to_vec());
        assert_eq!(
            listed(&tarball.bytes().unwrap()),
            [
                ("a/".to_owned(), 0o755, 0),
                ("a/b/".to_owned(), 0o755, 0),
                ("a/bin/".to_owned(), 0o755, 0),
                ("a/b/two".to_owned(), 0o644, 2),
                ("a/bin/one".to_owned(), 0o755, 1),
            ]
        );
    }

    proptest! {
        /// The order in which files are added is of no account.
        #[test]
        fn the_same_files_give_the_same_bytes(
            files in proptest::collection::btree_map("[a-c]{1,2}/[a-z]{1,8}", any::<Vec<u8>>(), 1..8)
        ) {
            let (mut one, mut other) = (Tarball::default(), Tarball::default());
            for (path, content) in &files {
                one.file(path, content.clone());
            }
            for (path, content) in files.iter().rev() {
                other.file(path, content.clone());
            }
            let bytes = one.bytes().unwrap();
            prop_assert_eq!(&bytes, &other.bytes().unwrap());
            let found = listed(&bytes).into_iter().filter(|(path, ..)| !path.ends_with('/'));
            prop_assert!(found.map(|(path, ..)| path).eq(files.keys().cloned()));
        }
    }
}
