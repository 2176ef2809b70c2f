//! Logs, to be shown: their last lines, and what is added.
//!
//! A serial console carries whatever the firmware and the guest send, clearing
//! of the screen included, so everything that a terminal would act on is taken
//! out. Memory is bounded whatever is in the file, and the kernel tells when
//! there is more.

mod app;
mod reader;
pub(crate) mod watches;

use std::path::{Path, PathBuf};

use failure::{Code, Remedy};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

pub use app::AppLog;
pub use reader::{Block, LogReader};

use crate::config::paths::FolderError;
use watches::{WatchError, Watches};

/// The longest line that is handed over in one piece, in bytes: nobody reads a
/// longer one, and one without an end must not fill the memory.
pub const MAX_LINE_BYTES: usize = 8 << 10;

/// Whose words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
#[serde(rename_all = "snake_case")]
pub enum LogSource {
    /// What the guest wrote to its serial console.
    Serial,
    /// What QEMU itself wrote.
    Qemu,
    /// What the last preparation of a next start wrote.
    Ahead,
    /// What the desktop app wrote.
    App,
}

/// A log cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// There is none.
    #[error("there is no log at {} yet", path.display())]
    Missing {
        /// Where it would be.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("cannot read the log {}", path.display())]
    Read {
        /// The log.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It cannot be written.
    #[error("cannot write the log {}", path.display())]
    Write {
        /// The log.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Its folder cannot be created, or is not the user's alone.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// What is added to it cannot be noticed.
    #[error("cannot follow the log {}", path.display())]
    Follow {
        /// The log.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: WatchError,
    },
}

impl LogError {
    /// A stable code for programs.
    pub fn code(&self) -> Code {
        match self {
            Self::Missing { .. } => Code::LogMissing,
            Self::Read { .. } | Self::Write { .. } | Self::Follow { .. } => Code::Log,
            Self::Folder(error) => error.code(),
        }
    }

    /// What to do about it, if anything helps.
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Missing { .. } => Some(Remedy::Start),
            Self::Follow { source, .. } => source.remedy(),
            Self::Folder(error) => Some(error.remedy()),
            Self::Read { .. } | Self::Write { .. } => None,
        }
    }
}

/// Lines that were added to a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
pub struct Chunk {
    /// The first line's number, counted from where the following began.
    #[cfg_attr(feature = "specta", specta(type = specta_typescript::Number))]
    pub first_line: u64,
    /// Whole lines, without their ends and without control characters. A line
    /// above [`MAX_LINE_BYTES`] comes in pieces.
    pub lines: Vec<String>,
    /// Whether the log was begun anew before these lines: what came before is
    /// of an earlier machine.
    pub restarted: bool,
}

/// A log that is being followed. Dropped, it is followed no more.
#[derive(Debug)]
pub struct Follower {
    reader: LogReader,
    watches: Watches,
    news: mpsc::Receiver<()>,
    /// Nothing was read yet, so nothing is waited for.
    fresh: bool,
    /// The line that has not ended yet.
    partial: String,
    next_line: u64,
    restarted: bool,
}

impl Follower {
    /// The log at `path`: its last `lines` lines, and then what is added. It need not be there yet,
    /// nor its folder.
    pub(crate) fn new(path: PathBuf, lines: usize) -> Result<Self, LogError> {
        // One is enough: it means to look.
        let (tell, news) = mpsc::channel(1);
        let failed = |source| LogError::Follow {
            path: path.clone(),
            source,
        };
        let watches = Watches::begin(move |event| {
            // Our own reading is no news; an error, such as lost events, is a
            // reason to look.
            if !event.is_ok_and(|event| event.kind.is_access()) {
                // Full means that it is told already.
                let _ = tell.try_send(());
            }
        })
        .map_err(failed)?;
        // Watched before it is read, so that nothing falls in between.
        let mut follower = Self {
            reader: LogReader::absent(path),
            watches,
            news,
            fresh: true,
            partial: String::new(),
            next_line: 0,
            restarted: false,
        };
        follower.watch()?;
        match LogReader::at_tail(&follower.reader.path, lines) {
            Ok(reader) => follower.reader = reader,
            Err(LogError::Missing { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(follower)
    }

    /// Watches the log's folder, or what is there of the way to it.
    fn watch(&mut self) -> Result<bool, LogError> {
        let path = &self.reader.path;
        let mut folders = path.ancestors().skip(1);
        let there = folders.find(|folder| folder.is_dir()).map(Path::to_owned);
        self.watches
            .renew(there.as_slice())
            .map_err(|source| LogError::Follow {
                path: path.clone(),
                source,
            })
    }

    /// Waits until there is more, and gives what can be read at once. May be
    /// dropped and called again: nothing is lost.
    pub async fn next(&mut self) -> Result<Block, LogError> {
        loop {
            if !self.fresh && self.news.recv().await.is_none() {
                // The watcher is ours, so this does not come to pass; if it
                // did, there would be nothing to wait for.
                std::future::pending::<()>().await;
            }
            self.fresh = true;
            // A folder of the way to it may have come; then once more, since
            // the next one may have come with it.
            while self.watch()? {}
            self.reader.reopen_if_replaced()?;
            if let Some(block) = self.reader.read()? {
                return Ok(block);
            }
            self.fresh = false;
        }
    }

    /// Waits until there are whole lines more; at most as many as 64 KiB hold. May be dropped and called
    /// again: nothing is lost.
    pub async fn next_lines(&mut self) -> Result<Chunk, LogError> {
        loop {
            let block = self.next().await?;
            if block.restarted {
                self.partial.clear();
                self.restarted = true;
            }
            let lines = split(&mut self.partial, &block.text);
            if !lines.is_empty() {
                let first_line = self.next_line;
                self.next_line += lines.len() as u64;
                return Ok(Chunk {
                    first_line,
                    lines,
                    restarted: std::mem::take(&mut self.restarted),
                });
            }
        }
    }
}

/// The lines that end in `text`; the rest stays in `partial` for the next call.
fn split(partial: &mut String, text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for c in text.chars() {
        if c != '\n' {
            partial.push(c);
        }
        if c == '\n' || partial.len() >= MAX_LINE_BYTES {
            lines.push(std::mem::take(partial));
        }
    }
    lines
}

#[cfg(test)]
mod tests;
