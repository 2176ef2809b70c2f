//! Starting the process that works, and ending it.

use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::WorkerRecord;
use crate::config::paths::{SlotName, SlotPaths};
use crate::config::preferences::Ahead;
use crate::instance::Emulator;
use crate::instance::error::InstanceError as Error;
use crate::machine::slot::{Recorded, kill, live_processes, orphans, recorded};
use progress::Reporter;
use record::Durability;

/// The program that calls [`Emulator::work_ahead`], as this process would run it.
#[derive(Clone, Debug)]
pub struct Worker {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

impl Emulator {
    /// Has `worker` work ahead of the next start, in the background. It outlives this process and the
    /// user's session, and writes what it does into a log.
    ///
    /// To be called when nobody waits any more; does nothing where the setting is off.
    pub fn begin_work_ahead(&self, worker: &Worker) -> Result<(), Error> {
        if self.settings.ahead == Ahead::Off {
            return Ok(());
        }
        let path = self.paths.main().ahead_log();
        let log = File::create(&path).map_err(Error::file("write", &path))?;
        let errors = log.try_clone().map_err(Error::file("write", &path))?;
        let mut child = Command::new(&worker.program)
            .args(&worker.arguments)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
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
            && worker.process.is_alive()?
        {
            kill(&[worker.process]).await?;
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
        record::remove_folder(session.root()).map_err(Error::file("remove", session.root()))?;
        if let Some(vault) = self.recorded_vault()? {
            vault.forget_next(reporter).await;
        }
        let mut history = self.ahead_history();
        history.unused = history.unused.saturating_add(1);
        let path = self.paths.ahead_history();
        Ok(record::write(&path, &history, Durability::ThisBoot)?)
    }
}

/// Ends the machine of the slot, and removes all but what is done.
pub(super) async fn clear(paths: &SlotPaths) -> Result<(), Error> {
    let mut alive = orphans(paths)?;
    if let Recorded::Ours(record) = recorded(paths)? {
        alive.extend(live_processes(paths, &record)?);
    }
    kill(&alive).await?;
    let unfinished = paths.unfinished();
    record::remove_folder(unfinished.root()).map_err(Error::file("remove", unfinished.root()))?;
    for path in [paths.run_record(), paths.worker(), paths.boot_config_iso()] {
        record::remove_file(&path).map_err(Error::file("remove", &path))?;
    }
    Ok(())
}
