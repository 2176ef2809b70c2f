//! `delete`: removes an instance with all that is its own.
//!
//! First what lies elsewhere goes: the secrets and the runtime folders, without which the instance
//! is whole. Then its folder gets a name that is no instance's, which is the moment at which it is
//! gone; what is left of that folder is removed by this command or by the next.

use images::store::own_on_disk;
use serde::Serialize;

use super::shared::{SharedLock, outgoing};
use super::{Emulator, LockedInstance};
use crate::config::paths::{InstanceName, SlotName};
use crate::instance::error::InstanceError as Error;
use crate::machine::slot;
use crate::vault::places;
use failure::chain;
use progress::{Event, Reporter, milliseconds};

/// What a deletion reports.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeleteReport {
    /// The instance that is gone.
    pub instance: InstanceName,
    /// What that freed, in bytes on disk; what other instances have as well is still there.
    pub freed_bytes: u64,
    /// Milliseconds.
    pub total_ms: f64,
}

impl Emulator {
    /// Refuses if there is no such instance.
    pub(crate) fn check_exists(&self) -> Result<(), Error> {
        if self.paths.root().is_dir() {
            return Ok(());
        }
        Err(Error::NoInstance {
            instance: self.name.clone(),
        })
    }

    /// Refuses what [`Self::delete`] would refuse, as far as a look tells: before the user is asked.
    pub fn check_deletable(&self) -> Result<(), Error> {
        self.check_exists()?;
        let Some(record) = slot::record_of(&self.paths.main()).ok().flatten() else {
            return Ok(());
        };
        let paths = self.paths.main();
        if record.running().is_some() && !slot::live_processes(&paths, &record)?.is_empty() {
            return Err(self.is_running("delete"));
        }
        Ok(())
    }

    fn is_running(&self, request: &'static str) -> Error {
        Error::InstanceRunning {
            request,
            instance: self.name.clone(),
        }
    }

    /// Removes the instance: its session, snapshots, logs, secrets and records. Refused while it
    /// is running.
    pub async fn delete(&self, reporter: &dyn Reporter) -> Result<DeleteReport, Error> {
        let begun = std::time::Instant::now();
        self.check_exists()?;
        let held = self.hold("delete", reporter).await?;
        held.refuse_running_named("delete")?;
        let mut runtime_folders = Vec::new();
        for slot in SlotName::ALL {
            runtime_folders.push(self.paths.slot(slot).runtime_folder()?);
        }
        self.remove_secrets(&held.slot.runtime_folder, reporter)
            .await?;
        for folder in &runtime_folders {
            places::remove_folders(folder).map_err(Error::file("remove", folder))?;
        }
        let root = self.paths.root();
        let freed_bytes = own_on_disk(root);
        let old = {
            let _shared = SharedLock::take(&self.home)?;
            let old = outgoing(&self.home, &self.name)?;
            std::fs::rename(root, &old).map_err(Error::file("remove", root))?;
            let instances = self.home.instances();
            record::sync_folder(&instances).map_err(Error::file("sync", &instances))?;
            old
        };
        if let Err(error) = record::remove_folder(&old)
            && old.exists()
        {
            let text = format!(
                "Files of the deleted instance are left in {}: {}. The next command tries again to remove them.",
                old.display(),
                chain(&error)
            );
            reporter.report(Event::Warning(&text));
        }
        Ok(DeleteReport {
            instance: self.name.clone(),
            freed_bytes,
            total_ms: milliseconds(begun.elapsed()),
        })
    }
}

impl LockedInstance<'_> {
    /// Refuses what cannot be done while this instance is running; says which one it is, since it
    /// need not be the one that `--instance` names.
    pub(super) fn refuse_running_named(&self, request: &'static str) -> Result<(), Error> {
        match self.running {
            Some(_) => Err(self.emulator.is_running(request)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use failure::{Code, Remedy};
    use progress::Silent;

    use super::*;
    use crate::config::variables::{HOME, Settings};
    use crate::instance::lock::Lock;

    fn emulator(home: &Path) -> Emulator {
        let settings = Settings::from_variables([(HOME.into(), home.into())]).unwrap();
        Emulator::new(settings, "work".parse().unwrap(), None)
    }

    #[tokio::test]
    async fn an_instance_goes_with_all_that_is_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let emulator = emulator(dir.path());
        let error = emulator.delete(&Silent).await.unwrap_err();
        assert_eq!(error.code(), Code::InstanceMissing);
        assert_eq!(error.remedy(), Some(Remedy::ListInstances));
        assert!(!dir.path().join("instances").exists(), "nothing is made");

        let session = emulator.paths.main().session();
        std::fs::create_dir_all(session.root()).unwrap();
        std::fs::write(session.disk(), vec![1; 1 << 20]).unwrap();
        let shared = dir.path().join("shared");
        std::fs::write(&shared, vec![1; 4 << 20]).unwrap();
        std::fs::hard_link(&shared, session.ram()).unwrap();
        let runtime = emulator.paths.main().runtime_folder().unwrap();
        std::fs::write(runtime.join("secrets.current"), "").unwrap();
        let report = emulator.delete(&Silent).await.unwrap();
        assert!(
            (1 << 20..2 << 20).contains(&report.freed_bytes),
            "{report:?}"
        );
        assert!(!emulator.paths.root().exists() && !runtime.exists());
        assert!(shared.exists());
        // The next start's work, which a stop has begun, comes too late.
        let ahead = emulator.work_ahead(&Silent).await.unwrap();
        assert!(!ahead.prepared, "{ahead:?}");
        let left = std::fs::read_dir(dir.path().join("instances")).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [".lock"]);
    }

    #[tokio::test]
    async fn who_waited_for_an_instance_that_is_deleted_begins_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let emulator = emulator(dir.path());
        std::fs::create_dir_all(emulator.paths.root()).unwrap();
        let path = emulator.paths.main().lock();
        let first = Lock::try_acquire(&path, "delete").unwrap();
        let (held, ()) = tokio::join!(emulator.hold("start", &Silent), async {
            tokio::task::yield_now().await;
            let gone = dir.path().join("gone");
            std::fs::rename(emulator.paths.root(), gone).unwrap();
            drop(first);
        });
        let held = held.unwrap();
        // What is held is the lock that others will look at.
        let holder = Lock::holder(&path).unwrap().unwrap();
        assert_eq!(holder.command, "start");
        drop(held);
    }
}
