//! One log file, read from its tail on, through replacements.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anstream::adapter::StripBytes;

use super::LogError;

/// How much is read at a time, in bytes.
const BLOCK: usize = 64 << 10;

/// A piece of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// What was read, without what a terminal would act on.
    pub text: String,
    /// Whether it is the first piece of a log that was begun anew.
    pub restarted: bool,
}

/// A log file, read up to some point.
#[derive(Debug)]
pub struct LogReader {
    pub(super) path: PathBuf,
    file: Option<File>,
    cleaner: Cleaner,
    restarted: bool,
}

impl LogReader {
    /// A log that may come.
    pub(super) fn absent(path: PathBuf) -> Self {
        Self {
            path,
            file: None,
            cleaner: Cleaner::default(),
            restarted: false,
        }
    }

    /// Opens the log at `path` where its last `lines` lines begin.
    pub fn at_tail(path: &Path, lines: usize) -> Result<Self, LogError> {
        let open = || -> io::Result<File> {
            let mut file = record::regular::open(path)?;
            let start = tail_start(&mut file, lines)?;
            file.seek(SeekFrom::Start(start))?;
            Ok(file)
        };
        match open() {
            Ok(file) => Ok(Self {
                file: Some(file),
                ..Self::absent(path.to_owned())
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(LogError::Missing {
                path: path.to_owned(),
            }),
            Err(source) => Err(LogError::Read {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// Begins anew with a file that has taken the log's place or was cut.
    pub(super) fn reopen_if_replaced(&mut self) -> Result<(), LogError> {
        let now = match record::regular::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened.map_err(|source| self.failed(source))?,
        };
        let replaced = match &mut self.file {
            None => Ok(true),
            Some(file) => is_another(file, &now),
        };
        if replaced.map_err(|source| self.failed(source))? {
            // A log that comes late was not begun anew.
            self.restarted |= self.file.is_some();
            self.file = Some(now);
            self.cleaner = Cleaner::default();
        }
        Ok(())
    }

    /// What there is from where the last call ended, at most 64 KiB; `None` at
    /// the end.
    pub fn read(&mut self) -> Result<Option<Block>, LogError> {
        let Some(file) = &mut self.file else {
            return Ok(None);
        };
        let mut block = vec![0; BLOCK];
        loop {
            let read = match file.read(&mut block) {
                Ok(0) => return Ok(None),
                Ok(read) => block.get(..read).unwrap_or_default(),
                Err(source) => return Err(self.failed(source)),
            };
            let text = self.cleaner.clean(read);
            if !text.is_empty() {
                return Ok(Some(Block {
                    text,
                    restarted: std::mem::take(&mut self.restarted),
                }));
            }
        }
    }

    fn failed(&self, source: io::Error) -> LogError {
        LogError::Read {
            path: self.path.clone(),
            source,
        }
    }
}

fn is_another(file: &mut File, now: &File) -> io::Result<bool> {
    let (old, new) = (file.metadata()?, now.metadata()?);
    Ok((old.dev(), old.ino()) != (new.dev(), new.ino()) || new.len() < file.stream_position()?)
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
#[derive(Debug, Default)]
struct Cleaner {
    strip: StripBytes,
    decoder: printable::Decoder,
}

impl Cleaner {
    fn clean(&mut self, bytes: &[u8]) -> String {
        let mut text = String::with_capacity(bytes.len());
        // Whole sequences first, or their letters would stay.
        for plain in self.strip.strip_next(bytes) {
            text.push_str(&self.decoder.decode(plain));
        }
        text
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
        let mut text = String::new();
        for piece in [
            &b"\x1bc\x1b[2J[  OK"[..],
            b"  ] \x1b[0;3",
            b"2mGr\xc3",
            b"\xbc\xc3\x9fe\x1b[0m\x07\r\n",
            // What begins a sequence in other terminals, and an override of the direction.
            "a\u{9b}31m\u{202e}b\n".as_bytes(),
        ] {
            text.push_str(&cleaner.clean(piece));
        }
        assert_eq!(text, "[  OK  ] Grüße\na31mb\n");
    }
}
