//! Starting a machine.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt as _, FdMapping, FdMappingCollision};
use host::{IdentityError, ProcessIdentity};
use tokio::process::Child;

use super::keeper::Keeper;
use super::sockets::{Listeners, Sockets};
use crate::binary::QemuBinary;
use crate::machine::{Files, Launch, Machine, MachineError, Ram, SocketFds};
use crate::monitor::Monitor;
use crate::qmp::{Greeting, QmpError};

/// Numbers of the listening sockets inside QEMU.
const FDS: SocketFds = SocketFds {
    control: 3,
    events: 4,
    agent: 5,
    rotate: 6,
    console: 7,
};

/// How much of the log an error quotes, in bytes.
const QUOTED: u64 = 2048;

/// How long a QEMU that failed to start may take to be killed.
const CLEANUP_LIMIT: Duration = Duration::from_secs(5);

/// All that it takes to start a machine.
#[derive(Debug, Clone)]
pub struct Spawn<'a> {
    /// The program.
    pub binary: &'a QemuBinary,
    /// The machine.
    pub machine: &'a Machine,
    /// What its memory is.
    pub ram: Ram,
    /// What it does once it is up.
    pub launch: Launch,
    /// Folder for the sockets; made with mode 0700 if it is not there. One machine at a time: stale
    /// sockets in it are replaced, so hold the lock that guards it.
    pub run_dir: &'a Path,
    /// Where QEMU writes its process id. It removes the file when it ends by itself, and leaves it
    /// when it is killed or crashes. Its folder must be there.
    pub pid_file: &'a Path,
    /// Where QEMU's own output is appended.
    pub log: &'a Path,
    /// Where the guest's serial console is appended.
    pub serial_log: &'a Path,
    /// The program that keeps both of a bounded length: one that calls
    /// [`keep_logs_if_asked`](super::keep_logs_if_asked). Without one they grow as the guest likes.
    pub keeper: Option<&'a Path>,
    /// What [`find_by_token`](super::find_by_token) looks for: 8 to 64 letters, digits or `-`,
    /// different for each start. Write it down before calling [`Spawn::spawn`].
    pub token: &'a str,
    /// How long QEMU may take to answer on its monitors.
    pub limit: Duration,
}

/// A machine that answers on its monitors.
///
/// Dropping this does not stop the machine.
#[derive(Debug)]
pub struct Running {
    /// Which process it is; write it down.
    pub identity: ProcessIdentity,
    /// Where later programs reach it.
    pub sockets: Sockets,
    /// This program's connection to it. Close it when done, others may be waiting.
    pub monitor: Monitor,
    /// What QEMU said of itself.
    pub greeting: Greeting,
    /// From just before QEMU was started until both monitors had answered.
    pub answered_after: Duration,
}

/// A machine could not be started. No process is left behind.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The machine cannot be built.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The token has a form that could not be found again.
    #[error("a token must be 8 to 64 ASCII letters, digits or `-`")]
    BadToken,
    /// The folder is too deep for sockets.
    #[error(
        "the socket path {path} has {length} bytes, but at most {limit} work: choose a shorter \
         folder (STACK_EMULATOR_HOME)"
    )]
    SocketPathTooLong {
        /// The path.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
        /// [`MAX_SOCKET_PATH`](super::MAX_SOCKET_PATH).
        limit: usize,
    },
    /// The run folder cannot be made or looked at.
    #[error("cannot use the run folder {path}")]
    RunFolder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Others could reach the sockets in the run folder.
    #[error(
        "the run folder {path} (mode {mode:o}, owner {owner}) is open to others: remove it, or \
         make it yours with mode 700"
    )]
    RunFolderNotPrivate {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// Its owner's user id.
        owner: u32,
    },
    /// Something is where a socket should be and cannot be removed.
    #[error("cannot clear {path} for a socket")]
    StaleSocket {
        /// The path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A socket cannot be made.
    #[error("cannot listen on {path}")]
    Listen {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The log cannot be opened or read.
    #[error("cannot use the log file {path}")]
    Log {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The process that keeps the logs cannot be started.
    #[error("cannot start {program} to keep the logs of the virtual machine")]
    Keeper {
        /// The program.
        program: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A path cannot be made absolute.
    #[error("cannot tell which file {path} is")]
    Path {
        /// The path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Handing the sockets over.
    #[error("cannot hand the sockets to the new process")]
    Hand(#[source] FdMappingCollision),
    /// The program cannot be started.
    #[error("cannot start {program}")]
    Start {
        /// The program.
        program: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// QEMU ended before it answered.
    #[error("QEMU ended at once ({status}): {said}")]
    Died {
        /// How it ended.
        status: ExitStatus,
        /// The end of what it wrote to the log.
        said: String,
    },
    /// QEMU runs but its monitors do not answer; it was killed.
    #[error("QEMU started but does not answer; it was stopped")]
    NoAnswer(#[source] QmpError),
    /// The new process cannot be identified; it was killed.
    #[error("cannot identify the new process; it was stopped")]
    Identity(#[source] IdentityError),
}

/// Kills the process unless it was let go: for errors, and for callers that drop the future.
struct Guard(Option<Child>);

impl Guard {
    fn let_go(mut self) {
        // A dropped `Child` is not killed; the runtime reaps it when it ends.
        drop(self.0.take());
    }

    async fn kill(mut self) {
        if let Some(mut child) = self.0.take() {
            drop(child.start_kill());
            if tokio::time::timeout(CLEANUP_LIMIT, child.wait())
                .await
                .is_err()
            {
                tracing::warn!("a killed QEMU is still there after {CLEANUP_LIMIT:?}");
            }
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            drop(child.start_kill());
        }
    }
}

impl Spawn<'_> {
    /// Starts QEMU and waits until both its monitors answer.
    ///
    /// Dropping the future kills the new process.
    ///
    /// # Errors
    ///
    /// See [`SpawnError`]; on any of them no process is left.
    pub async fn spawn(self) -> Result<Running, SpawnError> {
        if !is_token(self.token) {
            return Err(SpawnError::BadToken);
        }
        let run_dir = absolute(self.run_dir)?;
        let files = Files {
            fds: FDS,
            pid_file: absolute(self.pid_file)?,
            token: self.token.to_owned(),
        };
        let args = self
            .machine
            .command_line(self.binary, &self.ram, self.launch, &files)?;
        let sockets = Sockets::in_dir(&run_dir)?;
        let listeners = sockets.listen()?;
        let log_error = |source| SpawnError::Log {
            path: self.log.to_owned(),
            source,
        };
        let log = open_log(self.log).map_err(log_error)?;
        let already_there = log.metadata().map_err(log_error)?.len();
        let (mut keeper, console, log) = self.outlets(log)?;

        let mut command = std::process::Command::new(&self.binary.path);
        command
            .args(args)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(log_error)?)
            .stderr(log);
        super::inherit_little(&mut command);
        command
            .fd_mappings(mappings(listeners, console))
            .map_err(SpawnError::Hand)?;

        let started = Instant::now();
        // The command, and with it our copies of the listening sockets, ends with the statement.
        let child = tokio::process::Command::from(command)
            .spawn()
            .map_err(|source| SpawnError::Start {
                program: self.binary.path.clone(),
                source,
            })?;
        let mut guard = Guard(Some(child));

        let connected = tokio::select! {
            biased;
            connected = Monitor::connect(&sockets, self.limit) => connected,
            status = exit_of(&mut guard) => {
                let status = status.map_err(|source| SpawnError::Start {
                    program: self.binary.path.clone(),
                    source,
                })?;
                let said = quote(self.log, already_there, &mut keeper).await.map_err(log_error)?;
                return Err(SpawnError::Died { status, said });
            }
        };
        let (monitor, greeting) = match connected {
            Ok(connected) => connected,
            // The end of the connection and that of the process race; the latter says more.
            Err(source) if source.is_disconnect() => {
                let ended = tokio::time::timeout(CLEANUP_LIMIT, exit_of(&mut guard)).await;
                guard.kill().await;
                let said = quote(self.log, already_there, &mut keeper)
                    .await
                    .map_err(log_error)?;
                return Err(match ended {
                    Ok(Ok(status)) => SpawnError::Died { status, said },
                    _ => SpawnError::NoAnswer(source),
                });
            }
            Err(source) => {
                guard.kill().await;
                return Err(SpawnError::NoAnswer(source));
            }
        };
        let answered_after = started.elapsed();

        let pid = guard.0.as_ref().and_then(Child::id).unwrap_or_default();
        let identity = match ProcessIdentity::of(pid) {
            Ok(Some(identity)) => identity,
            Ok(None) => {
                let status = exit_of(&mut guard).await.unwrap_or_default();
                let said = quote(self.log, already_there, &mut keeper)
                    .await
                    .map_err(log_error)?;
                return Err(SpawnError::Died { status, said });
            }
            Err(source) => {
                guard.kill().await;
                return Err(SpawnError::Identity(source));
            }
        };
        guard.let_go();
        Ok(Running {
            identity,
            sockets,
            monitor,
            greeting,
            answered_after,
        })
    }
}

impl Spawn<'_> {
    /// Where the guest's console and QEMU's own output, whose file is `log`, are written to.
    fn outlets(&self, log: File) -> Result<(Option<Child>, OwnedFd, File), SpawnError> {
        let serial_log = absolute(self.serial_log)?;
        if let Some(program) = self.keeper {
            let keeper = Keeper::start(program, &serial_log, &absolute(self.log)?);
            let keeper = keeper.map_err(|source| SpawnError::Keeper {
                program: program.to_owned(),
                source,
            })?;
            return Ok((Some(keeper.child), keeper.console, keeper.output.into()));
        }
        let console = open_log(&serial_log).map_err(|source| SpawnError::Log {
            path: serial_log,
            source,
        })?;
        Ok((None, console.into(), log))
    }
}

async fn exit_of(guard: &mut Guard) -> io::Result<ExitStatus> {
    match &mut guard.0 {
        Some(child) => child.wait().await,
        None => std::future::pending().await,
    }
}

fn mappings(listeners: Listeners, console: OwnedFd) -> Vec<FdMapping> {
    let map = |parent_fd: OwnedFd, child_fd| FdMapping {
        parent_fd,
        child_fd,
    };
    vec![
        map(listeners.control.into(), FDS.control),
        map(listeners.events.into(), FDS.events),
        map(listeners.agent.into(), FDS.agent),
        map(listeners.rotate.into(), FDS.rotate),
        map(console, FDS.console),
    ]
}

fn is_token(token: &str) -> bool {
    (8..=64).contains(&token.len())
        && token
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn absolute(path: &Path) -> Result<PathBuf, SpawnError> {
    std::path::absolute(path).map_err(|source| SpawnError::Path {
        path: path.to_owned(),
        source,
    })
}

fn open_log(path: &Path) -> io::Result<File> {
    File::options()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}

/// The end of what was written to the log since it had `from` bytes, by a QEMU that is gone.
async fn quote(log: &Path, from: u64, keeper: &mut Option<Child>) -> Result<String, io::Error> {
    if let Some(keeper) = keeper
        && tokio::time::timeout(CLEANUP_LIMIT, keeper.wait())
            .await
            .is_err()
    {
        tracing::warn!("the log of a QEMU that is gone is not whole after {CLEANUP_LIMIT:?}");
    }
    let mut log = File::open(log)?;
    let length = log.metadata()?.len();
    log.seek(SeekFrom::Start(from.max(length.saturating_sub(QUOTED))))?;
    let mut said = Vec::new();
    log.take(QUOTED).read_to_end(&mut said)?;
    let said = String::from_utf8_lossy(&said);
    Ok(match said.trim() {
        "" => "it said nothing".to_owned(),
        said => said.to_owned(),
    })
}
