//! The folders of the host that an instance's guest sees.

use std::path::Path;

use super::{Emulator, LockedInstance};
use crate::instance::error::InstanceError as Error;
use crate::machine::folders::{self, NamedFolder, SharedFolder};
use crate::machine::run_record::RunRecord;
use progress::Reporter;

impl Emulator {
    /// The folders that the guest sees, or will see once the session goes on.
    pub fn folders(&self) -> Result<Vec<SharedFolder>, Error> {
        Ok(folders::read(&self.paths.main())?)
    }

    /// Takes a folder back from the guest.
    ///
    /// # Errors
    ///
    /// [`ShareError::NotShared`](folders::ShareError::NotShared);
    /// [`ShareError::GuestRefused`](folders::ShareError::GuestRefused) if something in the guest is
    /// using it.
    pub async fn remove_folder(&self, path: &Path, reporter: &dyn Reporter) -> Result<(), Error> {
        let held = self.hold("folders remove", reporter).await?;
        let paths = &held.slot.paths;
        let Some((record, _)) = &held.running else {
            return Ok(folders::unshare(paths, None, path).await?);
        };
        let sockets = record.sockets(paths)?;
        let unshared = async { Ok(folders::unshare(paths, Some(&sockets), path).await?) };
        held.while_it_runs(record, unshared).await
    }
}

impl LockedInstance<'_> {
    /// Makes `folder` visible in the running guest.
    pub(crate) async fn share(
        &self,
        record: &RunRecord,
        folder: &NamedFolder,
    ) -> Result<(), Error> {
        let sockets = record.sockets(&self.slot.paths)?;
        let settings = &self.emulator.settings;
        folders::share(&self.slot.paths, settings, &sockets, folder).await?;
        Ok(())
    }
}
