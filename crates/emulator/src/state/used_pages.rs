//! `pages.json`: which pages a start from a snapshot uses, to be read ahead when they are not in memory.
//!
//! After a boot of the host, QEMU and its guest touch one page after the other of files that are on the
//! disk, and wait for each. The order differs from start to start, so that the kernel guesses wrong and
//! reads most of a snapshot's memory; the set hardly does (for the starter image 70 MB of 247, of which two
//! starts share 99 %). So the first start writes the set down, of the memory file, of QEMU's program and of
//! its libraries, and a later one asks for all of it at once: for the program before it does anything else, in
//! several threads, since it is fifty small files whose folders and inodes have to be found first; for the memory
//! when QEMU is started, which takes as long. Asked for earlier, the records that are read until then wait behind it.
//!
//! A machine that was prepared, or restored from a checkpoint, is mapped like a snapshot, and its guest is the same
//! one at other work: the pages of the snapshot's memory will do. A session's own file is read by QEMU in full.
//!
//! It is a hint. A record that is missing, damaged or of other files costs nothing but time, and is written
//! anew by the next start.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use host::ProcessIdentity;
use host::page_cache::{self, PAGE};
use record::{Durability, Record, RecordError};
use rustix::fs::{OFlags, SeekFrom};
use serde::{Deserialize, Serialize};

use super::snapshot::Snapshot;
use crate::config::paths::{InstancePaths, SlotName, SnapshotPaths};

/// Pages between two parts that are read along with them, since another request would cost more.
const GAP: u64 = 16;
/// So many places are looked at to tell whether a file is in memory: some microseconds.
const SAMPLES: usize = 32;
/// Threads that look for the program's files; more were no faster.
const READERS: usize = 8;
/// Threads that read memory. One leaves the disk idle in between.
const MEMORY_READERS: usize = 2;
/// How many bytes each asks for before it waits. Whatever else the disk is asked for waits behind them: with
/// all at once, a record that was written meanwhile took 60 ms, and with this 3.
const AT_ONCE: u64 = 1 << 20;
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

/// Begins to read what the next start will use of QEMU's program, as far as it is not in memory.
pub(crate) fn read_program_ahead(instance: &InstancePaths) {
    let Some(id) = Snapshot::current_id(instance) else {
        return;
    };
    let snapshot = instance.snapshot(&id);
    in_background(move || program_ahead(&known(&snapshot)));
}

/// Begins to read what the next start will use of the guest's memory, as far as that can be told by the files that
/// are there, and as far as it is not in memory.
pub(crate) fn read_memory_ahead(instance: &InstancePaths) {
    let Some(id) = Snapshot::current_id(instance) else {
        return;
    };
    let snapshot = instance.snapshot(&id);
    let saved = SavedMemory::of(instance);
    in_background(move || match saved {
        None => memory_ahead(snapshot.root(), &known(&snapshot)),
        Some(SavedMemory::Mapped(ram)) => {
            let used = known(&snapshot);
            let pages = used
                .files
                .iter()
                .find(|file| snapshot.root().join(&file.path) == snapshot.ram());
            Budget::new().ask(&ram, MEMORY_READERS, |file| match pages {
                Some(used) => Ok(parts(&used.pages)),
                None => stored(file),
            })
        }
        Some(SavedMemory::Read(ram)) => Budget::new().ask(&ram, MEMORY_READERS, stored),
    });
}

fn in_background(work: impl FnOnce() -> u64 + Send + 'static) {
    let work = move || {
        let bytes = work();
        tracing::debug!(bytes, "asked for pages that were not in memory");
    };
    let thread = std::thread::Builder::new().name("read ahead".to_owned());
    if let Err(error) = thread.spawn(work) {
        tracing::debug!(%error, "nothing is read ahead");
    }
}

/// The memory of a session or of a prepared machine, which a start prefers to the snapshot's.
#[derive(Clone, Debug, PartialEq, Eq)]
enum SavedMemory {
    /// QEMU maps it.
    Mapped(PathBuf),
    /// QEMU reads all of it.
    Read(PathBuf),
}

impl SavedMemory {
    fn of(instance: &InstancePaths) -> Option<Self> {
        let session = instance.main().session();
        let prepared = instance.slot(SlotName::Ahead).session();
        let is_there = |path: &Path| path.try_exists().unwrap_or(false);
        if is_there(&prepared.prepared()) && is_there(&prepared.prepared_ram()) {
            return Some(Self::Mapped(prepared.prepared_ram()));
        }
        if is_there(&session.ram()) {
            return Some(Self::Read(session.ram()));
        }
        // It was restored from a checkpoint.
        is_there(&session.prepared_ram()).then(|| Self::Mapped(session.prepared_ram()))
    }
}

fn known(snapshot: &SnapshotPaths) -> UsedPages {
    match record::read_optional(&snapshot.used_pages()) {
        Ok(used) => used.unwrap_or_default(),
        Err(error) => {
            tracing::debug!(%error, "which pages a start uses is not known");
            UsedPages::default()
        }
    }
}

fn program_ahead(used: &UsedPages) -> u64 {
    let budget = Budget::new();
    let files: Vec<_> = used
        .files
        .iter()
        .filter(|file| file.path.is_absolute())
        .collect();
    let asked = AtomicU64::new(0);
    for_each(&files, READERS, |file| {
        let bytes = budget.ask(&file.path, 1, |_| Ok(parts(&file.pages)));
        asked.fetch_add(bytes, Ordering::Relaxed);
    });
    asked.into_inner()
}

fn memory_ahead(folder: &Path, used: &UsedPages) -> u64 {
    let budget = Budget::new();
    let files = used.files.iter().filter(|file| file.path.is_relative());
    files
        .map(|file| {
            let path = folder.join(&file.path);
            budget.ask(&path, MEMORY_READERS, |_| Ok(parts(&file.pages)))
        })
        .sum()
}

/// Does `work` for each of `items`, in this thread and so many others that there are `threads` with it.
fn for_each<T: Sync>(items: &[T], threads: usize, work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(item);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(items.len()) {
            let thread = std::thread::Builder::new().name("read ahead".to_owned());
            // With fewer it takes longer.
            let _ = thread.spawn_scoped(scope, work);
        }
        work();
    });
}

/// How many bytes may still be asked for.
struct Budget(AtomicU64);

impl Budget {
    fn new() -> Self {
        let bytes = host::memory::available().map_or(0, |bytes| bytes / MOST_OF_MEMORY);
        Self(AtomicU64::new(bytes))
    }

    /// Takes `bytes`, if there are so many.
    fn take(&self, bytes: u64) -> bool {
        let less = |left: u64| left.checked_sub(bytes);
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        self.0.fetch_update(set, fetch, less).is_ok()
    }

    /// Has `parts` of the file read by so many threads, if some are not in memory. Returns how many bytes
    /// were asked for. A file that is gone or cannot be read is of no interest.
    fn ask(
        &self,
        path: &Path,
        readers: usize,
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
            let bytes = parts.iter().map(|part| part.end - part.start).sum();
            let is_cached = |offset| page_cache::is_cached(&file, offset);
            if !is_cold(&parts, is_cached) || !self.take(bytes) {
                return Ok(0);
            }
            let pieces: Vec<_> = parts.iter().flat_map(pieces).collect();
            for_each(&pieces, readers, |piece| {
                if let Err(error) = page_cache::read(&file, piece) {
                    tracing::debug!(%error, path = %path.display(), "not read ahead");
                }
            });
            Ok(bytes)
        };
        try_it().unwrap_or_else(|error| {
            tracing::debug!(%error, path = %path.display(), "not read ahead");
            0
        })
    }
}

/// A part of a file, in what is asked for at once.
fn pieces(part: &Range<u64>) -> impl Iterator<Item = Range<u64>> + use<> {
    let end = part.end;
    (part.start..end)
        .step_by(usize::try_from(AT_ONCE).unwrap_or(usize::MAX))
        .map(move |start| start..end.min(start + AT_ONCE))
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
        fn what_is_asked_for_at_once_is_little_and_all_of_it(
            lengths in prop::collection::vec((0..40u64, 0..900u64), 1..20),
        ) {
            for part in laid_out(&lengths) {
                let pieces: Vec<_> = pieces(&part).collect();
                prop_assert!(pieces.iter().all(|piece| piece.end - piece.start <= AT_ONCE));
                prop_assert!(pieces.windows(2).all(|two| two[0].end == two[1].start));
                prop_assert_eq!(pieces.first().map(|piece| piece.start), Some(part.start));
                prop_assert_eq!(pieces.last().map(|piece| piece.end), Some(part.end));
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
    fn a_prepared_machine_comes_before_the_session_and_that_before_the_snapshot() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path().to_owned());
        let instance = home.instance(&InstanceName::default());
        let session = instance.main().session();
        let prepared = instance.slot(SlotName::Ahead).session();
        let make = |path: &Path| {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        };
        let saved = || SavedMemory::of(&instance);
        assert_eq!(saved(), None);
        make(&session.prepared_ram());
        assert_eq!(saved(), Some(SavedMemory::Mapped(session.prepared_ram())));
        make(&session.ram());
        assert_eq!(saved(), Some(SavedMemory::Read(session.ram())));
        make(&prepared.prepared_ram());
        assert_eq!(saved(), Some(SavedMemory::Read(session.ram())), "half made");
        make(&prepared.prepared());
        assert_eq!(saved(), Some(SavedMemory::Mapped(prepared.prepared_ram())));
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
        assert_eq!(program_ahead(&used), 0);
        assert_eq!(memory_ahead(dir.path(), &used), 0);
        assert_eq!(Budget::new().ask(&pipe, 1, stored), 0);
    }
}
