//! What is of no use any more, put aside until somebody has time for it.
//!
//! To free the room of a machine's memory takes a second or two where each freed block is told to the
//! disk. So a command that somebody waits for moves it into `ahead/used/` instead, and the process that
//! works ahead removes that folder.

use std::io;
use std::path::Path;

use crate::config::paths::SlotPaths;

/// So many things at most: commands that follow each other without a pause leave no time to remove
/// what they put aside, and the disk must not fill up with it.
const MOST: usize = 3;

/// Moves `path`, a file or a folder, out of the way. Not an error if it is not there.
pub(crate) fn put(ahead: &SlotPaths, path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    let used = ahead.used();
    let mut places = (0..MOST).map(|place| used.join(place.to_string()));
    if let Some(place) = places.find(|place| !place.exists()) {
        if path.is_dir() {
            make_folder(&used)?;
            return std::fs::rename(path, place);
        }
        // Under its own name, which says what it is.
        make_folder(&place)?;
        std::fs::rename(path, place.join(path.file_name().unwrap_or_default()))
    } else if path.is_dir() {
        record::remove_folder(path)
    } else {
        record::remove_file(path)
    }
}

/// Removes what was put aside.
pub(crate) fn remove(ahead: &SlotPaths) -> io::Result<()> {
    record::remove_folder(&ahead.used())
}

fn make_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::paths::{Home, InstanceName, SlotName};

    #[test]
    fn what_is_put_aside_is_out_of_the_way_and_never_more_than_a_few() {
        let folder = tempfile::tempdir().unwrap();
        let instance = Home::new(folder.path().to_owned()).instance(&InstanceName::default());
        let ahead = instance.slot(SlotName::Ahead);
        let (file, dir) = (folder.path().join("memory"), folder.path().join("session"));
        put(&ahead, &file).unwrap();
        assert!(!ahead.used().exists(), "there was nothing");
        for _ in 0..MOST {
            std::fs::write(&file, "memory").unwrap();
            put(&ahead, &file).unwrap();
            assert!(!file.exists());
            std::fs::create_dir(&dir).unwrap();
            std::fs::write(dir.join("disk"), "disk").unwrap();
            put(&ahead, &dir).unwrap();
            assert!(!dir.exists());
        }
        assert_eq!(ahead.used().read_dir().unwrap().count(), MOST);
        assert!(ahead.used().join("0/memory").exists());
        remove(&ahead).unwrap();
        assert!(!ahead.used().exists());
        remove(&ahead).unwrap();
    }
}
