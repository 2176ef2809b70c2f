//! An instance: opened, locked, recovered, and looked over before it is acted on.

pub mod archive;
pub(crate) mod capture;
pub(crate) mod choice;
mod clock;
pub mod lease;
pub mod lock;
pub mod policy;
mod remembered;
pub(crate) mod rotate;
pub(crate) mod start;
pub(crate) mod stop;
pub(crate) mod verify;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use host::{IdentityError, ProcessIdentity};
use images::Image;
use qemu::process::find_by_token;
use qemu::stop::StopLimits;
use qemu::{Accelerator, Disk, Forward, Machine, Monitor, QemuBinary, Sockets};

use crate::config::paths::{Home, InstanceName, InstancePaths, make_private_folder};
use crate::config::variables::Settings;
use crate::error::Error;
use crate::instance::lock::Lock;
use crate::instance::policy::Life;
use crate::machine::bring_up::MIGRATION_LIMIT;
use crate::machine::config_disk::ConfigDisk;
use crate::machine::fingerprint::{Content, Fingerprint};
use crate::machine::folders;
use crate::machine::ports;
use crate::machine::readiness::Endpoint;
use crate::machine::run_record::{InstanceRecord, Purpose, RunRecord, RunningVm};
use crate::progress::{Event, Reporter};
use crate::state::session;
use crate::vault::places::{self, Vault};
use record::{self, Durability};

/// Root ports kept free for folders that are shared with a running VM.
pub(crate) const SHARED_SLOTS: u8 = 8;
/// QEMU's answers on its monitor take milliseconds; this is for a machine that
/// is swapping.
pub(crate) const MONITOR_LIMIT: Duration = Duration::from_secs(20);
/// How long a killed process may take to be gone.
const KILL_LIMIT: Duration = Duration::from_secs(20);

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
}

/// An instance whose lock is held and that is in no half-done state.
pub(crate) struct Held<'a> {
    pub emulator: &'a Emulator,
    /// Marks the instance's QEMU in the process list.
    pub token: String,
    pub runtime_folder: PathBuf,
    pub running: Option<(RunRecord, RunningVm)>,
    vault: OnceLock<Vault>,
    _lock: Lock,
}

/// Everything that a boot or a resume is made from.
pub(crate) struct Prepared {
    pub binary: QemuBinary,
    pub accelerator: Accelerator,
    pub image: Image,
    pub image_content: Content,
    pub endpoints: Vec<Endpoint>,
    pub guest_ports: BTreeMap<String, u16>,
    pub config: ConfigDisk,
    pub fingerprint: Fingerprint,
    pub boot_id: String,
    /// The instance record, if it changed.
    pub to_remember: Option<InstanceRecord>,
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

    /// The settings that operations go by.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes the lock and cleans up after commands that were killed.
    pub(crate) async fn hold(
        &self,
        command: &str,
        reporter: &dyn Reporter,
    ) -> Result<Held<'_>, Error> {
        self.make_folders()?;
        // Whoever holds it may be booting a guest, so allow for that.
        let limit = self.settings.ready_timeout + Duration::from_secs(60);
        let lock = Lock::acquire(&self.paths.lock(), command, limit, reporter).await?;
        self.held(lock, reporter).await
    }

    /// The same if nobody has the lock; `None` if somebody has.
    pub(crate) async fn try_hold(
        &self,
        command: &str,
        reporter: &dyn Reporter,
    ) -> Result<Option<Held<'_>>, Error> {
        self.make_folders()?;
        match Lock::try_acquire(&self.paths.lock(), command)? {
            Some(lock) => self.held(lock, reporter).await.map(Some),
            None => Ok(None),
        }
    }

    fn make_folders(&self) -> Result<(), Error> {
        for folder in [
            self.paths.root().to_owned(),
            self.paths.snapshots(),
            self.paths.root().join("logs"),
            self.home.cache(),
        ] {
            make_private_folder(&folder)?;
        }
        Ok(())
    }

    async fn held(&self, lock: Lock, reporter: &dyn Reporter) -> Result<Held<'_>, Error> {
        let runtime_folder = self.paths.runtime_folder()?;
        let token = self.paths.token()?;
        self.mend_instance_record(reporter)?;
        let running = self.recover(&token, reporter).await?;
        Ok(Held {
            emulator: self,
            token,
            runtime_folder,
            running,
            vault: OnceLock::new(),
            _lock: lock,
        })
    }

    /// Cleans up after an operation whose future was dropped, as the next
    /// operation would.
    ///
    /// If another process has the lock by now, that one has done it.
    pub async fn recover_interrupted(&self, reporter: &dyn Reporter) -> Result<(), Error> {
        if !self.paths.lock().exists() {
            return Ok(());
        }
        match Lock::try_acquire(&self.paths.lock(), "recovery")? {
            Some(_lock) => self.recover(&self.paths.token()?, reporter).await.map(drop),
            None => Ok(()),
        }
    }

    /// Finishes or undoes what is half-done; returns the VM that runs, if any.
    async fn recover(
        &self,
        token: &str,
        reporter: &dyn Reporter,
    ) -> Result<Option<(RunRecord, RunningVm)>, Error> {
        let path = self.paths.run_record();
        let record: RunRecord = match record::read_optional(&path) {
            Ok(Some(record)) => record,
            Ok(None) => {
                // The record goes last, so nothing should be there; but files
                // can be lost, and a QEMU that nobody knows holds the ports.
                kill(&find_by_token(token, None)?).await?;
                self.remove_unfinished_capture()?;
                return Ok(None);
            }
            Err(error) => {
                reporter.report(Event::Warning(&format!(
                    "The record of the virtual machine is damaged, so it is ended; its disk is kept. ({error})"
                )));
                kill(&find_by_token(token, None)?).await?;
                self.remove_unfinished_capture()?;
                self.forget_run()?;
                return Ok(None);
            }
        };
        let alive = record.live_processes(token)?;
        if alive.is_empty() {
            // One that is exiting still has its ports and the locks of its disks.
            kill(record.process.as_slice()).await?;
        }
        match record.purpose.clone() {
            // What an interrupted rotation left is settled by whoever asks for
            // the secrets: the machine runs with one set or the other.
            Purpose::Running(vm) | Purpose::Rotating(vm) if !alive.is_empty() => {
                return Ok(Some((record, *vm)));
            }
            Purpose::Running(_) | Purpose::Rotating(_) => {
                reporter.report(Event::Notice(
                    "The virtual machine ended without being stopped; its disk is kept.",
                ));
            }
            Purpose::Saving(vm) if !alive.is_empty() => {
                reporter.report(Event::Notice(
                    "A stop was interrupted; the virtual machine runs on.",
                ));
                self.undo_saving(&record, reporter).await?;
                let record = RunRecord {
                    purpose: Purpose::Running(vm.clone()),
                    ..record
                };
                record::write(&path, &record, Durability::ThisBoot)?;
                return Ok(Some((record, *vm)));
            }
            // The process has ended: the session is saved if `saved.json` is
            // there, and a disk alone otherwise.
            Purpose::Saving(_) => {}
            Purpose::Starting { fresh_disk } => {
                kill(&alive).await?;
                if fresh_disk {
                    self.drop_session()?;
                }
            }
            Purpose::Capturing => {
                kill(&alive).await?;
                self.remove_unfinished_capture()?;
            }
        }
        self.forget_run()?;
        Ok(None)
    }

    /// Lets a VM run on whose stop was cut short.
    async fn undo_saving(&self, record: &RunRecord, reporter: &dyn Reporter) -> Result<(), Error> {
        let failed = |action| move |source| Error::Monitor { action, source };
        let sockets = Sockets::in_dir(&record.runtime_folder)?;
        let (monitor, _) = Monitor::connect(&sockets, MONITOR_LIMIT)
            .await
            .map_err(failed("answer"))?;
        // Not cancelled: QEMU can crash over that, and would take the guest with it.
        qemu::migration::wait_ended(&monitor, MIGRATION_LIMIT)
            .await
            .map_err(failed("finish saving"))?;
        session::consume(&self.paths.session())?;
        monitor
            .cont(MONITOR_LIMIT)
            .await
            .map_err(failed("let the guest run on"))?;
        session::drop_memory(&self.paths.session())?;
        folders::attach_all(&self.paths, &self.settings, &monitor, &sockets, reporter).await?;
        monitor.close().await;
        Ok(())
    }

    pub(crate) fn remove_unfinished_capture(&self) -> Result<(), Error> {
        let unfinished = self.paths.capture_in_progress();
        record::remove_folder(unfinished.root()).map_err(Error::file("remove", unfinished.root()))
    }

    pub(crate) fn drop_session(&self) -> Result<(), Error> {
        let session = self.paths.session();
        session::remove(&session).map_err(Error::file("remove", session.root()))
    }

    pub(crate) fn forget_run(&self) -> Result<(), Error> {
        let path = self.paths.run_record();
        record::remove_file(&path).map_err(Error::file("remove", &path))
    }

    /// The places of this host for the instance's secrets, best first.
    pub(crate) fn places(&self, runtime_folder: &Path) -> Vec<places::Candidate> {
        places::candidates(self.home.path(), &self.name, runtime_folder)
    }

    /// The QEMU to use, and what makes it fast.
    pub(crate) async fn find_qemu(&self) -> Result<(QemuBinary, Accelerator), Error> {
        let (arch, cache) = (self.settings.arch, self.home.cache());
        let binary = QemuBinary::find_cached(arch, self.settings.qemu.as_deref(), &cache).await?;
        let accelerator = match self.settings.accelerator {
            Some(accelerator) => accelerator,
            None => {
                qemu::accel::probe(&binary, &cache, false)
                    .await?
                    .accelerator
            }
        };
        Ok((binary, accelerator))
    }

    /// After an operation that failed because the accelerator did: has the next
    /// one use another. Gives `error` back if it was something else, or if the
    /// user insists on that accelerator.
    pub(crate) async fn replace_accelerator(
        &self,
        error: Error,
        reporter: &dyn Reporter,
    ) -> Result<(), Error> {
        let Some(failed) = error
            .failed_accelerator()
            .filter(|_| self.settings.accelerator.is_none())
        else {
            return Err(error);
        };
        let (binary, _) = self.find_qemu().await?;
        let detail = "QEMU reported an internal error while it ran a guest";
        let others = qemu::accel::distrust(&binary, &self.home.cache(), failed, detail).await?;
        reporter.report(Event::Warning(&format!(
            "{failed} failed while it ran the guest; trying again with {}. \
             `stack-emulator doctor` says more.",
            others.accelerator
        )));
        Ok(())
    }

    /// Looks at QEMU, accelerator, image, ports and settings; changes nothing.
    pub(crate) async fn prepare(&self) -> Result<Prepared, Error> {
        let (binary, accelerator) = self.find_qemu().await?;
        let remembered = self.remembered()?;
        let path = self.image_to_use(&remembered);
        if !path.exists() {
            return Err(Error::NoImage { path });
        }
        let image = Image::open(&path)?;
        self.check_size(&image)?;
        let image_content = self.image_content(&image, remembered.image_content.as_ref())?;
        let qemu = Content::of(&binary.path, remembered.qemu_content.as_ref())
            .map_err(Error::file("read", &binary.path))?;
        let (endpoints, guest_ports) = self.endpoints(&image, remembered.port_offset)?;
        let ports: BTreeMap<_, _> = endpoints.iter().map(|e| (e.id.clone(), e.port)).collect();
        let config = ConfigDisk::new(&image.path, self.settings.port_prefix, &ports)?;
        let updated = InstanceRecord {
            image: Some(self.home.relative(&image.path)),
            image_content: Some(image_content.clone()),
            qemu_content: Some(qemu.clone()),
            port_offset: remembered.port_offset,
        };
        let to_remember = (updated != remembered).then_some(updated);
        let boot_id = boot_id()?;
        let mut prepared = Prepared {
            accelerator,
            endpoints,
            guest_ports,
            fingerprint: Fingerprint {
                qemu_version: binary.version_text.clone(),
                qemu,
                accelerator: accelerator.to_string(),
                // Under emulation the guest sees QEMU's CPU, whatever the host's is.
                host_cpu: match accelerator {
                    Accelerator::Tcg => None,
                    Accelerator::Kvm | Accelerator::Hvf => Some(host_cpu()),
                },
                image: image_content.clone(),
                ram_mib: self.settings.ram_mib,
                vcpus: self.settings.vcpus,
                machine: Vec::new(),
                ports,
                config: config.digest(),
            },
            binary,
            image,
            image_content,
            config,
            boot_id,
            to_remember,
        };
        let disk = Disk {
            path: PathBuf::new(),
            backing: Vec::new(),
        };
        let machine = self.machine(&prepared, disk, PathBuf::new(), &prepared.endpoints);
        prepared.fingerprint.machine = machine.guest_visible(&prepared.binary);
        Ok(prepared)
    }

    fn check_size(&self, image: &Image) -> Result<(), Error> {
        let Some(manifest) = &image.manifest else {
            return Ok(());
        };
        let (ram, vcpus) = (self.settings.ram_mib, self.settings.vcpus);
        if ram < manifest.min_ram_mib {
            return Err(Error::TooSmall {
                needed: format!("{} MiB of memory", manifest.min_ram_mib),
                variable: crate::config::variables::RAM,
                given: format!("{ram} MiB"),
            });
        }
        if vcpus < manifest.min_vcpus {
            return Err(Error::TooSmall {
                needed: format!("{} virtual CPUs", manifest.min_vcpus),
                variable: crate::config::variables::CPUS,
                given: vcpus.to_string(),
            });
        }
        Ok(())
    }

    /// The one place where a virtual machine is described.
    pub(crate) fn machine(
        &self,
        prepared: &Prepared,
        disk: Disk,
        config_iso: PathBuf,
        endpoints: &[Endpoint],
    ) -> Machine {
        let forward = |endpoint: &Endpoint| {
            let guest_port = *prepared.guest_ports.get(&endpoint.id)?;
            Some(Forward {
                host_port: endpoint.port,
                guest_port,
            })
        };
        Machine {
            arch: self.settings.arch,
            accelerator: prepared.accelerator,
            ram_mib: self.settings.ram_mib,
            vcpus: self.settings.vcpus,
            name: format!("stack-emulator-{}", self.name),
            disk,
            isos: vec![config_iso],
            forwards: endpoints.iter().filter_map(forward).collect(),
            shared_slots: SHARED_SLOTS,
            shares: Vec::new(),
            firmware: qemu::firmware::find(&prepared.binary),
        }
    }
}

impl Held<'_> {
    /// The place for new values. It begins to be opened at the first call, so
    /// an early one saves time later.
    pub(crate) fn vault(&self) -> Result<&Vault, Error> {
        if let Some(vault) = self.vault.get() {
            return Ok(vault);
        }
        let record = self.emulator.paths.secret_place();
        let vault = Vault::best(record, self.emulator.places(&self.runtime_folder))?;
        Ok(self.vault.get_or_init(|| vault))
    }

    /// Stopped or running; nothing in between is left once the lock is held.
    pub(crate) fn life(&self) -> Life {
        if self.running.is_some() {
            Life::Running
        } else {
            Life::Stopped
        }
    }

    /// [`Emulator::prepare`], and keeps what is worth remembering.
    pub(crate) async fn prepare(&self) -> Result<Prepared, Error> {
        let prepared = self.emulator.prepare().await?;
        self.remember(&prepared)?;
        Ok(prepared)
    }

    /// Keeps what is worth remembering of what was found.
    pub(crate) fn remember(&self, prepared: &Prepared) -> Result<(), Error> {
        let home = &self.emulator.home;
        if let Some(digest) = home.image_store().digest_at(&prepared.image.path)
            && let Err(error) = home.image_store().touch(digest)
        {
            // It only says which image was not used for longest.
            tracing::debug!(%error, "the use of the image could not be noted");
        }
        if let Some(record) = &prepared.to_remember {
            record::write(
                &self.emulator.paths.instance_record(),
                record,
                Durability::PowerCut,
            )?;
        }
        Ok(())
    }

    pub(crate) fn write_run(&self, record: &RunRecord) -> Result<(), Error> {
        Ok(record::write(
            &self.emulator.paths.run_record(),
            record,
            Durability::ThisBoot,
        )?)
    }

    /// Refuses if a port is taken, naming all that are.
    pub(crate) fn check_ports(endpoints: &[Endpoint]) -> Result<(), Error> {
        let taken = ports::taken(endpoints);
        if taken.is_empty() {
            Ok(())
        } else {
            Err(Error::PortsTaken { taken })
        }
    }
}

/// Kills what is left of a start or capture that was cut short.
pub(crate) async fn kill(processes: &[ProcessIdentity]) -> Result<(), Error> {
    let limits = StopLimits {
        powerdown: None,
        quit: None,
        kill: KILL_LIMIT,
    };
    for process in processes {
        qemu::stop::stop(None, process, &limits).await?;
    }
    Ok(())
}

/// Names this boot of the host.
pub(crate) fn boot_id() -> Result<String, Error> {
    Ok(host::boot_id().map_err(IdentityError::BootId)?)
}

/// Digest of the host CPU's model and features, which a guest with a
/// passed-through CPU sees.
fn host_cpu() -> String {
    images::Sha256Digest::of(host::cpu::all_models().as_bytes()).short()
}
