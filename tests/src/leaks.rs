//! Looking for secrets where they must not be.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::Path;

use crate::processes;

/// How long every value is, in bytes.
const LENGTH: usize = 64;

/// Fails the test if any of `values` is in a file below `home` or in a runtime
/// folder, or in the arguments or the environment of any process. The disk and the
/// saved memory of the guest's session and of a checkpoint, which hold what the guest holds,
/// are passed over, and so are those that were put aside; those of the snapshot are not.
#[track_caller]
pub fn nowhere(home: &Path, values: &[String]) {
    for value in values {
        assert_eq!(value.len(), LENGTH, "{value:?} is no value");
    }
    let values: Vec<_> = values.iter().map(String::as_bytes).collect();
    let mut found = Vec::new();
    for root in [home, Path::new("/dev/shm")] {
        search(root, &values, &mut found);
    }
    search_runtime_folders(&values, &mut found);
    search_processes(&values, &mut found);
    assert!(found.is_empty(), "a secret is in {found:?}");
}

fn search_runtime_folders(needles: &[&[u8]], found: &mut Vec<String>) {
    for entry in std::fs::read_dir("/tmp").expect("a folder").flatten() {
        if entry
            .file_name()
            .to_string_lossy()
            .starts_with("stack-emulator-")
        {
            search(&entry.path(), needles, found);
        }
    }
}

fn search(root: &Path, needles: &[&[u8]], found: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(root) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        // Files come and go while others work.
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if kind.is_dir() {
            search(&path, needles, found);
        } else if kind.is_file() && !is_the_guest_s(&path) && holds(&path, needles) {
            found.push(path.display().to_string());
        }
    }
}

/// Whether any of `needles` is in the file, which may be as long as a guest's memory.
fn holds(path: &Path, needles: &[&[u8]]) -> bool {
    const PIECE: usize = 4 << 20;
    // Gone meanwhile, or another user's process.
    let Ok(mut file) = File::open(path) else {
        return false;
    };
    let mut bytes = Vec::with_capacity(PIECE + LENGTH);
    loop {
        // With the end of the piece before, where one may have begun.
        bytes.drain(..bytes.len().saturating_sub(LENGTH - 1));
        let read = (&mut file).take(PIECE as u64).read_to_end(&mut bytes);
        if is_in(&bytes, needles) {
            return true;
        }
        if read.unwrap_or(0) == 0 || past_hole(&mut file).is_none() {
            return false;
        }
    }
}

/// Goes on to where the file has content again: most of a guest's memory is holes,
/// and no value reaches over one.
fn past_hole(file: &mut File) -> Option<()> {
    let at = file.stream_position().ok()?;
    match rustix::fs::seek(&*file, rustix::fs::SeekFrom::Data(at)) {
        Err(rustix::io::Errno::NXIO) => None,
        // What is no file on a disk has no holes.
        Ok(_) | Err(_) => Some(()),
    }
}

/// Looks closer only where every 64th byte, of which each value covers one, and the
/// one before or after it could be a value's.
fn is_in(bytes: &[u8], needles: &[&[u8]]) -> bool {
    let mut in_some = [false; 256];
    for byte in needles.iter().copied().flatten() {
        in_some[usize::from(*byte)] = true;
    }
    let possible = |at: usize| {
        bytes
            .get(at)
            .is_some_and(|byte| in_some[usize::from(*byte)])
    };
    let mut at = 0;
    // No iterator: this is a debug build, and a guest has much memory.
    while at < bytes.len() {
        if in_some[usize::from(bytes[at])]
            && (possible(at + 1) && possible(at + 2) || possible(at.wrapping_sub(1)))
            && is_around(at, bytes, needles)
        {
            return true;
        }
        at += LENGTH;
    }
    false
}

/// Whether any of `needles` covers the byte at `at`.
fn is_around(at: usize, bytes: &[u8], needles: &[&[u8]]) -> bool {
    let first = at.saturating_sub(LENGTH - 1);
    let last = bytes.len().min(at + LENGTH);
    let around = &bytes[first..last];
    needles
        .iter()
        .any(|needle| around.windows(LENGTH).any(|part| part == *needle))
}

/// The disk and the saved memory of the guest's session hold what the guest holds.
fn is_the_guest_s(path: &Path) -> bool {
    let below = |folder: &str, names: &[&str]| {
        let parent = path.ancestors().nth(2).and_then(Path::file_name);
        let name = path.file_name().and_then(|name| name.to_str());
        parent.is_some_and(|parent| parent == folder)
            && name.is_some_and(|name| names.contains(&name))
    };
    let of_a_checkpoint = || below("checkpoints", &["ram.raw", "disk.qcow2"]);
    // Of a session that was, and whose room is not freed yet.
    let put_aside = || below("used", &["ram.mapped", "ram.raw", "disk.qcow2"]);
    // A prepared machine's memory file has the name of a snapshot's, which holds none.
    [
        "session/disk.qcow2",
        "session/ram.mapped",
        "ahead/session/ram.raw",
    ]
    .iter()
    .any(|end| path.ends_with(end))
        || of_a_checkpoint()
        || put_aside()
}

fn search_processes(needles: &[&[u8]], found: &mut Vec<String>) {
    for path in processes::words_of_all() {
        if holds(&path, needles) {
            found.push(path.display().to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_wherever_it_begins() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("memory");
        let value = "0123456789abcdef".repeat(4);
        let needles = [value.as_bytes()];
        // Within a piece, over the end of one, and behind a hole.
        for at in [0, 1, 63, 64, 1000, (4 << 20) - 7, (64 << 20) + 5] {
            let mut file = File::create(&path).expect("a file");
            std::io::Write::write_all(&mut file, b"0f").expect("it is written");
            file.set_len(128 << 20).expect("it has a length");
            assert!(!holds(&path, &needles));
            file.seek(std::io::SeekFrom::Start(at))
                .expect("it can be sought in");
            std::io::Write::write_all(&mut file, value.as_bytes()).expect("it is written");
            assert!(holds(&path, &needles), "at {at}");
        }
    }
}
