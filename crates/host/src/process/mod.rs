//! Which process exactly: a process id is used again, so it takes more to know one.
//!
//! A process is the recorded one if id, start time and boot agree, and everything else that both
//! the record and the system tell: user, namespaces, program. What one of them does not tell
//! contradicts nothing: records of earlier versions lack it, and the system keeps some of it from
//! other users.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::system;

/// One process and no other, for as long as the host's record of it can be compared.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// The process id.
    pub pid: u32,
    /// When it started: on Linux in clock ticks since boot, on macOS in microseconds since 1970.
    pub start_ticks: u64,
    /// The boot during which it started.
    pub boot_id: String,
    /// The user whose rights it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<u32>,
    /// Its program, with symbolic links resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executable: Option<PathBuf>,
    /// Where its process ids are counted. Only Linux has such namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid_namespace: Option<u64>,
    /// Which file systems it sees. Only Linux has such namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount_namespace: Option<u64>,
}

/// The memory of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessMemory {
    /// Bytes in memory, shared ones included.
    pub resident: u64,
    /// Bytes that only this process has, and that no file backs.
    pub anonymous: u64,
}

/// The system would not say, or not do, something about a process.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Looking at it failed.
    #[error("cannot look at process {pid}")]
    Look {
        /// Its id.
        pid: u32,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The host's boot id cannot be read.
    #[error("cannot read the id of the current boot (on Linux, /proc has to be mounted)")]
    BootId(#[source] io::Error),
    /// Listing processes failed.
    #[error("cannot list processes")]
    List(#[source] io::Error),
    /// Signalling it failed.
    #[error("cannot signal process {pid}")]
    Signal {
        /// Its id.
        pid: u32,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It did not end in time.
    #[error("process {pid} is still there after {limit:?}")]
    StillThere {
        /// Its id.
        pid: u32,
        /// How long was waited.
        limit: Duration,
    },
}

/// How far a process has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Running,
    /// A signal or a debugger has stopped it; it goes on when it is told to.
    Stopped,
    /// It runs none of its program any more, and may still hold memory, files and ports.
    Exiting,
    /// Its parent has not asked for its exit code.
    Ended,
}

/// What the system says of a process.
#[derive(Debug)]
pub(crate) struct Seen {
    /// As [`ProcessIdentity::start_ticks`].
    pub(crate) start_ticks: u64,
    pub(crate) stage: Stage,
    pub(crate) user: Option<u32>,
    pub(crate) executable: Option<PathBuf>,
    pub(crate) pid_namespace: Option<u64>,
    pub(crate) mount_namespace: Option<u64>,
}

impl ProcessIdentity {
    /// The identity of the live process that has this id now; `None` if there is none.
    ///
    /// A process that is exiting counts as none: it does nothing any more, although its end may
    /// take a while and nobody may have asked for its exit code yet.
    ///
    /// # Errors
    ///
    /// [`IdentityError`] if the system will not tell.
    pub fn of(pid: u32) -> Result<Option<Self>, IdentityError> {
        let lives = |stage| matches!(stage, Stage::Running | Stage::Stopped);
        let alive = |(identity, stage)| lives(stage).then_some(identity);
        Ok(look(pid)?.and_then(alive))
    }

    /// Whether this very process is running.
    ///
    /// # Errors
    ///
    /// [`IdentityError`] if the system will not tell.
    pub fn is_alive(&self) -> Result<bool, IdentityError> {
        Ok(Self::of(self.pid)?.is_some_and(|now| self.agrees_with(&now)))
    }

    /// Whether a signal or a debugger has stopped this very process.
    ///
    /// # Errors
    ///
    /// [`IdentityError`] if the system will not tell.
    pub fn is_stopped(&self) -> Result<bool, IdentityError> {
        Ok(self.stage()? == Some(Stage::Stopped))
    }

    /// Has the process go on, this one or none, if a signal has stopped it.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Signal`] if it is not ours.
    pub fn resume(&self) -> Result<(), IdentityError> {
        match system::Handle::open(self)? {
            Some(process) => process.resume(),
            None => Ok(()),
        }
    }

    /// How far this very process has come; `None` if nothing of it is left.
    pub(crate) fn stage(&self) -> Result<Option<Stage>, IdentityError> {
        let this = |(now, stage): (Self, _)| self.agrees_with(&now).then_some(stage);
        Ok(look(self.pid)?.and_then(this))
    }

    /// Waits until the process has ended and has let go of its files and ports, whatever its parent
    /// is.
    ///
    /// # Errors
    ///
    /// [`IdentityError::StillThere`] after `limit`.
    pub async fn wait_gone(&self, limit: Duration) -> Result<(), IdentityError> {
        let Some(process) = system::Handle::open(self)? else {
            return Ok(());
        };
        process.wait(limit).await
    }

    /// Kills the process, this one or none, and waits until it has ended.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Signal`] if it is not ours to kill, [`IdentityError::StillThere`].
    pub async fn kill(&self, limit: Duration) -> Result<(), IdentityError> {
        let Some(process) = system::Handle::open(self)? else {
            return Ok(());
        };
        process.kill()?;
        process.wait(limit).await
    }

    /// Asks the process to end, this one or none, and waits until it has.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Signal`] if it is not ours, [`IdentityError::StillThere`].
    pub async fn terminate(&self, limit: Duration) -> Result<(), IdentityError> {
        let Some(process) = system::Handle::open(self)? else {
            return Ok(());
        };
        process.terminate()?;
        process.wait(limit).await
    }

    /// Whether the process has the file at `path` open; `None` if the system does not tell, or the
    /// process has ended: one that is exiting has closed its files.
    ///
    /// # Errors
    ///
    /// What the system said of the file.
    pub fn has_open(&self, path: &Path) -> io::Result<Option<bool>> {
        let found = system::has_open(self.pid, path)?;
        // Asked afterwards, for it may have ended while its files were looked at.
        let ended = found == Some(false) && self.is_alive().is_ok_and(|alive| !alive);
        Ok(if ended { None } else { found })
    }

    /// Whether the process has an argument ending with `mark`.
    pub fn has_argument_ending(&self, mark: &str) -> bool {
        system::has_argument_ending(self.pid, mark)
    }

    /// CPU time that the process has used, user and system, where the system tells.
    pub fn cpu_time(&self) -> Option<Duration> {
        system::cpu_time(self.pid)
    }

    /// The memory of the process, where the system tells.
    pub fn memory(&self) -> Option<ProcessMemory> {
        system::process_memory(self.pid)
    }

    fn agrees_with(&self, now: &Self) -> bool {
        self.pid == now.pid
            && self.start_ticks == now.start_ticks
            && self.boot_id == now.boot_id
            && agree(self.user.as_ref(), now.user.as_ref())
            && agree(self.pid_namespace.as_ref(), now.pid_namespace.as_ref())
            && agree(self.mount_namespace.as_ref(), now.mount_namespace.as_ref())
            // By name: the folder reads differently from another mount namespace.
            && agree(name(self.executable.as_ref()), name(now.executable.as_ref()))
    }
}

fn name(path: Option<&PathBuf>) -> Option<&OsStr> {
    path.and_then(|path| path.file_name())
}

fn agree<T: PartialEq + ?Sized>(one: Option<&T>, other: Option<&T>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one == other,
        (None, _) | (_, None) => true,
    }
}

/// The process with this id, and how far it has come.
fn look(pid: u32) -> Result<Option<(ProcessIdentity, Stage)>, IdentityError> {
    let seen = system::look(pid).map_err(|source| IdentityError::Look { pid, source })?;
    let Some(seen) = seen else {
        return Ok(None);
    };
    let identity = ProcessIdentity {
        pid,
        start_ticks: seen.start_ticks,
        boot_id: system::boot_id().map_err(IdentityError::BootId)?,
        user: seen.user,
        executable: seen.executable,
        pid_namespace: seen.pid_namespace,
        mount_namespace: seen.mount_namespace,
    };
    Ok(Some((identity, seen.stage)))
}

/// Live processes that have an argument ending with `mark`, and that are ours: of this process's
/// user and in its namespaces, running `executable` where that is given.
///
/// Another user could start a program with any argument, and what works in another namespace
/// works on other files.
///
/// # Errors
///
/// [`IdentityError::List`] if processes cannot be listed.
pub fn find_by_argument(
    mark: &str,
    executable: Option<&Path>,
) -> Result<Vec<ProcessIdentity>, IdentityError> {
    let marked = system::with_argument_ending(mark).map_err(IdentityError::List)?;
    if marked.is_empty() {
        return Ok(Vec::new());
    }
    let this = std::process::id();
    let Some((us, _)) = look(this)? else {
        return Err(IdentityError::Look {
            pid: this,
            source: io::ErrorKind::NotFound.into(),
        });
    };
    // The system names a process's program with links resolved.
    let executable = executable.map(|path| path.canonicalize().unwrap_or_else(|_| path.to_owned()));
    let mut found = Vec::new();
    for pid in marked {
        // One that ended since it was listed is simply not there.
        found.extend(ProcessIdentity::of(pid)?.filter(|process| {
            process.is_one_of(&us) && agree(executable.as_ref(), process.executable.as_ref())
        }));
    }
    Ok(found)
}

/// The program that this process runs, as a path to start it by again: the same one, also where
/// another version has taken its place on the disk meanwhile.
///
/// # Errors
///
/// What the system says.
pub fn this_program() -> io::Result<PathBuf> {
    system::this_program()
}

impl ProcessIdentity {
    /// Whether it has the user and the namespaces of `us`.
    fn is_one_of(&self, us: &Self) -> bool {
        self.user == us.user
            && agree(self.pid_namespace.as_ref(), us.pid_namespace.as_ref())
            && agree(self.mount_namespace.as_ref(), us.mount_namespace.as_ref())
    }
}

#[cfg(test)]
mod tests;
