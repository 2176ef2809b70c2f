//! `checkpoint restore`: the running machine, made of a checkpoint.

use host::FileStamp;
use record::Durability;
use secrets::Slot as Kept;
use serde::Serialize;

use crate::config::paths::{CheckpointName, SessionPaths, make_private_folder};
use crate::instance::clone::link_or_copy;
use crate::instance::error::InstanceError as Error;
use crate::instance::policy::list;
use crate::instance::start::StartReport;
use crate::instance::start::source::{KeptSecrets, cold_session, continue_session};
use crate::instance::{Emulator, LockedInstance};
use crate::machine::run_record::StartKind;
use crate::machine::slot::{kill, live_processes};
use crate::machine::spec::MachineSpec;
use crate::state::checkpoint::{self, Checkpoint};
use crate::state::error::StateError;
use crate::state::prepared::copy_sparse;
use crate::state::session::{self, Base};
use failure::{Remedy, chain};
use progress::{Phase, Reporter, Stopwatch};

/// What a restore reports; a shell that serializes it words the remedy first.
#[derive(Clone, Debug, Serialize)]
pub struct RestoreCheckpointReport<R = Remedy> {
    /// The checkpoint.
    pub checkpoint: CheckpointName,
    /// True if a running machine was ended for it, without saving its session.
    pub ended: bool,
    /// How it was started.
    #[serde(flatten)]
    pub start: StartReport<R>,
}

impl<R> RestoreCheckpointReport<R> {
    /// The same with its remedy in the words of a shell.
    pub fn with_remedy<T>(self, word: impl FnOnce(R) -> T) -> RestoreCheckpointReport<T> {
        RestoreCheckpointReport {
            checkpoint: self.checkpoint,
            ended: self.ended,
            start: self.start.with_remedy(word),
        }
    }
}

impl Emulator {
    /// Has the emulator run from the checkpoint called `name`. The machine that runs is ended, and a
    /// session that is kept is replaced; neither is saved.
    pub async fn restore_checkpoint(
        &self,
        name: &CheckpointName,
        reporter: &dyn Reporter,
    ) -> Result<RestoreCheckpointReport, Error> {
        let with_its_image = self.with_image_of(&self.checkpoint(name)?);
        match with_its_image.restore_once(self, name, reporter).await {
            Ok(report) => Ok(report),
            Err(error) => {
                self.make_way_for_another_try(error, reporter).await?;
                Box::pin(with_its_image.restore_once(self, name, reporter)).await
            }
        }
    }

    /// The same instance on the image of `checkpoint`, unless an image was named.
    pub(super) fn with_image_of(&self, checkpoint: &Checkpoint) -> Self {
        let base = &checkpoint.record.base;
        let stored = || {
            // A store that cannot be read says so where it is needed.
            let images = self.home.image_store().contents().ok()?.images;
            let same = images
                .into_iter()
                .find(|image| image.digest == base.image.sha256);
            Some(same?.path)
        };
        let path = || {
            let moved = if base.image_path.exists() {
                None
            } else {
                stored()
            };
            moved.unwrap_or_else(|| base.image_path.clone())
        };
        Self {
            image: Some(self.image.clone().unwrap_or_else(path)),
            ..self.clone()
        }
    }

    /// `asked` is the same instance with the image that was named, if one was.
    async fn restore_once(
        &self,
        asked: &Self,
        name: &CheckpointName,
        reporter: &dyn Reporter,
    ) -> Result<RestoreCheckpointReport, Error> {
        // What a stop has left to be saved is not going to be.
        let mut held = self.hold_as_it_is("checkpoint restore", reporter).await?;
        let mut watch = Stopwatch::within(reporter, self.settings.ready_timeout);
        let found = async {
            let mut checkpoint = self.checkpoint(name)?;
            if let Some(damage) = checkpoint.disk_damage(false) {
                let checkpoint = name.clone();
                return Err(Error::CheckpointDamaged { checkpoint, damage });
            }
            if !self.settings.no_rotation {
                // A keychain takes its time to be opened.
                held.vault()?;
            }
            let prepare = held.prepare_restore(&mut checkpoint, asked);
            let (spec, reason) = watch.phase(Phase::Prepare, prepare).await?;
            Ok((checkpoint, spec, reason))
        };
        let (checkpoint, spec, reason) = match Box::pin(found).await {
            Ok(found) => found,
            Err(error) => {
                Box::pin(held.finish_stop_after_all(reporter)).await;
                return Err(error);
            }
        };
        let kept = held.secrets_to_keep(&checkpoint).await;

        // From here on the session is the checkpoint's, whatever becomes of the start.
        let ended = held.running.is_some();
        if let Some((record, _)) = held.running.as_ref().or(held.set_aside.as_ref()) {
            let alive = live_processes(&held.slot.paths, record)?;
            // Nothing of it is wanted, so there is nothing to be gentle about.
            watch.phase(Phase::Quit, kill(&alive)).await?;
        }
        let replace = async {
            let main = &held.slot.paths;
            checkpoint::put_in_place(main)
                .map_err(Error::file("replace", main.session().root()))?;
            held.slot.forget()?;
            self.drop_prepared(reporter).await
        };
        watch.phase(Phase::Commit, replace).await?;
        let mut source = match reason {
            None => continue_session(&held, &spec)?,
            Some(reason) => cold_session(&held, &spec, reason)?,
        };
        if source.kind == StartKind::Continued {
            source.kind = StartKind::Restored;
            source.kept = kept;
        }
        source.checkpoint = Some(name.clone());
        let start = Box::pin(held.start_on(&spec, source, watch)).await?;
        Ok(RestoreCheckpointReport {
            checkpoint: name.clone(),
            ended,
            start,
        })
    }
}

impl LockedInstance<'_> {
    /// Makes a session of `checkpoint`, beside the user's, and checks all that it needs. Says why its
    /// memory cannot be loaded, if it cannot.
    async fn prepare_restore(
        &self,
        checkpoint: &mut Checkpoint,
        asked: &Emulator,
    ) -> Result<(MachineSpec, Option<String>), Error> {
        let emulator = self.emulator;
        emulator.claim_ports()?;
        let prepared = emulator.prepare_for(&checkpoint.record.fingerprint).await?;
        let spec = &prepared.spec;
        self.check_other_ports(spec)?;
        let reason = unusable(emulator, checkpoint, spec).await?;
        let restored = self.slot.paths.restored();
        let made = self
            .make_session(checkpoint, &restored, reason.is_none())
            .await;
        let made = made.and_then(|()| {
            let base = Base::under(&emulator.home, &emulator.paths, &restored)?;
            let (path, content) = (&spec.image.path, spec.image_content());
            match base {
                Some(base) => {
                    let named = asked.image.is_some();
                    Ok(base.check(&emulator.paths, path, content, named)?)
                }
                None => Err(Error::from(StateError::SessionBase {
                    problem: format!("{} is gone", restored.disk().display()),
                })),
            }
        });
        if let Err(error) = made {
            // Nothing has changed yet; what cannot be removed, the next command removes.
            if let Err(left) = record::remove_folder(restored.root()) {
                tracing::debug!(%left, "a restored session is left");
            }
            return Err(error);
        }
        self.remember(&prepared)?;
        Ok((prepared.spec, reason))
    }

    /// Refuses if a port is taken that the running machine does not have.
    fn check_other_ports(&self, spec: &MachineSpec) -> Result<(), Error> {
        let ours = self.running.as_ref().map(|(_, vm)| &vm.endpoints);
        let is_ours = |port| ours.is_some_and(|ours| ours.iter().any(|end| end.port == port));
        let others = spec.endpoints.iter().filter(|end| !is_ours(end.port));
        self.check_ports(&others.cloned().collect::<Vec<_>>())
    }

    /// Puts the session into `restored`: a copy of the disk, and further names of the memory's files.
    async fn make_session(
        &self,
        checkpoint: &Checkpoint,
        restored: &SessionPaths,
        with_memory: bool,
    ) -> Result<(), Error> {
        make_private_folder(restored.root())?;
        let (from, to) = (checkpoint.clone(), restored.clone());
        // The folders that are shared now stay so: the user's word is later than the checkpoint.
        let folders = self.slot.paths.session().folders();
        let work = tokio::task::spawn_blocking(move || {
            let copy = |from: &std::path::Path, to: &std::path::Path| {
                copy_sparse(from, to).map_err(Error::file("copy", from))
            };
            session::begin(&to, &from.record.base)?;
            copy(&from.paths.disk(), &to.disk())?;
            if folders.try_exists().unwrap_or(true) {
                copy(&folders, &to.folders())?;
            }
            if with_memory {
                put_memory(&from, &to)?;
            }
            Ok::<_, Error>(())
        });
        match work.await {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    /// The values in force, if the restored guest may keep them: it has the very same, and the start of
    /// the machine that runs has made them.
    async fn secrets_to_keep(&self, checkpoint: &Checkpoint) -> Option<KeptSecrets> {
        let (_, vm) = self.running.as_ref()?;
        let wanted = checkpoint.record.secrets.as_ref()?;
        let made_at_ms = vm.secrets_made_at_ms();
        if self.emulator.settings.no_rotation || !vm.rotated || made_at_ms != wanted.made_at_ms {
            return None;
        }
        // Where they were put, which need not be the best place.
        let vault = self.emulator.recorded_vault().ok()??;
        match vault.load(Kept::Current).await {
            Ok(set) => {
                let set = set.filter(|set| set.mark() == wanted.mark)?;
                Some(KeptSecrets { set, made_at_ms })
            }
            Err(error) => {
                tracing::debug!(error = %chain(&error), "the secrets are rotated");
                None
            }
        }
    }
}

/// Gives the session in `session`, whose disk is there, the memory of `checkpoint`.
pub(in crate::instance) fn put_memory(
    checkpoint: &Checkpoint,
    session: &SessionPaths,
) -> Result<(), Error> {
    let from = &checkpoint.paths;
    link_or_copy(&from.ram(), &session.prepared_ram())?;
    link_or_copy(&from.device_state(), &session.device_state())?;
    let stamp =
        |path: std::path::PathBuf| FileStamp::of(&path).map_err(Error::file("look at", &path));
    let mut saved = checkpoint.saved(stamp(session.disk())?);
    // Those of further names are the same, those of copies are not.
    saved.ram.stamp = stamp(session.prepared_ram())?;
    if let Some(state) = &mut saved.device_state {
        state.stamp = stamp(session.device_state())?;
    }
    // Last: from here on the memory can be loaded. It is lost in a power cut at worst.
    Ok(record::write(
        &session.saved(),
        &saved,
        Durability::ThisBoot,
    )?)
}

/// Why the memory of `checkpoint` cannot be loaded, if it cannot.
async fn unusable(
    emulator: &Emulator,
    checkpoint: &mut Checkpoint,
    spec: &MachineSpec,
) -> Result<Option<String>, Error> {
    let name = &checkpoint.name;
    if emulator.settings.no_snapshot {
        return Ok(Some("EMULATOR_NO_SNAPSHOT is set".to_owned()));
    }
    let mismatches = checkpoint.record.fingerprint.mismatches(&spec.fingerprint);
    if !mismatches.is_empty() {
        let why = list(&mismatches);
        return Ok(Some(format!(
            "the checkpoint {name} cannot be resumed here: {why}"
        )));
    }
    let (looked, boot_id) = (checkpoint.clone(), spec.boot_id.clone());
    let look = tokio::task::spawn_blocking(move || looked.memory_damage(&boot_id, false));
    match look.await {
        Ok(Some(damage)) => {
            let why = format!("the memory of the checkpoint {name} cannot be used: {damage}");
            Ok(Some(why))
        }
        Ok(None) => {
            checkpoint.trust(&spec.boot_id)?;
            Ok(None)
        }
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}
