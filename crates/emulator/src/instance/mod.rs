//! An instance: opened, locked, recovered, and looked over before it is acted on.
//!
//! | module | what it is about |
//! |---|---|
//! | [`policy`] | what is done in which state: pure functions |
//! | `start`, `stop`, `capture`, `rotate`, `verify`, [`archive`] | the operations |
//! | `checkpoint` | named saved states, which are not used up |
//! | [`ahead`] | the next start's work, done while nobody waits |
//! | `put_away` | the steps in which a machine is saved and ended |
//! | `recover` | finishing or undoing what a killed command left |
//! | `prepare`, `choice`, `remembered` | what a machine is made of, and what is remembered of it |
//! | `clone`, `delete` | an instance that is to come, or to go |
//! | `here` | the instance that a folder has for itself |
//! | `idle` | stopping a machine that nothing uses |
//! | `other_ports` | what a start does where somebody has the instance's ports |
//! | [`lock`], [`lease`], `shared` | who acts on the instance, who uses it, and what all of a home share |

pub(crate) mod ahead;
pub mod archive;
pub(crate) mod capture;
pub(crate) mod checkpoint;
pub(crate) mod choice;
mod clock;
pub(crate) mod clone;
pub(crate) mod delete;
mod endpoints;
pub(crate) mod error;
mod folders;
pub(crate) mod here;
pub(crate) mod idle;
pub mod lease;
pub mod lock;
mod misplaced;
mod other_ports;
pub(crate) mod policy;
mod prepare;
mod put_away;
mod recover;
mod remembered;
pub(crate) mod rotate;
mod shared;
pub(crate) mod start;
pub(crate) mod stop;
pub(crate) mod tidy;
pub(crate) mod verify;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use self::lock::{Lock, LockError};
use self::recover::Recovered;
use crate::config::paths::{Home, InstanceName, InstancePaths, SlotName, make_private_folder};
use crate::config::variables::Settings;
use crate::instance::error::InstanceError as Error;
use crate::machine::error::MachineError;
use crate::machine::readiness::Endpoint;
use crate::machine::run_record::{RunRecord, RunningVm};
use crate::machine::slot::{self, Slot};
use crate::state::aside;
use crate::vault::places::{Places, Vault};
use progress::{Event, Reporter, Stopwatch};

/// One emulator: a name, its settings, and the folder that is the truth about it.
///
/// Nothing is held in memory between operations. Each one takes the instance's
/// lock, finishes or undoes what a killed command left, acts, and records.
#[derive(Clone, Debug)]
pub struct Emulator {
    pub(crate) settings: Settings,
    pub(crate) home: Home,
    pub(crate) name: InstanceName,
    pub(crate) paths: InstancePaths,
    pub(crate) image: Option<PathBuf>,
    /// Whether a start takes other ports where somebody has those of the instance.
    pub(crate) takes_free_ports: bool,
}

/// An instance whose lock is held and that is in no half-done state.
pub(crate) struct LockedInstance<'a> {
    pub emulator: &'a Emulator,
    /// The place of the machine that the user works with.
    pub slot: Slot,
    /// That machine, if there is one.
    pub running: Option<(RunRecord, RunningVm)>,
    /// One that a stop has set aside; there only for those who asked for the instance as it is.
    pub set_aside: Option<(RunRecord, RunningVm)>,
    vault: OnceLock<Vault>,
    _lock: Lock,
}

impl Emulator {
    /// The instance called `name`, with `image` in place of the one used last.
    pub fn new(settings: Settings, name: InstanceName, image: Option<PathBuf>) -> Self {
        let home = Home::new(settings.home.clone());
        let paths = home.instance(&name);
        Self {
            settings,
            home,
            name,
            paths,
            image,
            takes_free_ports: false,
        }
    }

    /// The same, whose starts take the next free block of ports for good where somebody has those of the instance, as
    /// does [`Self::capture_if_missing`].
    #[must_use]
    pub fn taking_free_ports(self) -> Self {
        Self {
            takes_free_ports: true,
            ..self
        }
    }

    /// Its name.
    pub fn name(&self) -> &InstanceName {
        &self.name
    }

    /// The home folder that it is in.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// The instance's files.
    pub fn paths(&self) -> &InstancePaths {
        &self.paths
    }

    /// The instances of this home, in the order of their names, which is the order in which
    /// several locks are taken.
    pub fn instance_names(&self) -> Result<Vec<InstanceName>, Error> {
        let listed = self.home.instance_names();
        listed.map_err(Error::file("list", &self.home.instances()))
    }

    /// Another instance of this home, by the same settings. Need not exist.
    #[must_use]
    pub fn sibling(&self, name: InstanceName) -> Self {
        Self::new(self.settings.clone(), name, None)
    }

    /// Each instance of this home, in the order of their names.
    pub(crate) fn every_instance(&self) -> Result<Vec<Self>, Error> {
        let names = self.instance_names()?.into_iter();
        Ok(names.map(|name| self.sibling(name)).collect())
    }

    /// The image that is used in place of the one used last, if one was given.
    pub fn chosen_image(&self) -> Option<&Path> {
        self.image.as_deref()
    }

    /// The settings that operations go by.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes the lock, cleans up after commands that were killed, and finishes what a stop has left to
    /// be done behind it.
    pub(crate) async fn hold(
        &self,
        command: &str,
        reporter: &dyn Reporter,
    ) -> Result<LockedInstance<'_>, Error> {
        let mut held = self.hold_as_it_is(command, reporter).await?;
        held.finish_stop(&mut Stopwatch::new(reporter)).await?;
        Ok(held)
    }

    /// The same with a machine that was set aside left so.
    pub(crate) async fn hold_as_it_is(
        &self,
        command: &str,
        reporter: &dyn Reporter,
    ) -> Result<LockedInstance<'_>, Error> {
        self.make_folders()?;
        // The holder may be booting a guest, so allow for that.
        let limit = self.settings.ready_timeout + Duration::from_secs(60);
        let path = self.paths.main().lock();
        let lock = Lock::acquire(&path, command, limit, reporter).await;
        let lock = match lock {
            // It was deleted while it was waited for: this is another one by the same name.
            Err(LockError::Gone { .. }) => {
                self.make_folders()?;
                Lock::acquire(&path, command, limit, reporter).await?
            }
            lock => lock?,
        };
        self.held(lock, reporter).await
    }

    /// The same if nobody has the lock; `None` if somebody has.
    pub(crate) async fn try_hold(
        &self,
        command: &str,
        reporter: &dyn Reporter,
    ) -> Result<Option<LockedInstance<'_>>, Error> {
        let held = self.try_hold_as_it_is(command, reporter).await?;
        let Some(mut held) = held else {
            return Ok(None);
        };
        held.finish_stop(&mut Stopwatch::new(reporter)).await?;
        Ok(Some(held))
    }

    /// The same with a machine that was set aside left so.
    pub(crate) async fn try_hold_as_it_is(
        &self,
        command: &str,
        reporter: &dyn Reporter,
    ) -> Result<Option<LockedInstance<'_>>, Error> {
        self.make_folders()?;
        match Lock::try_acquire(&self.paths.main().lock(), command) {
            Ok(Some(lock)) => Ok(Some(self.held(lock, reporter).await?)),
            Ok(None) | Err(LockError::Gone { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The other instance of this home whose machine has `port`.
    fn instance_at(&self, port: u16) -> Result<Option<InstanceName>, Error> {
        let mut others = self.every_instance()?.into_iter();
        let has_it = |other: &Self| {
            // Another instance's damaged record is that instance's trouble.
            let record = slot::record_of(&other.paths.main()).ok().flatten();
            let vm = record.as_ref().and_then(RunRecord::running);
            vm.is_some_and(|vm| vm.endpoints.iter().any(|end| end.port == port))
        };
        let other = others.find(|other| other.name != self.name && has_it(other));
        Ok(other.map(|other| other.name))
    }

    fn make_folders(&self) -> Result<(), Error> {
        make_private_folder(self.paths.root())?;
        make_private_folder(&self.home.cache())?;
        Ok(())
    }

    async fn held(&self, lock: Lock, reporter: &dyn Reporter) -> Result<LockedInstance<'_>, Error> {
        self.put_misplaced_aside(reporter)?;
        make_private_folder(&self.paths.snapshots())?;
        make_private_folder(&self.paths.main().logs())?;
        self.remove_leftovers();
        for (folder, depth) in [
            (self.paths.root(), 2),
            (self.home.path(), 0),
            (&self.home.cache(), 1),
            (self.home.image_store().folder(), 1),
        ] {
            record::unfinished::sweep(folder, depth);
        }
        let slot = Slot::open(self.paths.main())?;
        self.mend_instance_record(reporter)?;
        let (running, set_aside) = match self.recover(&slot, reporter).await? {
            Recovered::Nothing => (None, None),
            Recovered::Running(record, vm) => (Some((*record, *vm)), None),
            Recovered::SetAside(record, vm) => (None, Some((*record, *vm))),
        };
        self.tell_of_empty_session(reporter);
        for (record, _) in running.iter().chain(&set_aside) {
            go_on(record, reporter)?;
        }
        if running.is_none() && set_aside.is_none() {
            self.leave_shared_ports(reporter)?;
        }
        if let Err(error) = record::reserve::keep(self.paths.root()) {
            // Just then there is nothing to keep it from.
            tracing::debug!(%error, "there is no reserve for records");
        }
        Ok(LockedInstance {
            emulator: self,
            slot,
            running,
            set_aside,
            vault: OnceLock::new(),
            _lock: lock,
        })
    }

    /// Has the session's saved memory, which fits its disk no longer, out of the way.
    pub(crate) fn put_memory_aside(&self) -> Result<(), Error> {
        let ram = self.paths.main().session().ram();
        let aside = aside::put(&self.paths.slot(SlotName::Ahead), &ram);
        aside.map_err(Error::file("put aside", &ram))
    }

    /// Frees the room of what was put aside.
    pub(crate) fn remove_aside(&self) -> Result<(), Error> {
        let ahead = self.paths.slot(SlotName::Ahead);
        aside::remove(&ahead).map_err(Error::file("remove", &ahead.used()))
    }

    /// The places of this host for the instance's secrets, best first.
    pub(crate) fn places(&self, runtime_folder: &Path) -> Result<Places, Error> {
        let record = self.paths.secret_place();
        let places = Places::of(record, self.home.path(), &self.name, runtime_folder);
        Ok(places.map_err(MachineError::from)?)
    }
}

/// Has QEMU go on if a signal has stopped it: it answers nobody, and what comes next asks it.
fn go_on(record: &RunRecord, reporter: &dyn Reporter) -> Result<(), Error> {
    let Some(process) = &record.process else {
        return Ok(());
    };
    if process.is_stopped().map_err(MachineError::Process)? {
        reporter.report(Event::Notice("A signal had stopped QEMU. Continuing it."));
        process.resume().map_err(MachineError::Process)?;
    }
    Ok(())
}

impl LockedInstance<'_> {
    /// The place for new values. It begins to be opened at the first call, so
    /// an early one saves time later.
    pub(crate) fn vault(&self) -> Result<&Vault, Error> {
        if let Some(vault) = self.vault.get() {
            return Ok(vault);
        }
        let vault = Vault::best(self.emulator.places(&self.slot.runtime_folder)?)?;
        Ok(self.vault.get_or_init(|| vault))
    }

    /// Does `work` with the running machine of `record`, but not past its end: what fails then fails
    /// because QEMU has ended.
    pub(crate) async fn while_it_runs<T, E: From<MachineError>>(
        &self,
        record: &RunRecord,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let process = record.process.as_ref();
        self.slot.while_alive(process, work).await
    }

    /// Refuses what cannot be done while the emulator runs.
    pub(crate) fn refuse_running(&self, request: &'static str) -> Result<(), Error> {
        match self.running {
            Some(_) => Err(Error::Running { request }),
            None => Ok(()),
        }
    }

    /// Refuses if a port is taken, naming all that are.
    pub(crate) fn check_ports(&self, endpoints: &[Endpoint]) -> Result<(), Error> {
        let mut taken = crate::machine::ports::taken(endpoints);
        for taken in &mut taken {
            if let Some(instance) = self.emulator.instance_at(taken.port)? {
                taken.owner = Some(format!("the instance {instance}"));
            }
        }
        if taken.is_empty() {
            Ok(())
        } else {
            Err(MachineError::PortsTaken { taken }.into())
        }
    }
}
