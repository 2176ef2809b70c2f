//! Why an archive cannot be written or restored.

use std::path::PathBuf;

use failure::{Code, Remedy};

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
    #[error("another command is writing {}", path.display())]
    Busy {
        /// The archive.
        path: PathBuf,
    },
    /// There is not enough room.
    #[error("not enough disk space in {}: {needed} bytes needed, {free} free", folder.display())]
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
    #[error("cannot compress the snapshot")]
    Compress(#[source] std::io::Error),
    /// The system gives no threads.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
    /// The file is something else.
    #[error("{} is not an archive file of a snapshot", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It was written by another version of the program.
    #[error("{} has archive version {found}; this program reads version {expected}", path.display())]
    Version {
        /// The archive.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The version that is understood.
        expected: u32,
    },
    /// It ends too early.
    #[error("{} is cut off at byte {offset}", path.display())]
    Truncated {
        /// The archive.
        path: PathBuf,
        /// Where something is missing.
        offset: u64,
    },
    /// It is not what was written.
    #[error("{} is damaged at byte {offset}: {damage}", path.display())]
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
    #[error("the manifest in {} cannot be used", path.display())]
    Manifest {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it; the path in it is where it would have been put.
        #[source]
        source: RecordError,
    },
    /// The manifest is of other files.
    #[error("{file} in {} has another length than its manifest says", path.display())]
    OtherLength {
        /// The archive.
        path: PathBuf,
        /// The file.
        file: &'static str,
    },
    /// What came out is not what was captured.
    #[error("{file} in {} is damaged: its digest is not the snapshot's", path.display())]
    Content {
        /// The archive.
        path: PathBuf,
        /// The file.
        file: &'static str,
    },
    /// The disk in it is no disk that QEMU may be given.
    #[error("the disk in {} cannot be used: {problem}", path.display())]
    Disk {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// It cannot be resumed on this machine.
    #[error("the snapshot in {} does not fit here: {}", path.display(), list(mismatches))]
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

impl ArchiveError {
    /// A stable code for programs.
    pub fn code(&self) -> Code {
        match self {
            Self::NoSpace { .. } => Code::DiskFull,
            _ if failure::is_no_room(self) => Code::DiskFull,
            _ => Code::Archive,
        }
    }

    /// What to do about it, if anything helps.
    pub fn remedy(&self) -> Option<Remedy> {
        Some(match self {
            Self::Busy { .. } => Remedy::OtherArchiveFile,
            Self::NoSpace { folder, .. } => Remedy::FreeDiskSpace {
                folder: Some(folder.display().to_string()),
                continues: false,
            },
            Self::Compress(_) | Self::Thread(_) => Remedy::EndPrograms,
            Self::Truncated { .. }
            | Self::Damaged { .. }
            | Self::OtherLength { .. }
            | Self::Content { .. } => Remedy::CopyArchiveAgain,
            Self::Version { .. } | Self::Manifest { .. } | Self::Disk { .. } => {
                Remedy::TakeSnapshotInstead
            }
            Self::Misfit { .. } => Remedy::MatchArchive,
            Self::Read { .. }
            | Self::Write { .. }
            | Self::TooLarge { .. }
            | Self::Foreign { .. }
            | Self::Cancelled => return None,
        })
    }
}

fn list(mismatches: &[Mismatch]) -> String {
    let texts: Vec<_> = mismatches.iter().map(ToString::to_string).collect();
    texts.join("; ")
}
