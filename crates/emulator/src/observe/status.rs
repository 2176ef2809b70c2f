//! `status`: what there is, seen without taking the lock or changing anything.

use std::time::Duration;

use host::ProcessIdentity;
use secrets::StoreKind;
use serde::Serialize;

use super::inspect::OtherSetting;
use crate::config::network::GuestNetwork;
use crate::config::paths::SlotPaths;
use crate::instance::Emulator;
use crate::instance::ahead::NextStart;
use crate::instance::error::InstanceError as Error;
use crate::instance::here::InstanceFolder;
use crate::instance::lock::{Holder, Lock};
use crate::machine::ports::ServicePort;
use crate::machine::readiness::Endpoint;
use crate::machine::run_record::{EndedBy, Purpose, RunRecord, StartKind};
use crate::machine::services::{Health, ServiceStatus, probe};
use crate::machine::slot::{self, Recorded};
use crate::state::snapshot::{Found, Snapshot};
use crate::state::snapshot_info::SnapshotInfo;
use crate::vault::places;
use progress::PhaseTime;

/// Services that run answer within this, as a rule; otherwise QEMU is asked as well.
const SOON: Duration = Duration::from_millis(300);
/// How long QEMU may take to say how it is.
const MONITOR_SOON: Duration = Duration::from_millis(500);

/// What an instance is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// No VM.
    Stopped,
    /// A start is under way.
    Starting,
    /// A VM runs.
    Running,
    /// A VM exists but its guest stands still; [`Status::paused_by`] says why.
    Paused,
    /// A stop is saving the session.
    Stopping,
    /// A snapshot is being taken.
    Capturing,
    /// A command was killed in its middle; the next one cleans up.
    Interrupted,
    /// The VM ended without being stopped; the next start boots its disk.
    Died,
}

/// Why a guest stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
#[serde(rename_all = "snake_case")]
pub enum PausedBy {
    /// QEMU could not write to its disk.
    Disk,
    /// The accelerator or the guest's kernel cannot go on.
    Fault,
    /// A signal or a debugger has stopped QEMU.
    Signal,
    /// Another program has asked QEMU to.
    Request,
}

/// What `status` reports.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
pub struct Status {
    /// The instance.
    pub instance: String,
    /// The folder that it is the instance of; `null` if it is of none.
    pub folder: Option<InstanceFolder>,
    /// What it is doing.
    pub state: State,
    /// Why the guest stands still, if it does.
    pub paused_by: Option<PausedBy>,
    /// How the last VM ended that nobody has stopped, where that is known and it did not crash.
    pub ended_by: Option<EndedBy>,
    /// True if QEMU runs and its sockets are gone: it can only be ended.
    pub unreachable: bool,
    /// The command that is at work on it.
    pub busy: Option<Holder>,
    /// How the present VM was started.
    pub start: Option<StartSummary>,
    /// Settings that have other values than those that the present VM was started by.
    pub other_settings: Vec<OtherSetting>,
    /// Its services, also while nothing runs; then [`Health::Unchecked`].
    pub services: Vec<ServiceStatus>,
    /// The ports that links inside the virtual machine lead to, as far as the services have others:
    /// the machine was cloned from another instance's.
    pub told_ports: Vec<ServicePort>,
    /// `kvm`, `hvf` or `tcg`.
    pub accelerator: Option<String>,
    /// Whom the virtual machine can connect to: `closed` (nobody) or `open` (the host's network, and
    /// servers on its 127.0.0.1); `null` while there is none.
    pub network: Option<GuestNetwork>,
    /// The snapshot in use.
    pub snapshot: Option<SnapshotInfo>,
    /// What is wrong with the snapshot, as far as a quick look tells.
    pub snapshot_damage: Option<String>,
    /// Whether a session is kept.
    pub session_kept: bool,
    /// Whether its memory is kept, too, or still in memory: the next start continues it.
    pub session_saved: bool,
    /// The image in use.
    pub image: Option<std::path::PathBuf>,
    /// Where the secrets are.
    pub secret_store: Option<StoreKind>,
    /// What the user should know about that place; `null` if all is well.
    pub secret_warning: Option<String>,
    /// Memory of the QEMU process in bytes.
    pub memory: Option<Memory>,
    /// After how many minutes it is stopped if nothing uses it; `null` if it is not.
    pub stops_when_idle_min: Option<u32>,
    /// What the next start would find done; `null` while there is a VM.
    pub next_start: Option<NextStart>,
}

/// How the present VM was started.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
pub struct StartSummary {
    /// `resumed`, `continued`, `restored` or `cold`.
    pub kind: StartKind,
    /// The checkpoint that was restored; `null` if none was.
    pub checkpoint: Option<String>,
    /// Why it was not the fastest kind.
    pub fallback_reason: Option<String>,
    /// How long the start took, in milliseconds.
    #[cfg_attr(feature = "specta", specta(type = specta_typescript::Number))]
    pub total_ms: f64,
    /// Its phases, in order.
    pub phases: Vec<PhaseTime>,
    /// When it was started, in milliseconds since the Unix epoch.
    #[cfg_attr(feature = "specta", specta(type = specta_typescript::Number))]
    pub started_at_ms: u64,
    /// How long it has been running, in milliseconds.
    #[cfg_attr(feature = "specta", specta(type = specta_typescript::Number))]
    pub uptime_ms: u64,
    /// False if the placeholder secrets are in force.
    pub rotated: bool,
    /// True if the secrets in force before this start stayed so.
    pub secrets_kept: bool,
}

/// Memory of the QEMU process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
pub struct Memory {
    /// All that is resident, the shared page cache of the snapshot included.
    #[cfg_attr(feature = "specta", specta(type = specta_typescript::Number))]
    pub resident: u64,
    /// What this VM alone costs.
    #[cfg_attr(feature = "specta", specta(type = specta_typescript::Number))]
    pub anonymous: u64,
    /// What the guest was given.
    #[cfg_attr(feature = "specta", specta(type = specta_typescript::Number))]
    pub given: u64,
}

/// What can be told of an instance by files and the process table alone.
#[derive(Clone, Debug, Serialize)]
pub struct Glance {
    /// What it is doing. A VM whose guest stands still is [`State::Running`]
    /// here: only [`Emulator::status`] asks.
    pub state: State,
    /// The command that is at work on it.
    pub busy: Option<Holder>,
    /// How the present VM was started.
    pub start: Option<StartSummary>,
}

/// A glance, and what it was made from.
pub(super) struct Seen {
    pub(super) glance: Glance,
    /// There unless the instance is stopped.
    pub(super) record: Option<RunRecord>,
    /// The QEMU process, if it lives.
    pub(super) process: Option<ProcessIdentity>,
}

impl Emulator {
    /// Looks at the instance and asks nobody: no request, no monitor. It reads
    /// two small files and one of the process table, which takes some ten
    /// microseconds.
    pub fn glance(&self) -> Result<Glance, Error> {
        Ok(self.see()?.glance)
    }

    /// Looks at the machine that the user works with.
    pub(super) fn see(&self) -> Result<Seen, Error> {
        let paths = self.paths.main();
        // A look takes no lock, so a holder is somebody at work.
        let busy = Lock::holder(&paths.lock()).map_err(Error::file("look at", &paths.lock()))?;
        let mut glance = Glance {
            state: State::Stopped,
            busy,
            start: None,
        };
        let record = match slot::recorded(&paths)? {
            Recorded::Ours(record) => *record,
            Recorded::Nothing | Recorded::Foreign(_) => {
                return Ok(Seen {
                    glance,
                    record: None,
                    process: None,
                });
            }
            // The next command ends what runs without a record, and says so.
            Recorded::Damaged(_) => {
                glance.state = State::Interrupted;
                return Ok(Seen {
                    glance,
                    record: None,
                    process: slot::orphans(&paths)?.into_iter().next(),
                });
            }
        };
        let process = slot::live_processes(&paths, &record)?.into_iter().next();
        glance.state = match (&record.purpose, &process, &glance.busy) {
            (
                Purpose::Running(_) | Purpose::Rotating(_) | Purpose::Checkpointing(_),
                Some(_),
                _,
            ) => State::Running,
            (
                Purpose::Running(_) | Purpose::Rotating(_) | Purpose::Checkpointing(_),
                None,
                None,
            ) => State::Died,
            (Purpose::Starting { .. }, _, Some(_)) => State::Starting,
            (Purpose::SetAside(_), _, Some(holder)) if holder.command == "start" => State::Starting,
            (
                Purpose::Saving(_)
                | Purpose::SetAside(_)
                | Purpose::Running(_)
                | Purpose::Rotating(_)
                | Purpose::Checkpointing(_),
                _,
                Some(_),
            ) => State::Stopping,
            // What is left is done behind the prompt.
            (Purpose::SetAside(_), _, None) => State::Stopped,
            (Purpose::Capturing, _, Some(_)) => State::Capturing,
            (Purpose::Preparing | Purpose::StandingBy, _, _)
            | (Purpose::Starting { .. } | Purpose::Saving(_) | Purpose::Capturing, _, None) => {
                State::Interrupted
            }
        };
        if let (Some(vm), Some(_)) = (record.running(), &process) {
            glance.start = Some(StartSummary {
                kind: vm.kind,
                checkpoint: vm.checkpoint.as_ref().map(ToString::to_string),
                fallback_reason: vm.fallback_reason.clone(),
                total_ms: vm.total_ms,
                phases: vm.phases.clone(),
                started_at_ms: vm.started_at_ms,
                uptime_ms: host::now_ms().saturating_sub(vm.started_at_ms),
                rotated: vm.rotated,
                secrets_kept: vm.kept_secrets(),
            });
        }
        Ok(Seen {
            glance,
            record: Some(record),
            process,
        })
    }

    /// The QEMU process that is there now, if any.
    pub(crate) fn process(&self) -> Result<Option<ProcessIdentity>, Error> {
        Ok(self.see()?.process)
    }

    /// The ports that the running VM has.
    pub(crate) fn ports_in_use(&self) -> Result<Vec<u16>, Error> {
        let seen = self.see()?;
        let running = seen.record.as_ref().and_then(RunRecord::running);
        let vm = running.filter(|_| seen.process.is_some());
        Ok(vm.map_or_else(Vec::new, |vm| {
            vm.endpoints.iter().map(|endpoint| endpoint.port).collect()
        }))
    }

    /// Looks at the instance, and asks each service whether it answers.
    pub async fn status(&self) -> Result<Status, Error> {
        let paths = &self.paths;
        let Seen {
            glance,
            record,
            process,
        } = self.see()?;
        let instance = self.remembered_before()?.unwrap_or_default();
        let (snapshot, snapshot_damage) = match Snapshot::current(paths) {
            Found::None => (None, None),
            Found::Damaged(damage) => (None, Some(damage)),
            Found::Whole(snapshot) => (Some(SnapshotInfo::new(&snapshot)), None),
        };
        let mut status = Status {
            instance: self.name.to_string(),
            folder: instance.folder.clone().map(InstanceFolder::of),
            state: glance.state,
            paused_by: None,
            ended_by: None,
            unreachable: false,
            busy: glance.busy,
            start: glance.start,
            other_settings: Vec::new(),
            services: Vec::new(),
            told_ports: Vec::new(),
            accelerator: None,
            network: None,
            snapshot,
            snapshot_damage,
            // One that cannot be looked at is not dropped for that.
            session_kept: paths.main().session().disk().try_exists().unwrap_or(true),
            session_saved: paths.main().session().saved().try_exists().unwrap_or(true),
            image: self
                .image
                .clone()
                .or_else(|| Some(self.home.path().join(instance.image?))),
            secret_store: None,
            secret_warning: None,
            memory: None,
            stops_when_idle_min: None,
            next_start: None,
        };
        let running = record.as_ref().and_then(RunRecord::running).zip(process);
        let (Some((vm, process)), Some(record)) = (running, &record) else {
            let unchecked = |endpoint| ServiceStatus::new(endpoint, Health::Unchecked, None);
            status.services = self.planned_endpoints()?.iter().map(unchecked).collect();
            let next = self.next_start()?;
            status.session_saved |= next == NextStart::GoesOn;
            status.next_start = Some(next);
            if let Some(record) = record.filter(|_| status.state == State::Died) {
                status.ended_by = slot::ended_by(&paths.main(), &record);
            }
            return Ok(status);
        };
        // What a start would make of settings that contradict each other is reported by that.
        status.other_settings = self.other_settings().unwrap_or_default();
        status.unreachable = !is_reachable(record, &paths.main());
        status.told_ports = vm.told_ports.clone();
        status.stops_when_idle_min = self.watched_for_idle()?;
        status.accelerator = Some(vm.accelerator.clone());
        status.network = Some(record.network());
        let (services, paused_by) = if status.busy.is_some() {
            (probe(&vm.endpoints).await?, None)
        } else {
            look_at(record, &paths.main(), &process, &vm.endpoints).await?
        };
        status.services = services;
        if paused_by.is_some() {
            status.state = State::Paused;
            status.paused_by = paused_by;
        }
        // By the record, not by asking: a keychain may hang.
        if let Some(place) = places::recorded(&paths.secret_place())? {
            status.secret_store = Some(place.store);
            status.secret_warning = place.warning();
        }
        status.memory = process.memory().map(|memory| Memory {
            resident: memory.resident,
            anonymous: memory.anonymous,
            given: u64::from(vm.fingerprint.ram_mib) << 20,
        });
        Ok(status)
    }

    /// Where the services would be after a start: those of the chosen image, or
    /// the contract's if there is no image that can be read. None if the
    /// settings contradict each other, which a start reports.
    pub(super) fn planned_endpoints(&self) -> Result<Vec<Endpoint>, Error> {
        let offset = self.remembered()?.port_offset;
        match self.endpoints_of(self.services()?, offset) {
            Ok((endpoints, _)) => Ok(endpoints),
            Err(Error::PortTwice { .. } | Error::GuestPort { .. }) => Ok(Vec::new()),
            Err(other) => Err(other),
        }
    }
}

/// Asks the services, and where they do not answer soon, QEMU why: one that stands still is not waited for.
async fn look_at(
    record: &RunRecord,
    paths: &SlotPaths,
    process: &ProcessIdentity,
    endpoints: &[Endpoint],
) -> Result<(Vec<ServiceStatus>, Option<PausedBy>), Error> {
    let unchecked = || {
        let unchecked = |endpoint| ServiceStatus::new(endpoint, Health::Unchecked, None);
        endpoints.iter().map(unchecked).collect()
    };
    // What the system does not tell is found out by asking.
    if process.is_stopped().unwrap_or(false) {
        return Ok((unchecked(), Some(PausedBy::Signal)));
    }
    let mut probing = std::pin::pin!(probe(endpoints));
    let soon = tokio::time::timeout(SOON, &mut probing).await;
    if let Ok(services) = soon {
        let services = services?;
        let paused_by = if services.iter().all(|service| service.healthy) {
            None
        } else {
            paused_by(record, paths).await
        };
        return Ok((services, paused_by));
    }
    match paused_by(record, paths).await {
        Some(paused_by) => Ok((unchecked(), Some(paused_by))),
        // Nobody can tell whether they will answer.
        None if !is_reachable(record, paths) => Ok((unchecked(), None)),
        // It takes its time.
        None => Ok((probing.await?, None)),
    }
}

/// Whether there is a way to QEMU, as far as can be seen without taking it: another command may need it.
fn is_reachable(record: &RunRecord, paths: &SlotPaths) -> bool {
    let sockets = record.sockets(paths);
    sockets.is_ok_and(|sockets| sockets.are_there())
}

/// Why the guest stands still; `None` if it runs, or QEMU does not say.
pub(super) async fn paused_by(record: &RunRecord, paths: &SlotPaths) -> Option<PausedBy> {
    let ask = async {
        let (_, monitor) = record.connect(paths, MONITOR_SOON).await.ok()?;
        let status = monitor.status(MONITOR_SOON).await.ok()?;
        monitor.close().await;
        Some(status)
    };
    let status = tokio::time::timeout(MONITOR_SOON, ask).await.ok()??;
    if status.running {
        return None;
    }
    Some(match status.state.as_str() {
        "io-error" => PausedBy::Disk,
        "internal-error" | "guest-panicked" => PausedBy::Fault,
        _ => PausedBy::Request,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::variables::Settings;

    fn emulator(home: &std::path::Path, variables: &[(&str, &str)]) -> Emulator {
        let home = [(crate::config::variables::HOME, home.to_str().unwrap())];
        let variables = home.iter().chain(variables);
        let owned = variables.map(|(name, value)| ((*name).into(), (*value).into()));
        let settings = Settings::from_variables(owned).unwrap();
        Emulator::new(
            settings,
            crate::config::paths::InstanceName::default(),
            None,
        )
    }

    #[tokio::test]
    async fn a_damaged_run_record_does_not_keep_anybody_from_looking() {
        let dir = tempfile::tempdir().unwrap();
        let emulator = emulator(&dir.path().join("home"), &[]);
        std::fs::create_dir_all(emulator.paths.root()).unwrap();
        std::fs::write(emulator.paths.main().run_record(), "{}").unwrap();
        let status = emulator.status().await.unwrap();
        assert_eq!(status.state, State::Interrupted);
    }

    #[tokio::test]
    async fn a_stopped_emulator_tells_where_its_services_will_be() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        let emulator = emulator(&home, &[("EMULATOR_BACKEND_PORT", "30001")]);
        let status = emulator.status().await.unwrap();
        assert_eq!(status.state, State::Stopped);
        let told: Vec<_> = status
            .services
            .iter()
            .map(|service| (service.id.as_str(), service.url.as_str(), service.browsable))
            .collect();
        assert_eq!(
            told,
            [
                ("dashboard", "http://127.0.0.1:26700", true),
                ("backend", "http://127.0.0.1:30001", true),
                ("minio", "http://127.0.0.1:26702", false),
                ("inbucket", "http://127.0.0.1:26703", true),
                ("mock-oauth", "http://127.0.0.1:26704", false),
            ]
        );
        let asked = |service: &ServiceStatus| service.healthy || service.answer_ms.is_some();
        assert!(!status.services.iter().any(asked));
        let json = serde_json::to_value(&status.services[0]).unwrap();
        assert_eq!(
            (&json["healthy"], &json["health"]),
            (&false.into(), &"unchecked".into())
        );
        assert!(!home.exists(), "a look makes nothing");
    }

    #[tokio::test]
    async fn settings_that_contradict_each_other_do_not_hide_the_state() {
        let dir = tempfile::tempdir().unwrap();
        let emulator = emulator(dir.path(), &[("EMULATOR_BACKEND_PORT", "26700")]);
        let status = emulator.status().await.unwrap();
        assert_eq!(status.state, State::Stopped);
        assert!(status.services.is_empty());
    }

    #[test]
    fn a_glance_sees_who_is_at_work() {
        let dir = tempfile::tempdir().unwrap();
        let emulator = emulator(dir.path(), &[]);
        assert!(emulator.glance().unwrap().busy.is_none());
        std::fs::create_dir_all(emulator.paths.root()).unwrap();
        let lock = Lock::try_acquire(&emulator.paths.main().lock(), "start").unwrap();
        let glance = emulator.glance().unwrap();
        assert_eq!(glance.state, State::Stopped);
        assert_eq!(glance.busy.unwrap().command, "start");
        drop(lock);
        assert!(emulator.glance().unwrap().busy.is_none());
    }
}
