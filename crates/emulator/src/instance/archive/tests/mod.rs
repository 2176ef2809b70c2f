//! Archives, tested on small files with everything that guests' memory has:
//! holes, stored zeros, pages in runs, and a partial last block.

mod damage;
mod hostile;
// How much memory a process ever had, only Linux tells.
#[cfg(target_os = "linux")]
mod memory;
mod round_trip;
pub(crate) mod snapshot;

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::error::ArchiveError;
use super::format::{FILES, Header};
use super::job::Job;
use super::read::{Archive, Target};
use super::write::{Packed, Source, pack};
use crate::state::sparse;

/// What a file is made of: where, and what bytes.
type Writes = Vec<(u64, Vec<u8>)>;

/// Bytes that no compressor makes smaller.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new()
        .update(&seed.to_le_bytes())
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

fn make(path: &Path, length: u64, writes: &Writes) {
    let file = File::create(path).unwrap();
    for (at, bytes) in writes {
        file.write_all_at(bytes, *at).unwrap();
    }
    file.set_len(length).unwrap();
}

/// Makes the four files in `dir` and opens them.
fn sources(dir: &Path, contents: &[(u64, Writes); 4]) -> [Source; 4] {
    std::array::from_fn(|index| {
        let path = dir.join(FILES[index]);
        let (length, writes) = &contents[index];
        make(&path, *length, writes);
        Source {
            file: File::open(&path).unwrap(),
            path,
            bytes: *length,
        }
    })
}

/// Memory for some frames, and three small files.
fn sample() -> [(u64, Writes); 4] {
    let ram = vec![
        (4096, noise(5 << 20, 1)),
        (6 << 20, vec![0; 1 << 20]),
        ((9 << 20) + 8192, noise(3 << 20, 2)),
        ((63 << 20) + 4096, b"the last page".repeat(100)),
    ];
    [
        (64 << 20, ram),
        (70_001, vec![(0, noise(70_001, 3))]),
        (1 << 20, vec![(0, vec![5; 4096]), (300_000, vec![7; 10])]),
        (0, Vec::new()),
    ]
}

fn pack_to(path: &Path, sources: &[Source; 4]) -> Result<Packed, ArchiveError> {
    let header = Header::new("{}".into(), std::array::from_fn(|i| sources[i].bytes));
    pack(
        &header,
        sources,
        &File::create(path).unwrap(),
        path,
        &Job::unwatched(),
    )
}

/// The sample's archive, in a folder of its own.
fn sample_archive() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sample.savevm.zst");
    pack_to(&path, &sources(dir.path(), &sample())).unwrap();
    (dir, path)
}

/// Restores the archive at `path`; returns the files' paths.
fn unpack_to(dir: &Path, path: &Path) -> Result<Vec<PathBuf>, ArchiveError> {
    let archive = Archive::open(File::open(path).unwrap(), path)?;
    let targets: [Target; 4] = std::array::from_fn(|index| {
        let path = dir.join(format!("restored {}", FILES[index]));
        let file = File::create(&path).unwrap();
        Target { path, file }
    });
    archive.unpack(&targets, &Job::unwatched())?;
    Ok(targets.map(|target| target.path).into())
}

/// What restoring `bytes` ends with.
fn outcome(bytes: &[u8]) -> Result<Vec<String>, ArchiveError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("changed.savevm.zst");
    std::fs::write(&path, bytes).unwrap();
    let restored = unpack_to(dir.path(), &path)?;
    Ok(restored
        .iter()
        .map(|path| sparse::digest(path).unwrap())
        .collect())
}

/// Where each mark begins, and the end of the archive.
fn boundaries(archive: &[u8]) -> Vec<usize> {
    let mut found = vec![0];
    let mut at = 0;
    while at < archive.len() {
        let compressed: [u8; 4] = archive[at + 16..at + 20].try_into().unwrap();
        at += super::format::MARK + u32::from_le_bytes(compressed) as usize;
        found.push(at);
    }
    found
}
