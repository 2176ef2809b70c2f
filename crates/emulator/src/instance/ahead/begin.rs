//! Starting the process that works, and ending it.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{WorkerRecord, standby};
use crate::config::identity::FolderIdentity;
use crate::config::paths::{SlotName, SlotPaths};
use crate::config::preferences::Ahead;
use crate::instance::Emulator;
use crate::instance::error::InstanceError as Error;
use crate::machine::slot::{Recorded, kill, live_processes, orphans, recorded, remove_pid_files};
use crate::state::aside;
use progress::Reporter;
use record::Durability;

/// The program that calls [`Emulator::work_ahead`] or [`Emulator::watch_idle`], as this process would run it.
#[derive(Clone, Debug)]
pub struct Worker {
    program: PathBuf,
    arguments: Vec<OsString>,
}

impl Worker {
    /// This process's own program with `arguments`. `None` where the system does not say which that
    /// is; what would be done behind is then waited for.
    pub fn this_program(arguments: Vec<OsString>) -> Option<Self> {
        match std::env::current_exe() {
            Ok(program) => Some(Self { program, arguments }),
            Err(error) => {
                tracing::debug!(%error, "nothing is done ahead");
                None
            }
        }
    }

    pub(in crate::instance) fn program(&self) -> &Path {
        &self.program
    }

    /// The program with its output in a log, not yet run.
    pub(in crate::instance) fn command(&self, log: File, errors: File) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors);
        command
    }
}

impl Emulator {
    /// Has `worker` work ahead of the next start, in the background. It outlives this process and the
    /// user's session, and writes what it does into a log.
    ///
    /// To be called with the instance unlocked; does nothing where the setting is off.
    pub(in crate::instance) fn begin_work_ahead(&self, worker: &Worker) -> Result<(), Error> {
        if self.settings.ahead == Ahead::Off {
            return Ok(());
        }
        let path = self.paths.main().ahead_log();
        let log = File::create(&path).map_err(Error::file("write", &path))?;
        let errors = log.try_clone().map_err(Error::file("write", &path))?;
        let mut child = worker
            .command(log, errors)
            .spawn()
            .map_err(Error::file("run", &worker.program))?;
        // It ends by itself; only a program that lives on has to know.
        std::thread::spawn(move || drop(child.wait()));
        Ok(())
    }

    /// Ends what works ahead and leaves nothing of it that is not done. The instance's lock must be
    /// held: a process that begins after this sees it, and ends by itself.
    pub(in crate::instance) async fn end_work_ahead(&self) -> Result<(), Error> {
        let paths = self.paths.slot(SlotName::Ahead);
        if !paths.root().try_exists().unwrap_or(true) {
            return Ok(());
        }
        // A record that cannot be read is of a worker that was killed: it is written before any work.
        let worker: Option<WorkerRecord> =
            record::read_optional(&paths.worker()).unwrap_or_default();
        if let Some(worker) = worker
            && worker.process.pid != std::process::id()
            && worker.folder == FolderIdentity::of(paths.root()).ok()
            && worker.process.is_alive()?
        {
            kill(&[worker.process]).await?;
        }
        if self.settings.ahead == Ahead::Memory && standby::find(&paths)?.is_some() {
            return remove_work(&paths);
        }
        clear(&paths).await
    }

    /// Drops the machine that was prepared, which no start has taken.
    pub(crate) async fn drop_prepared(&self, reporter: &dyn Reporter) -> Result<(), Error> {
        let ahead = self.paths.slot(SlotName::Ahead);
        let session = ahead.session();
        if !session.root().try_exists().unwrap_or(true) {
            return Ok(());
        }
        record::remove_file(&session.prepared()).map_err(Error::file("remove", session.root()))?;
        // One that stands by has its disk there.
        clear(&ahead).await?;
        aside::put(&ahead, session.root()).map_err(Error::file("remove", session.root()))?;
        if let Some(vault) = self.recorded_vault()? {
            vault.forget_next(reporter).await;
        }
        let mut history = self.ahead_history();
        history.unused = history.unused.saturating_add(1);
        let path = self.paths.ahead_history();
        Ok(record::write(&path, &history, Durability::ThisBoot)?)
    }
}

/// Leaves what is done, and the machine of the slot if it stands by.
pub(super) async fn clear_unless_standby(paths: &SlotPaths) -> Result<(), Error> {
    if standby::find(paths)?.is_some() {
        return remove_work(paths);
    }
    clear(paths).await
}

/// Removes what the work leaves beside a machine that stands by.
fn remove_work(paths: &SlotPaths) -> Result<(), Error> {
    let worker = paths.worker();
    record::remove_file(&worker).map_err(Error::file("remove", &worker))?;
    let unfinished = paths.unfinished();
    aside::put(paths, unfinished.root()).map_err(Error::file("remove", unfinished.root()))
}

/// Ends the machine of the slot, and removes all but what is done.
pub(super) async fn clear(paths: &SlotPaths) -> Result<(), Error> {
    let mut alive = orphans(paths)?;
    let record = recorded(paths)?;
    if let Recorded::Ours(record) = &record {
        alive.extend(live_processes(paths, record)?);
    }
    kill(&alive).await?;
    if let Recorded::Ours(record) = &record {
        remove_pid_files(paths, record)?;
    }
    let unfinished = paths.unfinished();
    aside::put(paths, unfinished.root()).map_err(Error::file("remove", unfinished.root()))?;
    let standby_disk = paths.session().standby_disk();
    for path in [
        standby_disk,
        paths.run_record(),
        paths.worker(),
        paths.boot_config_iso(),
    ] {
        record::remove_file(&path).map_err(Error::file("remove", &path))?;
    }
    Ok(())
}
