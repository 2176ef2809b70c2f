//! A start that finds its work done.

use super::standby;
use crate::config::paths::SlotName;
use crate::instance::LockedInstance;
use crate::instance::error::InstanceError as Error;
use crate::instance::start::source::{StartSource, write_config};
use crate::machine::bring_up::Origin;
use crate::machine::run_record::StartKind;
use crate::machine::slot::kill;
use crate::machine::spec::MachineSpec;
use crate::state::prepared::{self, PreparedFrom, PreparedOnDisk};
use crate::state::session::{Base, SavedRecord};
use crate::state::snapshot::{Found, Snapshot};
use progress::Reporter;

impl LockedInstance<'_> {
    /// Takes the machine that was prepared for a start on `base`, if there is one that fits. One that
    /// does not is dropped: this start, however it is done, leaves nothing for it to fit.
    pub(in crate::instance) async fn take_prepared(
        &self,
        spec: &MachineSpec,
        base: Option<&Base>,
        reporter: &dyn Reporter,
    ) -> Result<Option<StartSource>, Error> {
        let (emulator, paths) = (self.emulator, &self.emulator.paths);
        let place = paths.slot(SlotName::Ahead).session();
        if !place.prepared().try_exists().unwrap_or(true) {
            return Ok(None);
        }
        let settings = &emulator.settings;
        if settings.no_rotation || settings.no_snapshot || settings.force_capture {
            emulator.drop_prepared(reporter).await?;
            return Ok(None);
        }
        let from = match base {
            Some(_) => {
                let saved = paths.main().session().saved();
                let saved: Option<SavedRecord> = record::read_optional(&saved).unwrap_or_default();
                saved.as_ref().map(PreparedFrom::session)
            }
            None => match Snapshot::choose(paths, &spec.image_content().sha256)? {
                Found::Whole(snapshot) => Some(PreparedFrom::Snapshot {
                    id: snapshot.manifest.id.clone(),
                }),
                Found::None | Found::Damaged(_) => None,
            },
        };
        let found = from.as_ref().map_or(PreparedOnDisk::None, |from| {
            prepared::look(&place, from, &spec.fingerprint, &spec.boot_id)
        });
        let record = match found {
            PreparedOnDisk::Ready(record) => record,
            PreparedOnDisk::Unusable(reason) => {
                tracing::info!(reason, "what was prepared cannot be used");
                emulator.drop_prepared(reporter).await?;
                return Ok(None);
            }
            PreparedOnDisk::None => {
                emulator.drop_prepared(reporter).await?;
                return Ok(None);
            }
        };
        let next = self.vault()?.next().await;
        let Some(secrets) = next.filter(|set| set.mark() == record.secrets) else {
            tracing::info!("the values of what was prepared are gone");
            emulator.drop_prepared(reporter).await?;
            return Ok(None);
        };
        let ahead = paths.slot(SlotName::Ahead);
        let mut standby = standby::find(&ahead)?;
        // What is in memory has the network that was set when it was brought up. The files have none.
        if let Some((_, process)) = standby.take_if(|(record, _)| record.network() != spec.network)
        {
            tracing::info!("the machine that stands by has another network than is set now");
            kill(&[process]).await?;
            let path = ahead.run_record();
            record::remove_file(&path).map_err(Error::file("remove", &path))?;
        }
        if standby.is_none() {
            // Of one that did not live to this.
            let disk = place.standby_disk();
            record::remove_file(&disk).map_err(Error::file("remove", &disk))?;
        }
        let config_iso = write_config(self, spec)?;
        if let Err(error) = prepared::take(paths) {
            // Not every file system can exchange two folders.
            tracing::info!(%error, "what was prepared cannot be taken");
            emulator.drop_prepared(reporter).await?;
            return Ok(None);
        }
        let session = paths.main().session();
        let (snapshot, kind) = match (&record.from, base) {
            (PreparedFrom::Session { .. }, Some(base)) => {
                (base.snapshot.clone(), StartKind::Continued)
            }
            (PreparedFrom::Session { .. }, None) => (None, StartKind::Continued),
            (PreparedFrom::Snapshot { id }, _) => (Some(id.clone()), StartKind::Resumed),
        };
        Ok(Some(StartSource {
            origin: Origin::Snapshot {
                ram: session.prepared_ram(),
                device_state: session.device_state(),
            },
            snapshot,
            config_iso,
            fresh_disk: kind == StartKind::Resumed,
            kind,
            reason: None,
            snapshot_damaged: false,
            saved: None,
            standby,
            taken: Some(secrets),
            kept: None,
            checkpoint: None,
        }))
    }
}
