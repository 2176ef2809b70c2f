//! Whether something fits on a disk, asked before it is written.

use std::io;
use std::path::Path;

/// Left free beyond what is needed, in bytes: a disk that is full to the last
/// block is everybody's trouble.
const SPARE: u64 = 64 << 20;

/// The bytes free on the disk of `folder`, if `needed` more do not fit there.
pub(crate) fn lacking(folder: &Path, needed: u64) -> io::Result<Option<u64>> {
    let available = host::disk::free_bytes(folder)?;
    Ok((available < needed.saturating_add(SPARE)).then_some(available))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_fits_and_too_much_does_not() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(lacking(dir.path(), 1).unwrap(), None);
        assert!(lacking(dir.path(), u64::MAX).unwrap().is_some());
        assert!(lacking(&dir.path().join("missing"), 1).is_err());
    }
}
