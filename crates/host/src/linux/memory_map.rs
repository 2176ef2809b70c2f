//! What a process has in its memory of the files that it maps: `/proc/PID/maps` and `pagemap`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::Advice;
use rustix::io::{Errno, ReadWriteFlags};

use super::of_process;
use crate::page_cache::{PAGE, UsedFile};

/// Bytes of an entry of `pagemap`.
const ENTRY: usize = 8;
/// An entry's bit for a page that is there.
const PRESENT: u64 = 1 << 63;
/// So many entries are read at a time.
const BATCH: usize = 8192;

/// A mapping of a file.
#[derive(Debug, PartialEq, Eq)]
struct Mapping {
    /// Addresses.
    memory: Range<u64>,
    /// Where in the file it begins.
    offset: u64,
    path: PathBuf,
}

/// Understands a line of `/proc/PID/maps`; `None` if it is no file that is still there by its name.
fn mapping(line: &str) -> Option<Mapping> {
    let mut rest = line;
    let mut field = || {
        let (field, after) = rest.split_once(' ')?;
        rest = after.trim_start();
        Some(field)
    };
    let (start, end) = field()?.split_once('-')?;
    let (_, offset, _, inode) = (field()?, field()?, field()?, field()?);
    let number = |text| u64::from_str_radix(text, 16).ok();
    let path = Path::new(rest);
    let named = inode != "0" && path.is_absolute() && !rest.ends_with(" (deleted)");
    let memory = number(start)?..number(end)?;
    (named && memory.start < memory.end).then_some(Mapping {
        memory,
        offset: number(offset)?,
        path: path.to_owned(),
    })
}

/// Calls `each` with the numbers of those pages of `bytes`, entries of `pagemap`, that are there.
fn present(bytes: &[u8], mut each: impl FnMut(u64)) {
    let (entries, _) = bytes.as_chunks::<ENTRY>();
    for (entry, page) in entries.iter().zip(0..) {
        if u64::from_ne_bytes(*entry) & PRESENT != 0 {
            each(page);
        }
    }
}

/// Adds a page to parts that are in order.
fn add(parts: &mut Vec<Range<u64>>, offset: u64) {
    match parts.last_mut() {
        Some(last) if last.end == offset => last.end += PAGE,
        _ => parts.push(offset..offset + PAGE),
    }
}

pub(crate) fn used_files(pid: u32) -> io::Result<Vec<UsedFile>> {
    let maps = std::fs::read(of_process(pid, "maps"))?;
    let pagemap = File::open(of_process(pid, "pagemap"))?;
    let page = rustix::param::page_size() as u64;
    let mut files: BTreeMap<PathBuf, Vec<Range<u64>>> = BTreeMap::new();
    let mut buffer = vec![0; BATCH * ENTRY];
    // A path that is not text is of no file of ours.
    for mapping in String::from_utf8_lossy(&maps).lines().filter_map(mapping) {
        // Devices cannot be read ahead.
        if !mapping.path.is_file() {
            continue;
        }
        let parts = files.entry(mapping.path).or_default();
        let (mut at, last) = (mapping.memory.start / page, mapping.memory.end / page);
        while at < last {
            let wanted = (last - at).min(BATCH as u64);
            let length = usize::try_from(wanted).unwrap_or(BATCH) * ENTRY;
            pagemap.read_exact_at(&mut buffer[..length], at * ENTRY as u64)?;
            let begin = mapping.offset + (at * page - mapping.memory.start);
            present(&buffer[..length], |number| {
                for within in (0..page).step_by(usize::try_from(PAGE).unwrap_or(4096)) {
                    add(parts, begin + number * page + within);
                }
            });
            at += wanted;
        }
    }
    Ok(files
        .into_iter()
        .map(|(path, parts)| UsedFile {
            path,
            parts: in_order(parts),
        })
        .filter(|file| !file.parts.is_empty())
        .collect())
}

/// The same parts, in order and apart from each other: a file may be mapped several times.
fn in_order(mut parts: Vec<Range<u64>>) -> Vec<Range<u64>> {
    parts.sort_unstable_by_key(|part| part.start);
    let mut apart: Vec<Range<u64>> = Vec::new();
    for part in parts {
        match apart.last_mut() {
            Some(last) if part.start <= last.end => last.end = last.end.max(part.end),
            _ => apart.push(part),
        }
    }
    apart
}

pub(crate) fn is_cached(file: &File, offset: u64) -> Option<bool> {
    let mut byte = [0];
    let mut buffers = [io::IoSliceMut::new(&mut byte)];
    match rustix::io::preadv2(file, &mut buffers, offset, ReadWriteFlags::NOWAIT) {
        Ok(0) => None,
        Ok(_) => Some(true),
        Err(Errno::AGAIN) => Some(false),
        // Not every file system can tell.
        Err(_) => None,
    }
}

pub(crate) fn read_ahead(file: &File, part: &Range<u64>) -> io::Result<()> {
    let length = std::num::NonZeroU64::new(part.end.saturating_sub(part.start));
    // None would mean the rest of the file.
    let Some(length) = length else { return Ok(()) };
    Ok(rustix::fs::fadvise(
        file,
        part.start,
        Some(length),
        Advice::WillNeed,
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_maps_is_a_file_or_nothing() {
        let line = "7f12a0000000-7f12a0021000 rw-p 00003000 fe:00 131 /home/a b/ram.raw";
        assert_eq!(
            mapping(line),
            Some(Mapping {
                memory: 0x7f12_a000_0000..0x7f12_a002_1000,
                offset: 0x3000,
                path: "/home/a b/ram.raw".into(),
            })
        );
        for line in [
            "",
            "7f12a0000000-7f12a0021000 rw-p 00000000 00:00 0",
            "7f12a0000000-7f12a0021000 rw-p 00000000 00:00 0                  [heap]",
            "7f12a0000000-7f12a0021000 rw-p 00000000 fe:00 131    /x (deleted)",
            "7f12a0021000-7f12a0000000 rw-p 00000000 fe:00 131    /x",
            "7f12a0000000 rw-p 00000000 fe:00 131    /x",
            "z-7f12a0000000 rw-p 00000000 fe:00 131    /x",
            "7f12a0000000-7f12a0021000 rw-p 00000000 00:01 1024   anon_inode:[perf_event]",
        ] {
            assert_eq!(mapping(line), None, "{line}");
        }
    }

    #[test]
    fn pages_that_are_there_are_counted_from_the_first() {
        let entries = [PRESENT | 5, 0, 1 << 62, PRESENT, PRESENT];
        let bytes: Vec<u8> = entries.iter().flat_map(|one| one.to_ne_bytes()).collect();
        let mut parts = Vec::new();
        present(&bytes, |page| add(&mut parts, page * PAGE));
        assert_eq!(parts, [0..PAGE, 3 * PAGE..5 * PAGE]);
    }

    #[test]
    fn parts_of_several_mappings_are_put_in_order() {
        let of = |parts: &[[u64; 2]]| -> Vec<Range<u64>> {
            parts.iter().map(|[start, end]| *start..*end).collect()
        };
        assert_eq!(
            in_order(of(&[[8, 9], [0, 3], [2, 4], [4, 5], [1, 2]])),
            of(&[[0, 5], [8, 9]])
        );
    }
}
