//! The memory of the machine that a checkpoint is made of, while it is copied and afterwards.
//!
//! It is written to page by page, as a mapping, which a file on a disk takes badly: its file system
//! prepares each page for the disk by itself, and copying took three times as long. So where the host
//! has the memory to spare, it is a file in memory, and is written to the disk in one go, which its
//! digest needs to read it for anyway.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use host::FileStamp;

use crate::state::snapshot::Sealed;
use crate::state::sparse::{self, Digester};

/// Memory in bytes that is left to others.
const SPARE: u64 = 512 << 20;

/// Memory that a machine is being copied into.
pub(super) struct CopiedMemory {
    /// Where it will be.
    target: PathBuf,
    /// Where it is meanwhile, if that is elsewhere.
    in_memory: Option<(File, PathBuf)>,
}

impl CopiedMemory {
    /// A place for `bytes` of memory that will be in the file `target`, which is not there yet.
    pub(super) fn make(target: PathBuf, bytes: u64) -> io::Result<Self> {
        let needed = bytes.saturating_add(SPARE);
        let in_memory = if host::memory::available().is_some_and(|free| free >= needed) {
            host::memory::nameless_file("checkpoint")?
        } else {
            None
        };
        match &in_memory {
            Some((file, _)) => file.set_len(bytes)?,
            None => create(&target)?.set_len(bytes)?,
        }
        Ok(Self { target, in_memory })
    }

    /// The file that the machine maps.
    pub(super) fn path(&self) -> &Path {
        match &self.in_memory {
            Some((_, path)) => path,
            None => &self.target,
        }
    }

    /// Has it in its file, once nobody writes to it any more.
    pub(super) fn store(self) -> io::Result<Sealed> {
        let Some((memory, _)) = self.in_memory else {
            return Sealed::of(&self.target);
        };
        let file = create(&self.target)?;
        let bytes = memory.metadata()?.len();
        file.set_len(bytes)?;
        let mut digester = Digester::new(bytes);
        sparse::for_each_stored(&memory, |at, bytes| {
            let mut written = Ok(());
            sparse::for_each_run(bytes, |run| {
                let offset = at + run.start as u64;
                let run = &bytes[run];
                digester.update(offset, run);
                if written.is_ok() {
                    written = file.write_all_at(run, offset);
                }
            });
            written
        })?;
        Ok(Sealed {
            stamp: FileStamp::of(&self.target)?,
            digest: digester.finish(),
        })
    }
}

/// Makes the file for the user alone: QEMU would leave that to others.
fn create(path: &Path) -> io::Result<File> {
    File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn memory_ends_in_its_file_wherever_it_was() {
        let dir = tempfile::tempdir().unwrap();
        // More than any host has to spare is on the disk at once.
        for bytes in [64 << 20, 1 << 43] {
            let target = dir.path().join(format!("{bytes}.raw"));
            let memory = CopiedMemory::make(target.clone(), bytes).unwrap();
            if bytes == 1 << 43 {
                assert_eq!(memory.path(), target);
            }
            let file = File::options().write(true).open(memory.path()).unwrap();
            file.write_all_at(&[7; 10_000], 5 << 20).unwrap();
            let sealed = memory.store().unwrap();
            assert_eq!(sealed.damage(&target, true), None);
            let meta = target.metadata().unwrap();
            assert_eq!((meta.len(), meta.mode() & 0o777), (bytes, 0o600));
            assert!(meta.blocks() * 512 < 1 << 20);
        }
    }
}
