//! Digests of sparse files, at the cost of their data alone.
//!
//! A guest's RAM file is 4 GiB long and mostly holes. Only the blocks that
//! hold something are hashed, each with its offset, so that the digest costs
//! what the data costs and does not depend on which zero blocks the file
//! system happens to store.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::fs::SeekFrom;

/// Granularity in bytes: a page, the unit in which a guest's memory fills.
pub(crate) const BLOCK: usize = 4096;
/// At most this much is read at a time, and cuts are at multiples of it, in bytes.
pub(crate) const CHUNK: usize = 1 << 20;

/// Calls `each` with offset and bytes of all stretches of `file` that the file
/// system stores, in order. No stretch crosses a multiple of [`CHUNK`].
pub(crate) fn for_each_stored(
    file: &File,
    mut each: impl FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let length = file.metadata()?.len();
    let mut buffer = vec![0; CHUNK];
    let mut at = 0;
    while at < length {
        let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            // No data from here to the end.
            Err(rustix::io::Errno::NXIO) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let end = rustix::fs::seek(file, SeekFrom::Hole(start))?;
        // Whole blocks, so that the cuts do not depend on the file system's
        // block size.
        at = start - start % BLOCK as u64;
        let end = end.next_multiple_of(BLOCK as u64).min(length);
        while at < end {
            // Cuts at fixed places: where the stored stretch begins is the
            // file system's choice and must not show in a digest.
            let chunk_end = (at + 1).next_multiple_of(CHUNK as u64).min(end);
            let wanted = usize::try_from(chunk_end - at).map_or(CHUNK, |left| left.min(CHUNK));
            file.read_exact_at(&mut buffer[..wanted], at)?;
            each(at, &buffer[..wanted])?;
            at += wanted as u64;
        }
    }
    Ok(())
}

/// Calls `each` with the stretches of `bytes` whose blocks all hold something,
/// each as long as can be.
pub(crate) fn for_each_run(bytes: &[u8], mut each: impl FnMut(Range<usize>)) {
    let mut run = 0..0;
    for (index, block) in bytes.chunks(BLOCK).enumerate() {
        let (start, end) = (index * BLOCK, index * BLOCK + block.len());
        if is_zero(block) {
            continue;
        }
        if run.end != start {
            if !run.is_empty() {
                each(run.clone());
            }
            run.start = start;
        }
        run.end = end;
    }
    if !run.is_empty() {
        each(run);
    }
}

fn is_zero(block: &[u8]) -> bool {
    // Sixteen bytes at a time: the compiler makes vector code of it.
    let (words, rest) = block.as_chunks::<16>();
    words.iter().all(|word| u128::from_ne_bytes(*word) == 0) && rest.iter().all(|byte| *byte == 0)
}

/// The digest of a sparse file, computed while it is read for something else.
pub(crate) struct Digester(blake3::Hasher);

impl Digester {
    /// For a file of `length` bytes.
    pub(crate) fn new(length: u64) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&length.to_le_bytes());
        Self(hasher)
    }

    /// Takes a run as [`for_each_run`] finds them in what [`for_each_stored`]
    /// reads, in order.
    pub(crate) fn update(&mut self, offset: u64, run: &[u8]) {
        // Runs are fed in one piece: an update of 4 KiB does not fill the
        // hash's vector lanes.
        for start in (0..run.len()).step_by(BLOCK) {
            self.0.update(&(offset + start as u64).to_le_bytes());
        }
        self.0.update(run);
    }

    /// Hex text.
    pub(crate) fn finish(&self) -> String {
        self.0.finalize().to_hex().to_string()
    }
}

/// BLAKE3 over length, then offset and bytes of every block that is not all
/// zero. Hex text.
pub(crate) fn digest(path: &Path) -> io::Result<String> {
    let file = record::regular::open(path)?;
    let mut digester = Digester::new(file.metadata()?.len());
    for_each_stored(&file, |offset, bytes| {
        for_each_run(bytes, |run| {
            digester.update(offset + run.start as u64, &bytes[run]);
        });
        Ok(())
    })?;
    Ok(digester.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::PathBuf;

    fn file(dir: &Path, length: u64, writes: &[(u64, Vec<u8>)]) -> PathBuf {
        let path = dir.join(format!("f{}", std::fs::read_dir(dir).unwrap().count()));
        let file = File::create(&path).unwrap();
        file.set_len(length).unwrap();
        for (at, bytes) in writes {
            file.write_all_at(bytes, *at).unwrap();
        }
        path
    }

    #[test]
    fn stored_zeros_and_holes_are_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let holes = file(dir.path(), 10 << 20, &[(5 << 20, vec![1; 100])]);
        let zeros = file(
            dir.path(),
            10 << 20,
            &[(0, vec![0; 3 << 20]), (5 << 20, vec![1; 100])],
        );
        assert_eq!(digest(&holes).unwrap(), digest(&zeros).unwrap());
    }

    #[test]
    fn where_stored_stretches_begin_does_not_show() {
        let dir = tempfile::tempdir().unwrap();
        // The same content, once in one stretch and once behind stored zeros
        // that shift every later stretch's beginning.
        let data = (300 << 10, vec![7; 3 << 20]);
        let plain = file(dir.path(), 8 << 20, std::slice::from_ref(&data));
        let shifted = file(dir.path(), 8 << 20, &[(0, vec![0; 300 << 10]), data]);
        assert_eq!(digest(&plain).unwrap(), digest(&shifted).unwrap());
    }

    #[test]
    fn length_place_and_content_all_count() {
        let dir = tempfile::tempdir().unwrap();
        let digests: std::collections::BTreeSet<_> = [
            file(dir.path(), 8 << 20, &[]),
            file(dir.path(), 9 << 20, &[]),
            file(dir.path(), 8 << 20, &[(0, vec![1])]),
            file(dir.path(), 8 << 20, &[(4096, vec![1])]),
            file(dir.path(), 8 << 20, &[(4095, vec![1])]),
            file(dir.path(), 8 << 20, &[(0, vec![2])]),
            file(dir.path(), 8 << 20, &[((8 << 20) - 1, vec![1])]),
        ]
        .iter()
        .map(|path| digest(path).unwrap())
        .collect();
        assert_eq!(digests.len(), 7);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_flipped_bit_is_found(at in 0u64..3_000_000, bit in 0u8..8, seed in any::<u8>()) {
            let dir = tempfile::tempdir().unwrap();
            let writes = [(1_000_000, vec![seed | 1; 500_000])];
            let one = file(dir.path(), 3_000_000, &writes);
            let two = file(dir.path(), 3_000_000, &writes);
            let mut byte = [0];
            let handle = File::options().read(true).write(true).open(&two).unwrap();
            handle.read_exact_at(&mut byte, at).unwrap();
            handle.write_all_at(&[byte[0] ^ (1 << bit)], at).unwrap();
            prop_assert_ne!(digest(&one).unwrap(), digest(&two).unwrap());
        }
    }
}
