//! `logs`: the last lines of a log, and what is added to it.
//!
//! A serial console carries whatever the firmware and the guest send, clearing
//! of the screen included, so everything that a terminal would act on is taken
//! out before it gets there.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anstream::adapter::StripBytes;
use notify::{RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use super::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::LogSource;
use crate::output::{Audience, print};

/// How much is read at a time, in bytes.
const BLOCK: usize = 64 << 10;

pub(super) async fn show(
    context: &Context<'_>,
    source: LogSource,
    follow: bool,
    lines: usize,
) -> Result<Exit, Failure> {
    let path = match source {
        LogSource::SerialConsole => context.emulator.paths().serial_log(),
        LogSource::Qemu => context.emulator.paths().qemu_log(),
    };
    // Watched before it is read, so that nothing falls in between.
    let changes = if follow { Some(watch(&path)?) } else { None };
    let mut log = match Log::open_at_tail(&path, lines) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !follow => {
            return Err(Failure::NoLog { path });
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Log::absent(path.clone()),
        opened => opened.map_err(read_failure(&path))?,
    };
    let mut audience = log.print_new()?;
    if let Some((_watcher, mut changes)) = changes {
        while audience == Audience::Present && changes.recv().await.is_some() {
            // One look serves all changes up to now.
            while changes.try_recv().is_ok() {}
            log.reopen_if_replaced().map_err(read_failure(&path))?;
            audience = log.print_new()?;
        }
    }
    Ok(Exit::Success)
}

fn read_failure(path: &Path) -> impl Fn(io::Error) -> Failure {
    move |source| Failure::ReadLog {
        path: path.to_owned(),
        source,
    }
}

/// Tells of changes in the log's folder: the log itself may be made anew.
fn watch(
    path: &Path,
) -> Result<(notify::RecommendedWatcher, mpsc::UnboundedReceiver<()>), Failure> {
    let folder = path.parent().unwrap_or(path);
    if !folder.is_dir() {
        return Err(Failure::NoLog {
            path: path.to_owned(),
        });
    }
    let failed = |source| Failure::FollowLog {
        path: path.to_owned(),
        source,
    };
    let (tell, changes) = mpsc::unbounded_channel();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Our own reading is no news; an error, such as lost events, is a
        // reason to look.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            // Nobody to tell any more means that the command is ending.
            let _ = tell.send(());
        }
    })
    .map_err(failed)?;
    watcher
        .watch(folder, RecursiveMode::NonRecursive)
        .map_err(failed)?;
    Ok((watcher, changes))
}

/// A log file, read up to some point.
struct Log {
    path: PathBuf,
    file: Option<File>,
    cleaner: Cleaner,
}

impl Log {
    /// A log that may come.
    fn absent(path: PathBuf) -> Self {
        Self {
            path,
            file: None,
            cleaner: Cleaner::default(),
        }
    }

    /// Opens the log where its last `lines` lines begin.
    fn open_at_tail(path: &Path, lines: usize) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let start = tail_start(&mut file, lines)?;
        file.seek(SeekFrom::Start(start))?;
        Ok(Self {
            file: Some(file),
            ..Self::absent(path.to_owned())
        })
    }

    /// Begins anew with a file that has taken the log's place or was cut.
    fn reopen_if_replaced(&mut self) -> io::Result<()> {
        let now = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        let replaced = match &mut self.file {
            None => true,
            Some(file) => {
                let (old, new) = (file.metadata()?, now.metadata()?);
                (old.dev(), old.ino()) != (new.dev(), new.ino())
                    || new.len() < file.stream_position()?
            }
        };
        if replaced {
            self.file = Some(now);
            self.cleaner = Cleaner::default();
        }
        Ok(())
    }

    /// Prints what there is from where the last call ended.
    fn print_new(&mut self) -> Result<Audience, Failure> {
        let Some(file) = &mut self.file else {
            return Ok(Audience::Present);
        };
        let mut block = vec![0; BLOCK];
        loop {
            let read = file.read(&mut block).map_err(read_failure(&self.path))?;
            let Some(read) = block.get(..read).filter(|read| !read.is_empty()) else {
                return Ok(Audience::Present);
            };
            if print(&self.cleaner.clean(read))? == Audience::Gone {
                return Ok(Audience::Gone);
            }
        }
    }
}

/// Where the last `lines` lines of `file` begin, in bytes; reads no more than them.
fn tail_start(file: &mut File, lines: usize) -> io::Result<u64> {
    let mut end = file.seek(SeekFrom::End(0))?;
    if lines == 0 {
        return Ok(end);
    }
    let mut newlines = 0;
    let mut at_the_end = true;
    let mut block = vec![0; BLOCK];
    while end > 0 {
        let size = end.min(BLOCK as u64);
        let start = end - size;
        let part = block
            .get_mut(..usize::try_from(size).unwrap_or(BLOCK))
            .unwrap_or_default();
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(part)?;
        for byte in part.iter().rev() {
            // A newline ends its line, so the one at the very end begins none.
            if *byte == b'\n' && !at_the_end {
                newlines += 1;
                if newlines == lines {
                    return Ok(end);
                }
            }
            at_the_end = false;
            end -= 1;
        }
    }
    Ok(0)
}

/// Takes out what a terminal would act on, across the borders of blocks.
#[derive(Default)]
struct Cleaner {
    strip: StripBytes,
}

impl Cleaner {
    fn clean(&mut self, bytes: &[u8]) -> Vec<u8> {
        let harmless = |byte: &u8| *byte == b'\n' || *byte == b'\t' || !byte.is_ascii_control();
        self.strip
            .strip_next(bytes)
            .flatten()
            .copied()
            .filter(harmless)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn log(content: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        file
    }

    #[test]
    fn the_tail_begins_where_a_line_begins() {
        for (content, lines, start) in [
            (&b"one\ntwo\nthree\n"[..], 1, 8),
            (b"one\ntwo\nthree\n", 2, 4),
            (b"one\ntwo\nthree\n", 3, 0),
            (b"one\ntwo\nthree\n", 9, 0),
            (b"one\ntwo\nthr", 1, 8),
            (b"one\ntwo\nthr", 2, 4),
            (b"one\n\n\n", 2, 4),
            (b"one\n", 0, 4),
            (b"", 5, 0),
        ] {
            assert_eq!(
                tail_start(&mut log(content), lines).unwrap(),
                start,
                "{lines} of {content:?}"
            );
        }
    }

    #[test]
    fn the_tail_is_found_across_blocks() {
        let line = [b"x".repeat(1000), b"\n".to_vec()].concat();
        let content = line.repeat(200);
        assert!(content.len() > BLOCK);
        assert_eq!(tail_start(&mut log(&content), 150).unwrap(), 50 * 1001);
    }

    #[test]
    fn what_a_terminal_acts_on_is_taken_out_even_in_pieces() {
        let mut cleaner = Cleaner::default();
        let mut text = Vec::new();
        for piece in [
            &b"\x1bc\x1b[2J[  OK"[..],
            b"  ] \x1b[0;3",
            b"2mGr\xc3",
            b"\xbc\xc3\x9fe\x1b[0m\x07\r\n",
        ] {
            text.extend(cleaner.clean(piece));
        }
        assert_eq!(String::from_utf8(text).unwrap(), "[  OK  ] Grüße\n");
    }

    #[test]
    fn a_log_made_anew_is_read_from_its_beginning() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("serial.log");
        std::fs::write(&path, "old\n").unwrap();
        let mut log = Log::open_at_tail(&path, 0).unwrap();
        let read = |log: &mut Log| {
            log.reopen_if_replaced().unwrap();
            let mut text = String::new();
            log.file
                .as_mut()
                .unwrap()
                .read_to_string(&mut text)
                .unwrap();
            text
        };
        assert_eq!(read(&mut log), "");
        File::options()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(b"more\n")
            .unwrap();
        assert_eq!(read(&mut log), "more\n");
        std::fs::write(&path, "cut\n").unwrap();
        assert_eq!(read(&mut log), "cut\n");
        std::fs::write(dir.path().join("new"), "a longer new log\n").unwrap();
        std::fs::rename(dir.path().join("new"), &path).unwrap();
        assert_eq!(read(&mut log), "a longer new log\n");
    }

    #[test]
    fn a_log_that_comes_late_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("serial.log");
        let mut log = Log::absent(path.clone());
        log.reopen_if_replaced().unwrap();
        assert!(log.file.is_none());
        std::fs::write(&path, "x").unwrap();
        log.reopen_if_replaced().unwrap();
        assert!(log.file.is_some());
    }
}
