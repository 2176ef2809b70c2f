//! A machine that nothing uses is stopped, if the user wants it so: the setting `stop-when-idle`.
//!
//! A process of its own watches it, begun by whatever starts the machine. It is alone, by a lock that also tells
//! others that it is there, and ends with the machine, of whose end the kernel tells. Between its looks it sleeps:
//! a look reads what the kernel tells of connections, which takes about a millisecond three times a minute.
//!
//! What counts as use:
//!
//! - a command at work on the instance, and each `run`, for as long as its program runs;
//! - a connection to one of the services' ports, for as long as it is open, and then the moment at which it ended.
//!
//! So a page that asks now and then, a client that keeps its connection, `status` and the app's window each keep the
//! machine running. The guest's own work does not, nor does a connection from inside it. Linux tells of a connection
//! for a minute after its end, so none goes unseen between two looks, unless it was broken off. macOS does not, and
//! is looked at more often; there a single short request can go unseen.
//!
//! The host's sleep is no idle time: the clock stands still meanwhile.

mod policy;

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::time::{Duration, Instant};

use host::IdentityError;
use serde::Serialize;

use self::policy::{Look, Verdict, Watch};
use super::Emulator;
use super::ahead::Worker;
use super::lease::Lease;
use super::lock::Lock;
use super::stop::StopReport;
use crate::config::preferences::Preferences;
use crate::instance::error::InstanceError as Error;
use crate::machine::error::MachineError;
use crate::machine::run_record::{RunRecord, RunningVm};
use crate::machine::slot::{Recorded, live_processes, recorded};
use failure::chain;
use progress::Reporter;

/// How often is looked where the kernel tells of connections for a minute after their end.
const SELDOM: Duration = Duration::from_secs(20);
/// How often is looked where it does not.
const OFTEN: Duration = Duration::from_secs(5);
/// How often is looked while a command is at work and nothing runs: of its end, only its lock tells.
const AT_WORK: Duration = Duration::from_secs(1);
/// How long the process that watched the machine before may take to end.
const HANDOVER: Duration = Duration::from_secs(5);
/// A lock tells nobody that it is free again except who waits for it without an end, so it is tried this often.
const TRY_AGAIN: Duration = Duration::from_millis(100);

/// How a watch ended.
#[derive(Clone, Debug, Serialize)]
pub struct IdleReport {
    /// The stop, if the machine was idle for long enough.
    pub stop: Option<StopReport>,
    /// Why the watch ended without one.
    pub reason: Option<&'static str>,
}

impl IdleReport {
    const fn without(reason: &'static str) -> Self {
        Self {
            stop: None,
            reason: Some(reason),
        }
    }
}

impl Emulator {
    /// How long a machine may be idle; `None` if it is never stopped for that.
    fn idle_limit(&self) -> Result<Option<Duration>, Error> {
        let minutes = Preferences::read(&self.home)?.stop_when_idle_min;
        Ok(minutes.map(|minutes| Duration::from_secs(60 * u64::from(minutes))))
    }

    /// After how many minutes the running machine is stopped if nothing uses it; `None` if nobody watches for that.
    pub(crate) fn watched_for_idle(&self) -> Result<Option<u32>, Error> {
        let path = self.paths.idle();
        let watcher = Lock::holder(&path).map_err(Error::file("look at", &path))?;
        if watcher.is_none() {
            return Ok(None);
        }
        Ok(Preferences::read(&self.home)?.stop_when_idle_min)
    }

    /// Has `watcher` watch the machine, in the background, if one runs and is to be stopped when it is idle. To be
    /// called with the instance unlocked, after what may have started it, and after a change of the setting.
    ///
    /// `watcher` calls [`Self::watch_idle`]. It outlives this process, and no signal of its terminal reaches it.
    ///
    /// # Errors
    ///
    /// The settings or the records cannot be read, or the program cannot be run.
    pub fn begin_idle_watch(&self, watcher: &Worker) -> Result<(), Error> {
        if self.idle_limit()?.is_none() || self.watched_machine()?.is_none() {
            return Ok(());
        }
        let path = self.paths.idle_log();
        let log = File::create(&path).map_err(Error::file("write", &path))?;
        let errors = log.try_clone().map_err(Error::file("write", &path))?;
        let mut command = watcher.command(log, errors);
        let child = command.process_group(0).spawn();
        let mut child = child.map_err(Error::file("run", watcher.program()))?;
        // It ends by itself; only a program that lives on has to know.
        std::thread::spawn(move || drop(child.wait()));
        Ok(())
    }

    /// Watches the machine until it has ended, or nothing has used it for as long as the setting says; then stops
    /// it, and has `ahead` do what a stop leaves to be done. To be called by a process of its own, which may be
    /// killed at any point.
    ///
    /// # Errors
    ///
    /// The settings, the records or the kernel's list of connections cannot be read.
    pub async fn watch_idle(
        &self,
        ahead: Option<&Worker>,
        reporter: &dyn Reporter,
    ) -> Result<IdleReport, Error> {
        if !self.paths.root().is_dir() {
            return Ok(IdleReport::without("the instance is gone"));
        }
        let Some(_lock) = self.only_watcher().await? else {
            return Ok(IdleReport::without("another process watches it"));
        };
        let every = if host::ports::TELLS_OF_ENDED_CONNECTIONS {
            SELDOM
        } else {
            OFTEN
        };
        let begun = Instant::now();
        let mut watch = Watch::new(Duration::ZERO);
        loop {
            let Some(limit) = self.idle_limit()? else {
                return Ok(IdleReport::without("the setting is off"));
            };
            let Some((record, vm)) = self.watched_machine()? else {
                if !self.is_busy()? {
                    return Ok(IdleReport::without("nothing runs"));
                }
                // It may be about to run again, or the command that ended it be about to end as well.
                tokio::time::sleep(AT_WORK).await;
                continue;
            };
            let look = self.look_for_use(&vm)?;
            match watch.see(begun.elapsed(), look, limit, every) {
                Verdict::Wait(wait) => wait_or_end(&record, wait).await?,
                Verdict::Stop => match Box::pin(self.stop_idle(&vm, ahead, reporter)).await {
                    Ok(Some(report)) => {
                        return Ok(IdleReport {
                            stop: Some(report),
                            reason: None,
                        });
                    }
                    // Somebody was faster.
                    Ok(None) => watch = Watch::new(begun.elapsed()),
                    Err(error) => {
                        tracing::warn!(error = %chain(&error), "the idle machine could not be stopped");
                        watch = Watch::new(begun.elapsed());
                    }
                },
            }
        }
    }

    /// The lock of the one process that watches; `None` if another one goes on doing so.
    async fn only_watcher(&self) -> Result<Option<Lock>, Error> {
        let begun = Instant::now();
        loop {
            if let Some(lock) = Lock::try_acquire(&self.paths.idle(), "watch-idle")? {
                return Ok(Some(lock));
            }
            if begun.elapsed() > HANDOVER {
                return Ok(None);
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }

    /// The machine that the user works with, if it runs.
    fn watched_machine(&self) -> Result<Option<(RunRecord, RunningVm)>, Error> {
        let paths = self.paths.main();
        let Recorded::Ours(record) = recorded(&paths)? else {
            return Ok(None);
        };
        let Some(vm) = record.running().cloned() else {
            return Ok(None);
        };
        let alive = !live_processes(&paths, &record)?.is_empty();
        Ok(alive.then_some((*record, vm)))
    }

    fn is_busy(&self) -> Result<bool, Error> {
        let lock = self.paths.main().lock();
        let holder = Lock::holder(&lock).map_err(Error::file("look at", &lock))?;
        Ok(holder.is_some())
    }

    fn look_for_use(&self, vm: &RunningVm) -> Result<Look, Error> {
        let connections = connections(vm)?;
        let users = self.paths.users();
        let leased = Lease::is_taken(&users).map_err(Error::file("look at", &users))?;
        Ok(Look {
            in_use: connections.open || leased || self.is_busy()?,
            ended: connections.ended,
        })
    }

    /// Stops the machine, unless something has begun to use it. A `run` that comes now waits until it is stopped,
    /// and starts it again.
    async fn stop_idle(
        &self,
        vm: &RunningVm,
        ahead: Option<&Worker>,
        reporter: &dyn Reporter,
    ) -> Result<Option<StopReport>, Error> {
        let users = self.paths.users();
        let alone = Lease::alone(&users).map_err(Error::file("lock", &users))?;
        let Some(_alone) = alone else {
            return Ok(None);
        };
        let Some(held) = self.try_hold_as_it_is("stop", reporter).await? else {
            return Ok(None);
        };
        let is_same = |now: &RunningVm| now.started_at_ms == vm.started_at_ms;
        if !held.running.as_ref().is_some_and(|(_, now)| is_same(now)) || connections(vm)?.open {
            return Ok(None);
        }
        Ok(Some(self.stop_and_go_on(held, ahead, reporter).await?))
    }
}

fn connections(vm: &RunningVm) -> Result<host::ports::Connections, Error> {
    let ports: Vec<_> = vm.endpoints.iter().map(|endpoint| endpoint.port).collect();
    let told = host::ports::connections(&ports);
    told.map_err(|source| MachineError::Connections { source }.into())
}

/// Waits for `limit`, or for the end of the machine.
async fn wait_or_end(record: &RunRecord, limit: Duration) -> Result<(), Error> {
    let Some(process) = &record.process else {
        tokio::time::sleep(limit).await;
        return Ok(());
    };
    match process.wait_gone(limit).await {
        Ok(()) | Err(IdentityError::StillThere { .. }) => Ok(()),
        Err(error) => Err(MachineError::Process(error).into()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::config::paths::InstanceName;
    use crate::config::variables::{HOME, Settings};
    use progress::Silent;

    fn emulator(home: &std::path::Path) -> Emulator {
        let settings = Settings::from_variables([(HOME.into(), home.into())]).unwrap();
        Emulator::new(settings, InstanceName::default(), None)
    }

    #[tokio::test]
    async fn without_a_machine_or_a_setting_nobody_watches() {
        let dir = tempfile::tempdir().unwrap();
        let emulator = emulator(dir.path());
        let report = emulator.watch_idle(None, &Silent).await.unwrap();
        assert_eq!(report.reason, Some("the instance is gone"));
        std::fs::create_dir_all(emulator.paths.root()).unwrap();
        let report = emulator.watch_idle(None, &Silent).await.unwrap();
        assert_eq!(report.reason, Some("the setting is off"));
        let preferences = Preferences {
            stop_when_idle_min: Some(30),
            ..Preferences::default()
        };
        preferences.write(&emulator.home).unwrap();
        let report = emulator.watch_idle(None, &Silent).await.unwrap();
        assert_eq!(report.reason, Some("nothing runs"));
        assert_eq!(emulator.watched_for_idle().unwrap(), None);
        let _other = Lock::try_acquire(&emulator.paths.idle(), "watch-idle").unwrap();
        assert_eq!(emulator.watched_for_idle().unwrap(), Some(30));
    }

    #[tokio::test]
    async fn who_holds_a_lease_uses_it() {
        let dir = tempfile::tempdir().unwrap();
        let emulator = emulator(dir.path());
        let users = emulator.paths.users();
        assert!(!Lease::is_taken(&users).unwrap(), "nobody ever did");
        let lease = emulator.lease().await.unwrap();
        assert!(Lease::is_taken(&users).unwrap());
        assert!(Lease::alone(&users).unwrap().is_none());
        drop(lease);
        assert!(!Lease::is_taken(&users).unwrap());
        let alone = Lease::alone(&users).unwrap();
        assert!(alone.is_some() && Lease::is_taken(&users).unwrap());
    }

    #[test]
    fn a_connection_is_open_until_it_has_ended() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let told = || host::ports::connections(&[port]).unwrap();
        assert!(!told().open);
        let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert!(told().open && told().ended.is_empty());
        let ends = (client.local_addr().unwrap().port(), port);
        drop(client);
        drop(accepted);
        assert!(!told().open);
        assert_eq!(
            told().ended.contains(&ends),
            host::ports::TELLS_OF_ENDED_CONNECTIONS
        );
    }
}
