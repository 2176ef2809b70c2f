//! The limits that this process was started with (`ulimit`), and what does not work within them.

use std::sync::mpsc;
use std::{fmt, io, thread};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

/// Files and sockets that a command may have open at once, with room to spare.
const OPEN_FILES: u64 = 128;
/// Threads that a command may have at once: those of its runtime, and some that wait for files.
const THREADS: usize = 6;
/// Memory that a command needs beside its threads, in bytes.
const MEMORY: usize = 64 << 20;

/// Something that the system allows a process only so much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Processes and threads of this user.
    Processes,
    /// Files and sockets that are open at once.
    OpenFiles,
    /// Bytes of memory that can be reserved.
    AddressSpace,
    /// Bytes that a file can have.
    FileSize,
}

/// A limit that is in force: `open files to 16 (ulimit -n)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InForce {
    /// Which.
    pub limit: Limit,
    /// How much is allowed.
    pub value: u64,
}

/// This process is allowed too little to do anything.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// No further thread.
    #[error("the operating system does not allow another thread{}", among(limits))]
    Threads {
        /// The limits that can be the reason.
        limits: Vec<InForce>,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No memory.
    #[error("the operating system does not allow more memory{}", among(limits))]
    Memory {
        /// The limits that can be the reason.
        limits: Vec<InForce>,
    },
    /// Too few files.
    #[error("{limit}, and at least {OPEN_FILES} are needed")]
    Files {
        /// The limit.
        limit: InForce,
    },
}

impl LimitError {
    /// No further thread, as `source` says.
    pub fn threads(source: io::Error) -> Self {
        let limits = in_force([Limit::Processes, Limit::AddressSpace]);
        Self::Threads { limits, source }
    }

    /// The shell's word for the limits to raise: `ulimit -u`.
    pub fn commands(&self) -> Vec<&'static str> {
        match self {
            Self::Threads { limits, .. } | Self::Memory { limits } => {
                limits.iter().map(|limit| limit.limit.command()).collect()
            }
            Self::Files { limit } => vec![limit.limit.command()],
        }
    }
}

/// The limits that can be the reason, for the end of a sentence.
fn among(limits: &[InForce]) -> String {
    let told: Vec<_> = limits.iter().map(ToString::to_string).collect();
    if told.is_empty() {
        String::new()
    } else {
        format!(": {}", told.join(", "))
    }
}

impl fmt::Display for InForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (command, value) = (self.limit.command(), self.value);
        match self.limit {
            Limit::Processes => write!(f, "`{command}` limits processes and threads to {value}"),
            Limit::OpenFiles => write!(f, "`{command}` limits open files to {value}"),
            Limit::AddressSpace => {
                write!(f, "`{command}` limits memory to {} KiB", value >> 10)
            }
            Limit::FileSize => write!(f, "`{command}` limits files to {} KiB", value >> 10),
        }
    }
}

impl Limit {
    /// What sets it in a shell.
    pub const fn command(self) -> &'static str {
        match self {
            Self::Processes => "ulimit -u",
            Self::OpenFiles => "ulimit -n",
            Self::AddressSpace => "ulimit -v",
            Self::FileSize => "ulimit -f",
        }
    }

    const fn resource(self) -> Resource {
        match self {
            Self::Processes => Resource::Nproc,
            Self::OpenFiles => Resource::Nofile,
            Self::AddressSpace => Resource::As,
            Self::FileSize => Resource::Fsize,
        }
    }

    /// The limit as it is in force; `None` if there is none.
    pub fn in_force(self) -> Option<InForce> {
        let value = getrlimit(self.resource()).current?;
        Some(InForce { limit: self, value })
    }
}

fn in_force<const N: usize>(limits: [Limit; N]) -> Vec<InForce> {
    limits.into_iter().filter_map(Limit::in_force).collect()
}

/// Tries what every command needs: threads, memory, open files. The limit on open files is raised as far
/// as this user may.
///
/// What is tried here is there a moment later only if nobody else takes it, so this makes the usual case a
/// plain error, and no more.
///
/// # Errors
///
/// The first that is not to be had.
pub fn check() -> Result<(), LimitError> {
    if let Some(limit) = raise_open_files().filter(|limit| limit.value < OPEN_FILES) {
        return Err(LimitError::Files { limit });
    }
    try_threads()?;
    let mut memory: Vec<u8> = Vec::new();
    memory
        .try_reserve_exact(MEMORY)
        .map_err(|_| LimitError::Memory {
            limits: in_force([Limit::AddressSpace]),
        })
}

/// Every login may raise its soft limit to the hard one.
fn raise_open_files() -> Option<InForce> {
    let now = getrlimit(Resource::Nofile);
    if now.current.is_some_and(|soft| soft < OPEN_FILES) {
        let raised = Rlimit {
            current: now
                .maximum
                .map_or(Some(OPEN_FILES), |hard| Some(hard.min(OPEN_FILES))),
            maximum: now.maximum,
        };
        // What could not be raised is told by what is in force.
        let _ = setrlimit(Resource::Nofile, raised);
    }
    Limit::OpenFiles.in_force()
}

fn try_threads() -> Result<(), LimitError> {
    let mut threads = Vec::new();
    let mut failed = None;
    for _ in 0..THREADS {
        let (end, ended) = mpsc::channel::<()>();
        let begun = thread::Builder::new().spawn(move || {
            // Each allocates, as a thread that works does: its share of the heap is reserved then.
            let share = Box::new([0_u8; 4096]);
            std::hint::black_box(&share);
            ended.recv().ok();
        });
        match begun {
            Ok(thread) => threads.push((thread, end)),
            Err(source) => {
                failed = Some(source);
                break;
            }
        }
    }
    for (thread, end) in threads {
        drop(end);
        drop(thread.join());
    }
    failed.map_or(Ok(()), |source| Err(LimitError::threads(source)))
}

/// From here on a write beyond the limit on a file's size is an error as any other, and not the end of this
/// process. Not inherited by other programs. Must be called within a runtime.
///
/// # Errors
///
/// The system refuses the handler.
pub fn survive_file_size_limit() -> io::Result<()> {
    // The handler stays when this is dropped; there is nothing to be told, since the write fails too.
    signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_test_is_allowed_is_enough() {
        check().unwrap();
        let files = Limit::OpenFiles.in_force().unwrap();
        assert!(files.value >= OPEN_FILES);
        assert!(files.to_string().contains("ulimit -n"), "{files}");
    }

    #[test]
    fn a_limit_is_named_with_its_command() {
        let limit = InForce {
            limit: Limit::Processes,
            value: 2,
        };
        let error = LimitError::Threads {
            limits: vec![limit],
            source: io::ErrorKind::WouldBlock.into(),
        };
        assert!(
            error
                .to_string()
                .contains("`ulimit -u` limits processes and threads to 2")
        );
        assert_eq!(error.commands(), ["ulimit -u"]);
        let error = LimitError::Memory { limits: Vec::new() };
        assert_eq!(
            error.to_string(),
            "the operating system does not allow more memory"
        );
    }
}
