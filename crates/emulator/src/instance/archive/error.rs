//! Why an archive cannot be written or restored.

use std::path::PathBuf;

pub use super::format::Damage;
use crate::machine::fingerprint::Mismatch;
use record::RecordError;

/// Why an archive cannot be written or restored.
///
/// Whichever it is: the archive that was there before and the snapshot in use
/// are as they were.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// A file cannot be opened or read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The archive or a file of the snapshot.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file cannot be made or written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The archive or a file of the snapshot.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Two commands write to the same place.
    #[error("another command is writing {}; wait for it, or write to another place", path.display())]
    Busy {
        /// The archive.
        path: PathBuf,
    },
    /// There is not enough room.
    #[error("{} has {free} bytes free, and {needed} are needed; make room, or choose another place", folder.display())]
    NoSpace {
        /// Where it was to be written.
        folder: PathBuf,
        /// Bytes needed at least.
        needed: u64,
        /// Bytes free.
        free: u64,
    },
    /// The snapshot is larger than an archive can hold.
    #[error("{} is larger than an archive can hold", path.display())]
    TooLarge {
        /// The snapshot's file.
        path: PathBuf,
    },
    /// A frame cannot be compressed, which only a lack of memory can cause.
    #[error("cannot compress")]
    Compress(#[source] std::io::Error),
    /// The system gives no threads.
    #[error("cannot start a thread; end other programs and try again")]
    Thread(#[source] std::io::Error),
    /// The file is something else.
    #[error("{} is no snapshot archive", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It was written by another version of the program.
    #[error("{} has archive version {found}, and this program reads version {expected}; capture a snapshot here instead", path.display())]
    Version {
        /// The archive.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The version that is understood.
        expected: u32,
    },
    /// It ends too early.
    #[error("{} is cut off at byte {offset}; copy it again, or capture a snapshot here instead", path.display())]
    Truncated {
        /// The archive.
        path: PathBuf,
        /// Where something is missing.
        offset: u64,
    },
    /// It is not what was written.
    #[error("{} is damaged at byte {offset}: {damage}; copy it again, or capture a snapshot here instead", path.display())]
    Damaged {
        /// The archive.
        path: PathBuf,
        /// Where the mark of the frame begins that is damaged.
        offset: u64,
        /// What is wrong there.
        #[source]
        damage: Damage,
    },
    /// The snapshot's manifest in it cannot be used.
    #[error("the manifest in {} cannot be used; capture a snapshot here instead", path.display())]
    Manifest {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it; the path in it is where it would have been put.
        #[source]
        source: RecordError,
    },
    /// The manifest is of other files.
    #[error("{} holds {file} with another length than its manifest says; copy it again, or capture a snapshot here instead", path.display())]
    OtherLength {
        /// The archive.
        path: PathBuf,
        /// The file.
        file: &'static str,
    },
    /// What came out is not what was captured.
    #[error("the content of {file} in {} is not what was captured; copy the archive again, or capture a snapshot here instead", path.display())]
    Content {
        /// The archive.
        path: PathBuf,
        /// The file.
        file: &'static str,
    },
    /// The disk in it is no disk that QEMU may be given.
    #[error("the disk in {} cannot be used: {problem}; capture a snapshot here instead", path.display())]
    Disk {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// It cannot be resumed on this machine.
    #[error("the snapshot in {} does not fit this machine: {}; make these the same, or capture a snapshot here instead", path.display(), list(mismatches))]
    Misfit {
        /// The archive.
        path: PathBuf,
        /// What differs.
        mismatches: Vec<Mismatch>,
    },
    /// The operation was dropped. Only its threads see this.
    #[error("cancelled")]
    Cancelled,
}

fn list(mismatches: &[Mismatch]) -> String {
    let texts: Vec<_> = mismatches.iter().map(ToString::to_string).collect();
    texts.join("; ")
}
