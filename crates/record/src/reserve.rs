//! Room for records on a full disk: a file in a folder that is given up where a record finds no room.
//!
//! Without it, what stops a machine on a full disk could not write down that it does.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The file's name. Nobody else has one of that name and length.
const NAME: &str = ".stack-emulator-reserve";
/// Its length in bytes: room for the records of some commands, on file systems with large blocks too.
const BYTES: usize = 256 << 10;
/// Above a record, folders that are looked into: its own, and those that its folder is a part of.
const DEPTH: usize = 4;

/// Makes sure that `folder` has its reserve.
///
/// # Errors
///
/// There is no room for it, and then nothing is left of the try; or the folder cannot be written to.
pub fn keep(folder: &Path) -> io::Result<()> {
    let path = folder.join(NAME);
    if is_whole(&path) {
        return Ok(());
    }
    // Of one that was killed.
    crate::remove_file(&path)?;
    let made = std::fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        // Not zeros, which a file system may keep as a hole.
        .and_then(|mut file| file.write_all(&vec![0x5a; BYTES]));
    if made.is_err() {
        crate::remove_file(&path)?;
    }
    made
}

/// Frees the reserve nearest to `record`; false if there is none.
pub(crate) fn give_up(record: &Path) -> bool {
    let folders = record.ancestors().skip(1).take(DEPTH);
    let mut reserves = folders.map(|folder| folder.join(NAME));
    reserves.any(|path| is_whole(&path) && std::fs::remove_file(&path).is_ok())
}

fn is_whole(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() == BYTES as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_reserve_is_given_up_once_and_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let (instance, session) = (dir.path().join("i"), dir.path().join("i/session"));
        std::fs::create_dir_all(&session).unwrap();
        for folder in [dir.path(), &instance] {
            keep(folder).unwrap();
            keep(folder).unwrap();
        }
        assert!(give_up(&session.join("saved.json")));
        assert!(!instance.join(NAME).exists() && dir.path().join(NAME).exists());
        keep(&instance).unwrap();
        assert!(give_up(&instance.join("run.json")));
        assert!(give_up(&instance.join("run.json")), "that of the home");
        assert!(!give_up(&instance.join("run.json")));
    }

    #[test]
    fn what_only_has_the_name_is_nobody_s_to_remove() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(NAME), "mine").unwrap();
        assert!(!give_up(&dir.path().join("run.json")));
        assert!(dir.path().join(NAME).exists());
    }
}
