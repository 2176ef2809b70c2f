//! Streams a laid-out volume, from its first sector to its last.

use std::io::{self, BufWriter, Read, Write};

use crate::error::Error;
use crate::label::Label;
use crate::layout::{DirectoryTree, Layout, SYSTEM_AREA_SECTORS};
use crate::record::{self, Charset, Endian, Kind};
use crate::time::Timestamp;
use crate::tree::{FileId, Node, Tree};
use crate::{SECTOR, SECTOR_BYTES};

/// Bytes read from a source at once. Large enough that per-call costs vanish,
/// small enough to stay in a second-level cache.
const COPY_BYTES: usize = 256 * 1024;
/// Gathers directories and small files; larger writes pass it by.
const GATHER_BYTES: usize = 64 * 1024;
const ZERO_SECTOR: [u8; SECTOR] = [0; SECTOR];

/// Counts what it writes and pads it to sectors.
pub(crate) struct ImageWriter<W: Write> {
    out: BufWriter<W>,
    written: u64,
}

impl<W: Write> ImageWriter<W> {
    pub(crate) fn new(out: W) -> Self {
        Self {
            out: BufWriter::with_capacity(GATHER_BYTES, out),
            written: 0,
        }
    }

    pub(crate) fn write(
        mut self,
        tree: &Tree,
        layout: &Layout,
        label: &Label,
        time: Timestamp,
    ) -> Result<u64, Error> {
        for _ in 0..SYSTEM_AREA_SECTORS {
            self.put(&ZERO_SECTOR)?;
        }
        for (charset, directories) in [
            (Charset::Primary, &layout.primary),
            (Charset::Joliet, &layout.joliet),
        ] {
            self.put(&record::volume_descriptor(
                charset,
                label,
                time,
                directories,
                layout.sectors,
            ))?;
        }
        self.put(&record::descriptor_set_terminator())?;
        for directories in [&layout.primary, &layout.joliet] {
            for endian in [Endian::Little, Endian::Big] {
                self.put(&record::path_table(directories, endian)?)?;
                self.fill_sector()?;
            }
        }
        for directories in [&layout.primary, &layout.joliet] {
            self.put_directories(layout, directories, time)?;
        }
        let mut buffer = vec![0; COPY_BYTES];
        for &file in &layout.file_order {
            self.put_content(tree, file, &mut buffer)?;
            self.fill_sector()?;
        }
        self.out
            .flush()
            .map_err(|source| Error::WriteImage { source })?;
        debug_assert_eq!(self.written, u64::from(layout.sectors) * SECTOR_BYTES);
        Ok(self.written)
    }

    fn put_directories(
        &mut self,
        layout: &Layout,
        tree: &DirectoryTree,
        time: Timestamp,
    ) -> Result<(), Error> {
        for directory in &tree.directories {
            debug_assert_eq!(
                self.written,
                u64::from(directory.extent.sector) * SECTOR_BYTES
            );
            let parent = tree.directories[directory.parent].extent;
            for (identifier, extent) in [
                (record::SELF_IDENTIFIER, directory.extent),
                (record::PARENT_IDENTIFIER, parent),
            ] {
                self.put(&record::directory_record(
                    identifier,
                    Kind::Folder,
                    extent,
                    time,
                ))?;
            }
            for child in &directory.children {
                let kind = match child.node {
                    Node::File(_) => Kind::File,
                    Node::Folder(_) => Kind::Folder,
                };
                let extent = layout.extent_of(tree, child.node);
                let record = record::directory_record(&child.identifier, kind, extent, time);
                let left = SECTOR_BYTES - self.written % SECTOR_BYTES;
                if record.len() as u64 > left {
                    self.fill_sector()?;
                }
                self.put(&record)?;
            }
            self.fill_sector()?;
        }
        Ok(())
    }

    /// Copies exactly the announced number of bytes, then makes sure that the
    /// source has no more.
    fn put_content(&mut self, tree: &Tree, id: FileId, buffer: &mut [u8]) -> Result<(), Error> {
        let file = &tree.files[id.0];
        let path = || tree.path_of(Node::File(id));
        let expected = u64::from(file.bytes);
        let mut reader = file.source.open().map_err(|source| Error::OpenContent {
            path: path(),
            source,
        })?;
        let mut found = 0;
        while found < expected {
            let want = usize::try_from(expected - found)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            let read = read_some(&mut reader, &mut buffer[..want]).map_err(|source| {
                Error::ReadContent {
                    path: path(),
                    source,
                }
            })?;
            if read == 0 {
                return Err(Error::ContentShrank {
                    path: path(),
                    expected,
                    found,
                });
            }
            self.put(&buffer[..read])?;
            found += read as u64;
        }
        match read_some(&mut reader, &mut buffer[..1]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(Error::ContentGrew {
                path: path(),
                expected,
            }),
            Err(source) => Err(Error::ReadContent {
                path: path(),
                source,
            }),
        }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.out
            .write_all(bytes)
            .map_err(|source| Error::WriteImage { source })?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Zeros up to the next sector, if not at the start of one.
    fn fill_sector(&mut self) -> Result<(), Error> {
        let used = usize::try_from(self.written % SECTOR_BYTES).unwrap_or_default();
        if used == 0 {
            return Ok(());
        }
        self.put(&ZERO_SECTOR[used..])
    }
}

/// One read that is not cut short by a signal.
fn read_some(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
