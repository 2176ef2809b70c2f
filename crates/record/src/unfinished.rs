//! Files on their way into a folder under a name of their own, and what becomes of those whose writer was
//! killed: each is locked while it is written, so one that nobody has locked is nobody's.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use tempfile::NamedTempFile;

/// What the names begin with; six letters and digits follow.
const PREFIX: &str = ".new-";

/// Makes a file in `folder` that [`sweep`] leaves alone until it is closed.
pub(crate) fn begin(folder: &Path) -> io::Result<NamedTempFile> {
    loop {
        let file = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempfile_in(folder)?;
        match lock(file.as_file()) {
            Ok(()) if file.as_file().metadata()?.nlink() > 0 => return Ok(file),
            // It was swept before it was locked: the next one has another name.
            Ok(()) | Err(Errno::WOULDBLOCK) => {}
            // The file system knows no locks, and nobody can sweep there.
            Err(_) => return Ok(file),
        }
    }
}

/// Removes what killed writers have left in `folder` and, so many levels deep, in the folders below. What
/// cannot be removed is in nobody's way.
pub fn sweep(folder: &Path, depth: usize) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if kind.is_dir() && depth > 0 {
            sweep(&entry.path(), depth - 1);
        } else if kind.is_file() && is_name(&entry.file_name().to_string_lossy()) {
            remove_if_left(&entry.path());
        }
    }
}

fn is_name(name: &str) -> bool {
    let random = name.strip_prefix(PREFIX).unwrap_or_default();
    random.len() == 6 && random.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn remove_if_left(path: &Path) {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::open(path, flags, Mode::empty()) else {
        return;
    };
    let file = File::from(file);
    // Locked until it is removed. One that was finished meanwhile is not there by this name.
    if lock(&file).is_ok() {
        let _ = std::fs::remove_file(path);
    }
}

fn lock(file: &File) -> Result<(), Errno> {
    rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_writes_is_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("snapshots/one");
        std::fs::create_dir_all(&deep).unwrap();
        let (being_written, left) = (begin(dir.path()).unwrap(), deep.join(".new-a1B2c3"));
        let others = [".new-one", "new-a1B2c3", ".new-a1B2c3.json", "run.json"];
        let others = others.map(|name| dir.path().join(name));
        for path in others.iter().chain([&left]) {
            std::fs::write(path, "").unwrap();
        }
        std::fs::create_dir(dir.path().join(".new-folder")).unwrap();
        sweep(dir.path(), 2);
        assert!(!left.exists());
        assert!(others.iter().all(|path| path.exists()));
        assert!(being_written.path().exists());
        // Whatever the random name is, it is known again.
        let name = being_written.path().file_name().unwrap().to_owned();
        assert!(is_name(&name.to_string_lossy()));
        let (_, path) = being_written.keep().unwrap();
        sweep(dir.path(), 2);
        assert!(!path.exists(), "its writer has closed it");
    }

    #[test]
    fn sweeping_spoils_no_record_that_is_written_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record");
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for _ in 0..200 {
                    crate::replace(&path, b"whole", crate::Durability::ThisBoot).unwrap();
                }
            });
            while !writer.is_finished() {
                sweep(dir.path(), 2);
            }
            writer.join().unwrap();
        });
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
