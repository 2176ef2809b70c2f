//! An instance's values, wherever they can be kept at the moment.
//!
//! A start asks the places in the order of [`super`]'s table and stays with the
//! first that answers. One that fails in the middle is left for the next, with
//! the reason, so that the emulator runs whatever a keychain does. Which place
//! it is, and why, stands in the instance's `secrets.json`, never a value: other
//! commands read there where to look, and `status` and `doctor` what to warn of.

mod forecast;
mod owner;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

#[cfg(target_os = "linux")]
use secrets::KernelKeyring;
use secrets::{
    Keychain, KeychainEntries, KeychainError, Owner, RuntimeFile, SecretSet, SecretStore, Slot,
    StoreError, StoreKind,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

pub(crate) use self::forecast::{Forecast, examine};
pub(crate) use self::owner::PlaceOwner;

use super::VaultError;
use super::worker::{Answer, Worker};
use crate::config::paths::InstanceName;
use failure::chain;

use progress::{Event, Reporter};
use record::{self, Durability, Record};

/// How long a place may take.
#[derive(Clone, Copy)]
struct Limits {
    /// For its first answer. A keychain may have to be started, and may ask its
    /// user to unlock it.
    first: Duration,
    /// For each further one, which should be milliseconds.
    further: Duration,
}

const LIMITS: Limits = Limits {
    first: Duration::from_secs(10),
    further: Duration::from_secs(5),
};

/// `secrets.json`: where the values of an instance are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub store: StoreKind,
    /// Why it is not the keychain, where there is one that failed.
    pub instead_of_keychain: Option<String>,
    /// Whose they are there; records of earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<PlaceOwner>,
}

impl Record for Place {
    const FORMAT: &'static str = "stack-emulator-secret-place";
    const VERSION: u32 = 1;
}

impl Place {
    /// What the user should know about it; `None` if all is well.
    pub(crate) fn warning(&self) -> Option<String> {
        let place = self.store.describe();
        match (&self.instead_of_keychain, self.store) {
            (Some(reason), _) => Some(format!(
                "{reason}. Until the next start, the secrets are in {place}"
            )),
            (None, StoreKind::RuntimeFile) => Some(without_keychain()),
            (None, StoreKind::Keychain | StoreKind::KernelKeyring) => None,
        }
    }
}

/// What the user should know where there is nothing better than a file.
pub(crate) fn without_keychain() -> String {
    let place = StoreKind::RuntimeFile.describe();
    if cfg!(target_os = "linux") {
        format!(
            "this host has neither a keychain nor a kernel keyring. The secrets are in {place}, \
             which only you can read and which is gone after a restart"
        )
    } else {
        format!("this host has no keychain. The secrets are in {place}")
    }
}

type Store = Box<dyn SecretStore>;

/// A place that may be used, not yet asked.
#[derive(Clone)]
pub(crate) struct Candidate {
    kind: StoreKind,
    open: Arc<dyn Fn() -> Result<Store, VaultError> + Send + Sync>,
    limits: Limits,
}

impl Candidate {
    pub(crate) fn new(
        kind: StoreKind,
        open: impl Fn() -> Result<Store, VaultError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            kind,
            open: Arc::new(open),
            limits: LIMITS,
        }
    }

    fn begin(&self) -> Result<Opened, VaultError> {
        let open = self.open.clone();
        Ok(Opened {
            kind: self.kind,
            worker: Worker::begin(self.kind, move || open())?,
            limits: self.limits,
            answered: false,
            early: None,
        })
    }
}

/// The places that an instance may use.
pub(crate) struct Places {
    /// The instance's `secrets.json`.
    pub record: PathBuf,
    pub owner: Option<PlaceOwner>,
    /// Best first.
    pub candidates: Vec<Candidate>,
}

impl Places {
    /// Those of this host for the instance of `home` whose `secrets.json` is `record`.
    pub(crate) fn of(
        record: PathBuf,
        home: &Path,
        instance: &InstanceName,
        runtime_folder: &Path,
    ) -> Result<Self, VaultError> {
        let owner = PlaceOwner::of(&record, home)?;
        let mark = owner.as_ref().map(|owner| owner.mark.clone());
        let owner_there = Owner {
            instance: instance.to_string(),
            home: mark.unwrap_or_else(|| super::mark_by_path(home)),
        };
        Ok(Self {
            record,
            owner,
            candidates: candidates(owner_there, runtime_folder),
        })
    }
}

fn candidates(owner: Owner, runtime_folder: &Path) -> Vec<Candidate> {
    let mut places = Vec::with_capacity(3);
    #[cfg(target_os = "linux")]
    let same = owner.clone();
    places.push(Candidate::new(StoreKind::Keychain, move || {
        let keychain = Keychain::open()?;
        Ok(Box::new(KeychainEntries::new(keychain, owner.clone())))
    }));
    #[cfg(target_os = "linux")]
    places.push(Candidate::new(StoreKind::KernelKeyring, move || {
        Ok(Box::new(KernelKeyring::open(same.clone())?))
    }));
    let folder = runtime_folder.to_owned();
    places.push(Candidate::new(StoreKind::RuntimeFile, move || {
        // No other system has a file system in memory that is always there.
        #[cfg(target_os = "linux")]
        let folder = in_memory(&folder, Path::new("/dev/shm"), is_in_memory)?;
        Ok(Box::new(RuntimeFile::new(&folder)))
    }));
    places
}

/// Removes the runtime folder of an instance, and the one in memory that stands in for it.
pub(crate) fn remove_folders(runtime_folder: &Path) -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    record::remove_folder(&other_folder(runtime_folder, Path::new("/dev/shm")).1)?;
    record::remove_folder(runtime_folder)
}

/// The folder in `shared` that stands in for a runtime folder, after the one that it lies in.
#[cfg(target_os = "linux")]
fn other_folder(runtime_folder: &Path, shared: &Path) -> (PathBuf, PathBuf) {
    let name = runtime_folder.file_name().unwrap_or_default();
    let user = rustix::process::getuid().as_raw();
    let base = shared.join(format!("stack-emulator-{user}"));
    let other = base.join(name);
    (base, other)
}

/// `folder` itself if it is in memory, else one like it that is.
///
/// Without `XDG_RUNTIME_DIR` the runtime folder is below `/tmp`, which may be on
/// a disk; what is written there may be read from that disk years later.
///
/// # Errors
///
/// [`VaultError::OnDisk`] if neither it nor `shared` is in memory.
#[cfg(target_os = "linux")]
fn in_memory(
    folder: &Path,
    shared: &Path,
    backed: impl Fn(&Path) -> bool,
) -> Result<PathBuf, VaultError> {
    if backed(folder) {
        return Ok(folder.to_owned());
    }
    if !backed(shared) {
        let path = folder.to_owned();
        return Err(VaultError::OnDisk { path });
    }
    let (base, other) = other_folder(folder, shared);
    crate::config::paths::make_private_folder(&base)?;
    crate::config::paths::make_private_folder(&other)?;
    Ok(other)
}

#[cfg(target_os = "linux")]
fn is_in_memory(path: &Path) -> bool {
    /// `TMPFS_MAGIC` and `RAMFS_MAGIC` of `statfs(2)`.
    const MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];
    rustix::fs::statfs(path)
        .is_ok_and(|found| u64::try_from(found.f_type).is_ok_and(|kind| MEMORY.contains(&kind)))
}

/// A place that has been asked, or is about to be.
struct Opened {
    kind: StoreKind,
    worker: Worker<Store>,
    limits: Limits,
    answered: bool,
    /// The sets, asked for ahead of time.
    early: Option<Answer<Vec<SecretSet>>>,
}

/// Both sets of a place, as far as they are there.
fn both(store: &dyn SecretStore) -> Result<Vec<SecretSet>, StoreError> {
    let sets = [store.load(Slot::Current)?, store.load(Slot::Pending)?];
    Ok(sets.into_iter().flatten().collect())
}

impl Opened {
    /// Asks for both sets, so that they are there when they are needed.
    fn read_ahead(&mut self) {
        self.early = Some(self.worker.submit(|store| both(store.as_ref())));
    }

    async fn known(&mut self) -> Result<Vec<SecretSet>, VaultError> {
        let Some(early) = self.early.take() else {
            return self.ask("read", both).await;
        };
        let sets = self.worker.wait(early, "read", self.limits.first).await;
        self.answered |= sets.is_ok();
        sets
    }

    async fn ask<T: Send + 'static>(
        &mut self,
        action: &'static str,
        work: impl FnOnce(&dyn SecretStore) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, VaultError> {
        let limit = if self.answered {
            self.limits.further
        } else {
            self.limits.first
        };
        let answer = self
            .worker
            .ask(action, limit, move |store| work(store.as_ref()))
            .await;
        self.answered |= answer.is_ok();
        answer
    }

    /// Empties `slots`. Where that fails, what stays is of no use to anybody
    /// once the guest holds other values or is gone, so it is a warning.
    async fn forget_in(&mut self, slots: &'static [Slot], reporter: &dyn Reporter) {
        let forgotten = self
            .ask("remove", |store| {
                slots.iter().try_for_each(|slot| store.forget(*slot))
            })
            .await;
        match forgotten {
            // A place that is gone has taken its values along.
            Ok(()) => {}
            Err(error) if error.is_absent() => {}
            Err(error) => {
                let text = format!("Old secrets could not be removed: {}.", chain(&error));
                reporter.report(Event::Warning(&text));
            }
        }
    }
}

/// Where an instance's values are put and found.
pub(crate) struct Vault {
    record: PathBuf,
    state: Mutex<State>,
}

struct State {
    opened: Opened,
    /// Best first.
    next: std::vec::IntoIter<Candidate>,
    instead_of_keychain: Option<String>,
    /// That the values go into a file has been said.
    file_told: bool,
    /// Whose values they are.
    owner: Option<PlaceOwner>,
    /// Where the last values are, if they are not where new ones are going.
    former: Option<Opened>,
    /// What the record says, as far as known.
    recorded: Option<Place>,
}

impl Vault {
    /// The best of `places`, with the others to fall back on.
    ///
    /// Begins to open and read it in the background.
    pub(crate) fn best(places: Places) -> Result<Self, VaultError> {
        let recorded = recorded(&places.record)?;
        let mut vault = Self::of(places, recorded)?;
        let state = vault.state.get_mut();
        state.opened.read_ahead();
        if let Some(former) = &mut state.former {
            former.read_ahead();
        }
        Ok(vault)
    }

    /// The place where the instance's values were put last, and no other;
    /// `None` if there are none.
    pub(crate) fn recorded(mut places: Places) -> Result<Option<Self>, VaultError> {
        let Some(place) = recorded(&places.record)? else {
            return Ok(None);
        };
        let wanted = |candidate: &Candidate| candidate.kind == place.store;
        places.candidates.retain(wanted);
        Self::of(places, Some(place)).map(Some)
    }

    fn of(places: Places, recorded: Option<Place>) -> Result<Self, VaultError> {
        let Places {
            record,
            owner,
            candidates,
        } = places;
        let former = recorded
            .as_ref()
            .and_then(|place| candidates.iter().find(|other| other.kind == place.store))
            .filter(|former| {
                candidates
                    .first()
                    .is_some_and(|first| first.kind != former.kind)
            })
            .map(Candidate::begin)
            .transpose()?;
        let mut next = candidates.into_iter();
        let Some(first) = next.next() else {
            return Err(VaultError::Place(StoreError::Absent {
                kind: recorded.map_or(StoreKind::RuntimeFile, |place| place.store),
                source: KeychainError::NoDefaultStore,
            }));
        };
        Ok(Self {
            record,
            state: Mutex::new(State {
                opened: first.begin()?,
                next,
                instead_of_keychain: None,
                file_told: false,
                owner,
                former,
                recorded,
            }),
        })
    }

    /// The set in `slot`, from the present place alone.
    pub(crate) async fn load(&self, slot: Slot) -> Result<Option<SecretSet>, VaultError> {
        let mut state = self.state.lock().await;
        state
            .opened
            .ask("read", move |store| store.load(slot))
            .await
    }

    /// Every set that the guest may hold, as far as is known. A place that fails
    /// here is not used for what follows either.
    pub(crate) async fn known(
        &self,
        reporter: &dyn Reporter,
    ) -> Result<Vec<SecretSet>, VaultError> {
        let mut state = self.state.lock().await;
        let mut sets = loop {
            match state.opened.known().await {
                Ok(sets) => break sets,
                Err(error) => state.fall_back(error, reporter)?,
            }
        };
        if let Some(former) = &mut state.former {
            match former.known().await {
                Ok(more) => sets.extend(more),
                // Only used to prove that they are refused.
                Err(error) => tracing::debug!(%error, "the last values cannot be read"),
            }
        }
        Ok(sets)
    }

    /// Puts `set` into `slot` of the first place that takes it, and writes down
    /// which one that is.
    pub(crate) async fn save(
        &self,
        slot: Slot,
        set: &SecretSet,
        reporter: &dyn Reporter,
    ) -> Result<(), VaultError> {
        let mut state = self.state.lock().await;
        loop {
            // First the record: a crash in between leaves a record of a place
            // without values, which is harmless, and not values that nobody finds.
            state.write_down(&self.record)?;
            let set = set.clone();
            let answer = state
                .opened
                .ask("store", move |store| store.save(slot, &set))
                .await;
            match answer {
                Ok(()) => {
                    state.tell_of_file(reporter);
                    return Ok(());
                }
                Err(error) => state.fall_back(error, reporter)?,
            }
        }
    }

    /// Makes the pending values the ones in force: they are proved.
    pub(crate) async fn promote(
        &self,
        set: &SecretSet,
        reporter: &dyn Reporter,
    ) -> Result<(), VaultError> {
        self.save(Slot::Current, set, reporter).await?;
        let mut state = self.state.lock().await;
        state
            .opened
            .forget_in(&[Slot::Pending, Slot::Next], reporter)
            .await;
        if let Some(mut former) = state.former.take() {
            former.forget_in(&Slot::ALL, reporter).await;
        }
        Ok(())
    }

    /// The values of the machine that is prepared for the next start, wherever they are. A place that
    /// fails has none: the start then makes new ones.
    pub(crate) async fn next(&self) -> Option<SecretSet> {
        let mut state = self.state.lock().await;
        let State { opened, former, .. } = &mut *state;
        for place in std::iter::once(opened).chain(former) {
            match place.ask("read", |store| store.load(Slot::Next)).await {
                Ok(Some(set)) => return Some(set),
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "the next values cannot be read"),
            }
        }
        None
    }

    /// Removes the values of a machine that was prepared, and is no more.
    pub(crate) async fn forget_next(&self, reporter: &dyn Reporter) {
        let mut state = self.state.lock().await;
        state.opened.forget_in(&[Slot::Next], reporter).await;
    }

    /// Removes all values, and then the word of where they are.
    pub(crate) async fn forget(&self, reporter: &dyn Reporter) -> Result<(), VaultError> {
        let mut state = self.state.lock().await;
        state.opened.forget_in(&Slot::ALL, reporter).await;
        record::remove_file(&self.record).map_err(|source| VaultError::Forget {
            path: self.record.clone(),
            source,
        })
    }

    /// Where the values are, and why there.
    pub(crate) async fn place(&self) -> Place {
        self.state.lock().await.place()
    }
}

impl State {
    fn place(&self) -> Place {
        Place {
            store: self.opened.kind,
            instead_of_keychain: self.instead_of_keychain.clone(),
            owner: self.owner.clone(),
        }
    }

    fn write_down(&mut self, record: &Path) -> Result<(), VaultError> {
        let place = self.place();
        if self.recorded.as_ref() != Some(&place) {
            record::write(record, &place, Durability::PowerCut)?;
            self.recorded = Some(place);
        }
        Ok(())
    }

    /// Says once that the values are in a file, which nobody may have expected.
    fn tell_of_file(&mut self, reporter: &dyn Reporter) {
        if self.opened.kind == StoreKind::RuntimeFile
            && !std::mem::replace(&mut self.file_told, true)
            && let Some(warning) = self.place().warning()
        {
            let text = format!("{}.", capitalized(&warning));
            reporter.report(Event::Warning(&text));
        }
    }

    /// Goes on with the next place, or gives up with `error`.
    fn fall_back(&mut self, error: VaultError, reporter: &dyn Reporter) -> Result<(), VaultError> {
        let Some(next) = self.next.next() else {
            return Err(error);
        };
        let reason = chain(&error);
        tracing::debug!(
            reason,
            next = next.kind.describe(),
            "the next place for the secrets"
        );
        let next = match self.former.take() {
            Some(former) if former.kind == next.kind => former,
            former => {
                self.former = former;
                next.begin()?
            }
        };
        // That a host has no keychain is as it is; that one fails is news.
        if self.opened.kind == StoreKind::Keychain && !error.is_absent() {
            reporter.report(Event::Warning(&format!(
                "{}. Until the next start, the secrets are in {}.",
                capitalized(&reason),
                next.kind.describe()
            )));
            self.instead_of_keychain = Some(reason);
            self.file_told = next.kind == StoreKind::RuntimeFile;
        }
        self.opened = next;
        Ok(())
    }
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}

/// What `secrets.json` at `path` says, if it is there.
pub(crate) fn recorded(path: &Path) -> Result<Option<Place>, VaultError> {
    Ok(record::read_optional(path)?)
}

#[cfg(test)]
mod tests;
