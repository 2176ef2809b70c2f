//! Which process exactly: a process id is reused, so it takes the start time and the boot as well.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::host;

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "bsd.rs")]
mod system;

/// One process and no other, for as long as the host's record of it can be compared.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// The process id.
    pub pid: u32,
    /// When it started. On Linux in clock ticks since boot; elsewhere only comparable.
    pub start_ticks: u64,
    /// The boot during which it started.
    pub boot_id: String,
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
    #[error("cannot read the id of the current boot")]
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

impl ProcessIdentity {
    /// The identity of the live process that has this id now; `None` if there is none. A process
    /// that has ended but was not reaped counts as none.
    ///
    /// # Errors
    ///
    /// [`IdentityError`] if the system will not tell.
    pub fn of(pid: u32) -> Result<Option<Self>, IdentityError> {
        let Some(start_ticks) =
            system::start_of(pid).map_err(|source| IdentityError::Look { pid, source })?
        else {
            return Ok(None);
        };
        Ok(Some(Self {
            pid,
            start_ticks,
            boot_id: host::boot_id().map_err(IdentityError::BootId)?,
        }))
    }

    /// Whether this very process is running.
    ///
    /// # Errors
    ///
    /// [`IdentityError`] if the system will not tell.
    pub fn is_alive(&self) -> Result<bool, IdentityError> {
        Ok(Self::of(self.pid)?.as_ref() == Some(self))
    }

    /// Waits until the process has ended, whoever its parent is.
    ///
    /// # Errors
    ///
    /// [`IdentityError::StillThere`] after `limit`.
    pub async fn wait_gone(&self, limit: Duration) -> Result<(), IdentityError> {
        let Some(process) = system::Process::open(self)? else {
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
        let Some(process) = system::Process::open(self)? else {
            return Ok(());
        };
        process.kill()?;
        process.wait(limit).await
    }
}

/// Live processes started by [`Spawn`](super::Spawn) with this token: for finding a QEMU whose
/// starter was killed before it could write down what it had started.
///
/// # Errors
///
/// [`IdentityError::List`] if processes cannot be listed.
pub fn find_by_token(token: &str) -> Result<Vec<ProcessIdentity>, IdentityError> {
    let mut found = Vec::new();
    for pid in system::with_argument_ending(&token_mark(token)).map_err(IdentityError::List)? {
        // One that ended since it was listed is simply not there.
        found.extend(ProcessIdentity::of(pid)?);
    }
    Ok(found)
}

/// How a token appears at the end of the argument that carries the machine's name.
pub(crate) fn token_mark(token: &str) -> String {
    format!("#{token}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::process::{Command, Stdio};

    const LIMIT: Duration = Duration::from_secs(10);

    /// A process that waits for its standard input to close.
    fn sleeper() -> std::process::Child {
        Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    #[test]
    fn this_process_is_alive_and_its_namesake_is_not() {
        let me = ProcessIdentity::of(std::process::id()).unwrap().unwrap();
        assert!(me.is_alive().unwrap());
        let reused = ProcessIdentity {
            start_ticks: me.start_ticks + 1,
            ..me.clone()
        };
        assert!(!reused.is_alive().unwrap());
        let earlier_boot = ProcessIdentity {
            boot_id: "another".to_owned(),
            ..me
        };
        assert!(!earlier_boot.is_alive().unwrap());
    }

    #[tokio::test]
    async fn the_wrong_process_is_neither_killed_nor_waited_for() {
        let mut child = sleeper();
        let identity = ProcessIdentity::of(child.id()).unwrap().unwrap();
        let stale = ProcessIdentity {
            start_ticks: identity.start_ticks - 1,
            ..identity.clone()
        };
        stale.kill(LIMIT).await.unwrap();
        stale.wait_gone(LIMIT).await.unwrap();
        assert!(identity.is_alive().unwrap());
        let error = identity
            .wait_gone(Duration::from_millis(20))
            .await
            .unwrap_err();
        assert!(matches!(error, IdentityError::StillThere { .. }));

        identity.kill(LIMIT).await.unwrap();
        // Not reaped yet, and dead all the same.
        assert!(!identity.is_alive().unwrap());
        identity.kill(LIMIT).await.unwrap();
        child.wait().unwrap();
        assert_eq!(ProcessIdentity::of(identity.pid).unwrap(), None);
    }

    #[tokio::test]
    async fn a_process_that_ends_by_itself_is_noticed() {
        let mut child = sleeper();
        let identity = ProcessIdentity::of(child.id()).unwrap().unwrap();
        let wait = tokio::spawn({
            let identity = identity.clone();
            async move { identity.wait_gone(LIMIT).await }
        });
        drop(child.stdin.take());
        wait.await.unwrap().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_token_is_found_at_the_end_of_an_argument_only() {
        let token = format!("token-of-{}", std::process::id());
        let mark = token_mark(&token);
        let start = |argument: String| {
            let mut child = Command::new("sh")
                .args(["-c", "echo up; read line", &argument])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            // The kernel shows a program's arguments a moment after it was started.
            let mut up = [0; 3];
            child.stdout.as_mut().unwrap().read_exact(&mut up).unwrap();
            child
        };
        let mut ours = start(format!("guest=name{mark}"));
        let mut other = start(format!("guest=name{mark}0"));
        let found = find_by_token(&token).unwrap();
        let pids: Vec<u32> = found.iter().map(|identity| identity.pid).collect();
        assert_eq!(pids, [ours.id()]);
        for child in [&mut ours, &mut other] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert_eq!(find_by_token(&token).unwrap(), []);
    }
}
