//! Which parts of files are in memory, and having the system read others ahead.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use crate::process::ProcessIdentity;
use crate::system;

/// The granularity of all of this, in bytes. A system with larger pages has whole ones of these.
pub const PAGE: u64 = 4096;

/// A file, and the parts of it that a process has used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedFile {
    /// The file, with links resolved.
    pub path: PathBuf,
    /// Bytes from and to, at multiples of [`PAGE`], in order and apart from each other.
    pub parts: Vec<Range<u64>>,
}

impl ProcessIdentity {
    /// The files that the process has mapped into its memory, each with the parts that it has used so far;
    /// those that it changed in a private mapping are among them. The system maps some pages around each
    /// that is used.
    ///
    /// Empty where the system does not tell.
    ///
    /// # Errors
    ///
    /// What the system said, if it refuses.
    pub fn used_files(&self) -> io::Result<Vec<UsedFile>> {
        system::used_files(self.pid)
    }
}

/// Whether the page at `offset` is in memory; `None` if the system does not tell, or there is no such page.
/// Reads nothing from the disk.
pub fn is_cached(file: &File, offset: u64) -> Option<bool> {
    system::is_cached(file, offset)
}

/// Has the system read `part` of the file into memory, without waiting for all of it.
///
/// # Errors
///
/// What the system said. It is a wish: nothing depends on it.
pub fn read_ahead(file: &File, part: &Range<u64>) -> io::Result<()> {
    system::read_ahead(file, part)
}

/// The same, and waits until the last page is there: what is asked for next by others does not have to
/// wait behind more than this.
///
/// # Errors
///
/// What the system said.
pub fn read(file: &File, part: &Range<u64>) -> io::Result<()> {
    read_ahead(file, part)?;
    let last = part.end.saturating_sub(1);
    // A file that has become shorter has nothing there.
    file.read_at(&mut [0], last).map(drop)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::Write as _;

    use rustix::fs::Advice;

    use super::*;

    /// In the folder of the build, since a temporary folder often is in memory.
    fn file(pages: u64) -> tempfile::NamedTempFile {
        let folder = std::env::current_exe().unwrap();
        let mut file = tempfile::NamedTempFile::new_in(folder.parent().unwrap()).unwrap();
        let bytes = usize::try_from(pages * PAGE).unwrap();
        file.write_all(&vec![7; bytes]).unwrap();
        file.as_file().sync_all().unwrap();
        file
    }

    #[test]
    fn what_is_dropped_is_not_cached_until_it_is_asked_for() {
        let file = file(64);
        let file = file.as_file();
        // `TMPFS_MAGIC` of `statfs(2)`: all of such a file system is in memory.
        if rustix::fs::fstatfs(file).unwrap().f_type == 0x0102_1994 {
            return;
        }
        assert_eq!(is_cached(file, 0), Some(true), "it was just written");
        assert_eq!(is_cached(file, 64 * PAGE), None, "it is past the end");
        rustix::fs::fadvise(file, 0, None, Advice::DontNeed).unwrap();
        assert_eq!(is_cached(file, 32 * PAGE), Some(false));
        read_ahead(file, &(0..64 * PAGE)).unwrap();
        // Reading waits for what is under way; asking does not.
        file.read_exact_at(&mut [0], 63 * PAGE).unwrap();
        assert_eq!(is_cached(file, 32 * PAGE), Some(true));
    }

    #[test]
    fn a_process_uses_its_program() {
        let process = ProcessIdentity::of(std::process::id()).unwrap().unwrap();
        let files = process.used_files().unwrap();
        let program = std::env::current_exe().unwrap().canonicalize().unwrap();
        let own = files.iter().find(|file| file.path == program).unwrap();
        assert!(!own.parts.is_empty());
        let bytes = program.metadata().unwrap().len();
        for file in &files {
            assert!(file.path.is_file());
            assert!(file.parts.windows(2).all(|two| two[0].end < two[1].start));
            assert!(file.parts.iter().all(|part| part.start < part.end));
        }
        assert!(own.parts.iter().all(|part| part.start < bytes));
    }
}
