//! The desktop app's own log: a file of bounded size, for the user alone.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::LogError;
use crate::config::paths::{Home, make_private_folder};

/// A file of this many bytes is put aside; some ten thousand lines.
const MOST_BYTES: u64 = 2 << 20;

/// Appends to the app's log. When the file is full it becomes `app.log.old`,
/// in place of the one before, so the two never take more than 4 MiB.
///
/// It is written to by whole lines, as `tracing_subscriber` does, which takes
/// it as its writer within a `Mutex`.
#[derive(Debug)]
pub struct AppLog {
    path: PathBuf,
    file: File,
    bytes: u64,
    most_bytes: u64,
}

impl AppLog {
    /// Opens the log of the app that uses `home`; its folder is made if need be.
    pub fn open(home: &Home) -> Result<Self, LogError> {
        let path = home.app_log();
        make_private_folder(path.parent().unwrap_or(home.path()))?;
        Self::at(path, MOST_BYTES)
    }

    fn at(path: PathBuf, most_bytes: u64) -> Result<Self, LogError> {
        let open = || -> io::Result<(File, u64)> {
            let file = append_to(&path)?;
            let bytes = file.metadata()?.len();
            Ok((file, bytes))
        };
        match open() {
            Ok((file, bytes)) => Ok(Self {
                path,
                file,
                bytes,
                most_bytes,
            }),
            Err(source) => Err(LogError::Write { path, source }),
        }
    }
}

impl Write for AppLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes > 0 && self.bytes + bytes.len() as u64 > self.most_bytes {
            std::fs::rename(&self.path, self.path.with_extension("log.old"))?;
            self.file = append_to(&self.path)?;
            self.bytes = 0;
        }
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_full_log_is_put_aside_and_nothing_grows_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.log");
        let mut log = AppLog::at(path.clone(), 10).unwrap();
        for line in ["first\n", "second\n", "third\n"] {
            log.write_all(line.as_bytes()).unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(
            (read("app.log.old"), read("app.log")),
            ("second\n".into(), "third\n".into())
        );
        // A line longer than a file may be is kept all the same.
        log.write_all(b"a line that is too long\n").unwrap();
        assert_eq!(read("app.log"), "a line that is too long\n");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn it_goes_on_where_it_was_and_is_for_the_user_alone() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path().join("home"));
        for line in ["one\n", "two\n"] {
            AppLog::open(&home)
                .unwrap()
                .write_all(line.as_bytes())
                .unwrap();
        }
        let path = home.app_log();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
