//! The public face: build a volume, ask its size, write it.

use std::fmt;
use std::io;
use std::path::Path;

use crate::SECTOR_BYTES;
use crate::error::Error;
use crate::label::Label;
use crate::layout::Layout;
use crate::source::{HostFile, Source};
use crate::time::Timestamp;
use crate::tree::Tree;
use crate::write::ImageWriter;

/// A label, a time and a tree of files, ready to be written as an image.
///
/// Paths are relative to the volume's root and separated by `/`; the folders
/// they name come into being with the files. An `add_*` that fails leaves the
/// volume as it was.
pub struct Volume {
    label: Label,
    time: Timestamp,
    tree: Tree,
}

impl Volume {
    /// An empty volume.
    ///
    /// `label` is what `blkid`, udev (`/dev/disk/by-label`) and file managers
    /// show; `time` becomes the time of the volume and of everything in it.
    ///
    /// # Errors
    /// [`Error::InvalidLabel`] unless the label is 1 to
    /// [`MAX_LABEL_CHARS`](crate::MAX_LABEL_CHARS) of `A`-`Z`, `0`-`9` and `_`.
    pub fn new(label: &str, time: Timestamp) -> Result<Self, Error> {
        Ok(Self {
            label: Label::new(label)?,
            time,
            tree: Tree::new(),
        })
    }

    /// Adds a file with the given content.
    ///
    /// # Errors
    /// As [`add_file`](Self::add_file).
    pub fn add_bytes(&mut self, path: &str, data: impl Into<Vec<u8>>) -> Result<(), Error> {
        self.add_file(path, data.into())
    }

    /// Adds a file of the host, read when the image is written.
    ///
    /// # Errors
    /// As [`add_file`](Self::add_file) and [`HostFile::new`].
    pub fn add_path(&mut self, path: &str, host: &Path) -> Result<(), Error> {
        self.add_file(path, HostFile::new(host)?)
    }

    /// Adds a file whose content comes from `source` when the image is written.
    ///
    /// # Errors
    /// - [`Error::InvalidName`] for a name the Joliet tree cannot hold;
    /// - [`Error::Duplicate`], [`Error::CaseClash`], [`Error::NotAFolder`] if
    ///   something already in the volume is in the way;
    /// - [`Error::FileTooLarge`], [`Error::TooManyFolders`] past the limits of
    ///   the format.
    pub fn add_file(&mut self, path: &str, source: impl Source + 'static) -> Result<(), Error> {
        self.tree.add_file(path, Box::new(source))
    }

    /// Adds a folder, which may stay empty. One that exists already is no error.
    ///
    /// # Errors
    /// As [`add_file`](Self::add_file).
    pub fn add_folder(&mut self, path: &str) -> Result<(), Error> {
        self.tree.add_folder(path)
    }

    /// Bytes that [`write_to`](Self::write_to) will write.
    ///
    /// # Errors
    /// [`Error::VolumeTooLarge`], [`Error::ShortNamesExhausted`].
    pub fn image_len(&self) -> Result<u64, Error> {
        let layout = Layout::new(&self.tree)?;
        Ok(u64::from(layout.sectors) * SECTOR_BYTES)
    }

    /// Writes the image from its first byte to its last and returns its length
    /// in bytes. `out` is flushed, and sees writes of convenient size: it needs
    /// no buffer of its own.
    ///
    /// # Errors
    /// - as [`image_len`](Self::image_len);
    /// - [`Error::OpenContent`], [`Error::ReadContent`] from a [`Source`];
    /// - [`Error::ContentShrank`], [`Error::ContentGrew`] if a source no longer
    ///   has the length it had when it was added;
    /// - [`Error::WriteImage`] from `out`.
    ///
    /// After an error, what `out` has received is no usable image.
    pub fn write_to(&self, out: &mut (impl io::Write + ?Sized)) -> Result<u64, Error> {
        let layout = Layout::new(&self.tree)?;
        ImageWriter::new(out).write(&self.tree, &layout, &self.label, self.time)
    }
}

impl fmt::Debug for Volume {
    /// Label and counts only: contents and names are the caller's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Volume")
            .field("label", &self.label.as_str())
            .field("time", &self.time)
            .field("files", &self.tree.files.len())
            .field("folders", &self.tree.folders.len())
            .finish_non_exhaustive()
    }
}
