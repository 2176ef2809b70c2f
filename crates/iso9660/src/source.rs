//! Where file contents come from.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::error::Error;

/// The content of one file: its length at once, its bytes when they are needed.
///
/// The length goes into the directories, which come before the contents, so it
/// must be known up front and must still be true when the image is written;
/// otherwise [`Volume::write_to`](crate::Volume::write_to) fails.
pub trait Source: Send + Sync {
    /// How many bytes [`open`](Self::open) will yield.
    fn size(&self) -> u64;

    /// A reader of the whole content from its start. Called once for each image
    /// written, and dropped before the next file is opened.
    fn open(&self) -> io::Result<Box<dyn Read + '_>>;
}

impl Source for Vec<u8> {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.as_slice()))
    }
}

/// A regular file of the host, opened only while its content is copied.
#[derive(Debug, Clone)]
pub struct HostFile {
    path: PathBuf,
    size: u64,
}

impl HostFile {
    /// Notes the present size of the file at `path`, following symbolic links.
    ///
    /// # Errors
    /// [`Error::HostFileSize`] if it cannot be looked at,
    /// [`Error::NotARegularFile`] if it is anything but a regular file.
    pub fn new(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => Ok(Self {
                size: metadata.len(),
                path,
            }),
            Ok(_) => Err(Error::NotARegularFile { host: path }),
            Err(source) => Err(Error::HostFileSize { host: path, source }),
        }
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Source for HostFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(File::open(&self.path)?))
    }
}
