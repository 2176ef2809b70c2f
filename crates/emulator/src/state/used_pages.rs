//! `pages.json`: which pages a start from a snapshot uses, to be read ahead when they are not in memory.
//!
//! After a boot of the host, QEMU and its guest touch one page after the other of files that are on the
//! disk, and wait for each. The order differs from start to start, so that the kernel guesses wrong and
//! reads most of a snapshot's memory; the set hardly does (for the starter image 70 MB of 247, of which two
//! starts share 99 %). So the first start writes the set down, of the memory file, of QEMU's program and of
//! its libraries, and a later one asks for all of it at once while QEMU is still being started.
//!
//! It is a hint. A record that is missing, damaged or of other files costs nothing but time, and is written
//! anew by the next start.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use host::ProcessIdentity;
use host::page_cache::{self, PAGE};
use record::{Durability, Record, RecordError};
use rustix::fs::{OFlags, SeekFrom};
use serde::{Deserialize, Serialize};

use crate::config::paths::SnapshotPaths;

/// Pages between two parts that are read along with them, since another request would cost more.
const GAP: u64 = 16;
/// So many places are looked at to tell whether a file is in memory: some microseconds.
const SAMPLES: usize = 32;
/// More is not asked for, as a share of the memory that the host can give: it would push out itself.
const MOST_OF_MEMORY: u64 = 2;

/// `pages.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct UsedPages {
    files: Vec<UsedFile>,
}

/// One file of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct UsedFile {
    /// Relative to the snapshot's folder, if it is in there.
    path: PathBuf,
    /// First page and number of pages, in order.
    pages: Vec<(u64, u64)>,
}

impl Record for UsedPages {
    const FORMAT: &'static str = "stack-emulator-used-pages";
    const VERSION: u32 = 1;
}

/// Why the pages are not written down.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoteError {
    /// The system does not tell which they are.
    #[error("cannot tell which pages QEMU uses")]
    Look(#[source] io::Error),
    /// The record.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Writes down what `qemu`, just started from the snapshot, has used, unless that is written down already.
pub(crate) fn note(snapshot: &SnapshotPaths, qemu: &ProcessIdentity) -> Result<(), NoteError> {
    let path = snapshot.used_pages();
    if let Ok(Some(_)) = record::read_optional::<UsedPages>(&path) {
        return Ok(());
    }
    let used = qemu.used_files().map_err(NoteError::Look)?;
    // The kernel names files with links resolved.
    let folder = snapshot.root().canonicalize().map_err(NoteError::Look)?;
    let files = used
        .into_iter()
        .map(|file| UsedFile {
            path: match file.path.strip_prefix(&folder) {
                Ok(within) => within.to_owned(),
                Err(_) => file.path,
            },
            pages: joined(&file.parts),
        })
        .collect();
    Ok(record::write(
        &path,
        &UsedPages { files },
        Durability::ThisBoot,
    )?)
}

/// Where the memory of a start comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory<'a> {
    /// The snapshot's memory file.
    Snapshot,
    /// A session's, which is read in full; the snapshot's record knows of QEMU's program alone.
    Session(&'a Path),
}

/// Begins to read what a start will use, in a thread, if it is not in memory.
pub(crate) fn read_ahead(snapshot: &SnapshotPaths, memory: Memory<'_>) {
    let snapshot = snapshot.clone();
    let session = match memory {
        Memory::Snapshot => None,
        Memory::Session(ram) => Some(ram.to_owned()),
    };
    let work = move || {
        let used: UsedPages = match record::read_optional(&snapshot.used_pages()) {
            Ok(used) => used.unwrap_or_default(),
            Err(error) => {
                tracing::debug!(%error, "which pages a start uses is not known");
                UsedPages::default()
            }
        };
        let bytes = read_all_ahead(snapshot.root(), &used, session.as_deref());
        tracing::debug!(bytes, "asked for pages that were not in memory");
    };
    let thread = std::thread::Builder::new().name("read ahead".to_owned());
    if let Err(error) = thread.spawn(work) {
        tracing::debug!(%error, "nothing is read ahead");
    }
}

/// Returns how much was asked for, in bytes.
fn read_all_ahead(folder: &Path, used: &UsedPages, session: Option<&Path>) -> u64 {
    let mut left = host::memory::available().map_or(0, |bytes| bytes / MOST_OF_MEMORY);
    let mut asked = 0;
    let programs = used.files.iter().filter(|file| file.path.is_absolute());
    // QEMU's program is used first.
    for file in programs.clone() {
        asked += ask(&file.path, &mut left, |_| Ok(parts(&file.pages)));
    }
    match session {
        Some(ram) => asked += ask(ram, &mut left, stored),
        None => {
            for file in used.files.iter().filter(|file| file.path.is_relative()) {
                asked += ask(&folder.join(&file.path), &mut left, |_| {
                    Ok(parts(&file.pages))
                });
            }
        }
    }
    asked
}

/// Asks for `parts` of the file, if some are not in memory and no more than `left` bytes are wanted. Returns
/// how many were. A file that is gone or cannot be read is of no interest.
fn ask(
    path: &Path,
    left: &mut u64,
    parts: impl FnOnce(&File) -> io::Result<Vec<Range<u64>>>,
) -> u64 {
    let try_it = || -> io::Result<u64> {
        // Should it have become a pipe, it is not waited for.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let file = File::options().read(true).custom_flags(flags).open(path)?;
        if !file.metadata()?.is_file() {
            return Ok(0);
        }
        let parts = parts(&file)?;
        let bytes: u64 = parts.iter().map(|part| part.end - part.start).sum();
        if bytes > *left || !is_cold(&parts, |offset| page_cache::is_cached(&file, offset)) {
            return Ok(0);
        }
        *left -= bytes;
        for part in &parts {
            page_cache::read_ahead(&file, part)?;
        }
        Ok(bytes)
    };
    try_it().unwrap_or_else(|error| {
        tracing::debug!(%error, path = %path.display(), "not read ahead");
        0
    })
}

/// Whether one of some pages, spread over all of `parts`, is not in memory.
fn is_cold(parts: &[Range<u64>], is_cached: impl Fn(u64) -> Option<bool>) -> bool {
    let every = parts.len().div_ceil(SAMPLES).max(1);
    let per_part = (SAMPLES / parts.len().max(1)).max(1) as u64;
    parts.iter().step_by(every).any(|part| {
        let pages = (part.end - part.start) / PAGE;
        (0..per_part.min(pages))
            .any(|sample| is_cached(part.start + sample * pages / per_part * PAGE) == Some(false))
    })
}

/// The stretches of a sparse file that the file system stores.
fn stored(file: &File) -> io::Result<Vec<Range<u64>>> {
    let mut parts = Vec::new();
    let mut at = 0;
    loop {
        let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            // No data from here to the end.
            Err(rustix::io::Errno::NXIO) => return Ok(parts),
            Err(error) => return Err(error.into()),
        };
        at = rustix::fs::seek(file, SeekFrom::Hole(start))?;
        parts.push(start..at);
    }
}

/// Parts of a file, in order, as pages; with what is between two of them if that is little.
fn joined(parts: &[Range<u64>]) -> Vec<(u64, u64)> {
    let mut pages: Vec<(u64, u64)> = Vec::new();
    for part in parts {
        let (first, end) = (part.start / PAGE, part.end.div_ceil(PAGE));
        match pages.last_mut() {
            Some((start, count)) if first <= *start + *count + GAP => {
                *count = (*count).max(end - *start);
            }
            _ => pages.push((first, end - first)),
        }
    }
    pages
}

/// Pages as parts of a file; those that no file can have are left out.
fn parts(pages: &[(u64, u64)]) -> Vec<Range<u64>> {
    let part = |(first, count): &(u64, u64)| {
        let start = first.checked_mul(PAGE)?;
        let end = first.checked_add(*count)?.checked_mul(PAGE)?;
        (i64::try_from(end).is_ok() && start < end).then_some(start..end)
    };
    pages.iter().filter_map(part).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::config::paths::{Home, InstanceName};

    /// Parts in order and apart from each other, from lengths of what is between them and of them.
    fn laid_out(lengths: &[(u64, u64)]) -> Vec<Range<u64>> {
        let mut at = 0;
        let part = |(gap, pages): &(u64, u64)| {
            let start = at + (gap + 1) * PAGE;
            at = start + (pages + 1) * PAGE;
            start..at
        };
        lengths.iter().map(part).collect()
    }

    fn pages(parts: &[Range<u64>]) -> BTreeSet<u64> {
        let each = |part: &Range<u64>| part.start / PAGE..part.end / PAGE;
        parts.iter().flat_map(each).collect()
    }

    proptest! {
        #[test]
        fn joining_keeps_all_pages_and_adds_only_small_gaps(
            lengths in prop::collection::vec((0..40u64, 0..30u64), 0..40),
        ) {
            let before = laid_out(&lengths);
            let after = parts(&joined(&before));
            let (wanted, asked) = (pages(&before), pages(&after));
            prop_assert!(asked.is_superset(&wanted));
            prop_assert!(after.windows(2).all(|two| two[1].start - two[0].end > GAP * PAGE));
            for added in asked.difference(&wanted) {
                let near = |range: Range<u64>| range.into_iter().any(|page| wanted.contains(&page));
                prop_assert!(near(added.saturating_sub(GAP)..*added));
                prop_assert!(near(*added..added + GAP + 1));
            }
        }

        #[test]
        fn any_numbers_in_a_record_are_parts_of_a_possible_file(
            numbers in prop::collection::vec(any::<(u64, u64)>(), 0..8),
        ) {
            for part in parts(&numbers) {
                prop_assert!(part.start < part.end && i64::try_from(part.end).is_ok());
            }
        }

        #[test]
        fn a_file_is_cold_where_a_large_share_is(
            lengths in prop::collection::vec((0..40u64, 0..300u64), 1..100),
            cached in any::<bool>(),
        ) {
            let parts = laid_out(&lengths);
            let looked_at = std::cell::Cell::new(0);
            let cold = is_cold(&parts, |offset| {
                assert!(parts.iter().any(|part| part.contains(&offset)));
                looked_at.set(looked_at.get() + 1);
                Some(cached)
            });
            prop_assert_eq!(cold, !cached);
            prop_assert!(looked_at.get() <= 2 * SAMPLES);
        }
    }

    #[test]
    fn what_the_system_does_not_tell_is_not_cold() {
        assert!(!is_cold(&laid_out(&[(0, 0)]), |_| None));
        assert!(!is_cold(&[], |_| Some(false)));
    }

    /// A snapshot whose files are mapped by nobody.
    fn snapshot(home: &Path) -> SnapshotPaths {
        let home = Home::new(home.to_owned());
        let snapshot = home.instance(&InstanceName::default()).snapshot("s-1");
        std::fs::create_dir_all(snapshot.root()).unwrap();
        snapshot
    }

    #[test]
    fn what_is_written_down_once_stays_and_damage_is_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let snapshot = snapshot(dir.path());
        let process = ProcessIdentity::of(std::process::id()).unwrap().unwrap();
        let read = || record::read::<UsedPages>(&snapshot.used_pages());
        std::fs::write(snapshot.used_pages(), "{").unwrap();
        note(&snapshot, &process).unwrap();
        let first = read().unwrap();
        if cfg!(target_os = "linux") {
            let program = std::env::current_exe().unwrap().canonicalize().unwrap();
            assert!(first.files.iter().any(|file| file.path == program));
        }
        let other = UsedPages {
            files: vec![UsedFile {
                path: "ram.raw".into(),
                pages: vec![(3, 4)],
            }],
        };
        record::write(&snapshot.used_pages(), &other, Durability::ThisBoot).unwrap();
        note(&snapshot, &process).unwrap();
        assert_eq!(read().unwrap(), other);
    }

    #[test]
    fn no_record_can_make_it_wait_or_fail() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let file = |path: &Path| UsedFile {
            path: path.to_owned(),
            pages: vec![(0, 1), (u64::MAX, u64::MAX)],
        };
        let used = UsedPages {
            files: vec![
                file(&pipe),
                file(dir.path()),
                file(Path::new("../../gone")),
                file(Path::new("/no/such/file")),
            ],
        };
        assert_eq!(read_all_ahead(dir.path(), &used, Some(&pipe)), 0);
    }
}
