//! `status`: what there is, seen without taking the lock or changing anything.

use std::time::{Duration, Instant};

use host::ProcessIdentity;
use qemu::process::find_by_token;
use secrets::StoreKind;
use serde::Serialize;

use crate::config::paths::InstancePaths;
use crate::config::quantities::{bytes, span};
use crate::error::Error;
use crate::instance::lock::{Holder, Lock};
use crate::instance::{Emulator, MONITOR_LIMIT};
use crate::machine::readiness::{Endpoint, Prober};
use crate::machine::run_record::{Purpose, RunRecord, StartKind};
use crate::progress::PhaseTime;
use crate::state::snapshot::{Found, Snapshot};
use crate::vault::places;
use record;

/// How long a service may take to answer before it counts as not healthy here.
const PROBE_LIMIT: Duration = Duration::from_secs(3);

/// Whether a service answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Its health path answered 200, or it has none.
    Healthy,
    /// It gave another answer, or none in time.
    Failing,
    /// It was not asked, because nothing is to answer now.
    Unchecked,
}

/// A service and whether it answers.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
pub struct ServiceStatus {
    /// Stable identifier.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Address on this host.
    pub url: String,
    /// Whether `health` is [`Health::Healthy`].
    pub healthy: bool,
    /// Whether it answers, or was not asked.
    pub health: Health,
    /// How long its health path took to answer, in milliseconds.
    #[cfg_attr(feature = "specta", specta(type = Option<specta_typescript::Number>))]
    pub answer_ms: Option<f64>,
    /// Whether there is something at its address for a person to look at.
    pub browsable: bool,
}

impl ServiceStatus {
    pub(crate) fn new(endpoint: &Endpoint, health: Health, answer: Option<Duration>) -> Self {
        Self {
            id: endpoint.id.clone(),
            name: endpoint.name.clone(),
            url: endpoint.url(),
            healthy: health == Health::Healthy,
            health,
            answer_ms: answer.map(|time| time.as_secs_f64() * 1e3),
            browsable: endpoint.browsable,
        }
    }
}

/// A snapshot, for people and programs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
pub struct SnapshotInfo {
    /// Its identifier.
    pub id: String,
    /// When it was taken, in milliseconds since the Unix epoch.
    #[cfg_attr(feature = "specta", specta(type = specta_typescript::Number))]
    pub captured_at_ms: u64,
    /// How long the cold boot took that was captured, in milliseconds.
    #[cfg_attr(feature = "specta", specta(type = specta_typescript::Number))]
    pub cold_boot_ms: f64,
    /// What it takes on disk in bytes; holes take nothing.
    #[cfg_attr(feature = "specta", specta(type = specta_typescript::Number))]
    pub bytes_on_disk: u64,
}

impl SnapshotInfo {
    pub(crate) fn new(snapshot: &Snapshot) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        let paths = &snapshot.paths;
        let files = [
            paths.ram(),
            paths.device_state(),
            paths.disk(),
            paths.config_iso(),
        ];
        let bytes_on_disk = files
            .iter()
            .filter_map(|path| std::fs::metadata(path).ok())
            .map(|meta| meta.blocks() * 512)
            .sum();
        Self {
            id: snapshot.manifest.id.clone(),
            captured_at_ms: snapshot.manifest.captured_at_ms,
            cold_boot_ms: snapshot.manifest.cold_boot_ms,
            bytes_on_disk,
        }
    }

    /// One line for people: how old it is and what it takes on disk.
    pub fn summary(&self) -> String {
        let age = span(host::now_ms().saturating_sub(self.captured_at_ms));
        let size = bytes(self.bytes_on_disk);
        format!("taken {age} ago, {size} on disk")
    }

    /// That of the snapshot called `id`.
    pub(crate) fn of(paths: &InstancePaths, id: &str) -> Result<Self, record::RecordError> {
        Ok(Self::new(&Snapshot::open(paths, id)?))
    }
}

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
    /// A VM exists but its guest stands still: its disk could not be written.
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

/// What `status` reports.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
pub struct Status {
    /// The instance.
    pub instance: String,
    /// What it is doing.
    pub state: State,
    /// The command that is at work on it.
    pub busy: Option<Holder>,
    /// How the present VM was started.
    pub start: Option<StartSummary>,
    /// Its services, also while nothing runs; then [`Health::Unchecked`].
    pub services: Vec<ServiceStatus>,
    /// `kvm`, `hvf` or `tcg`.
    pub accelerator: Option<String>,
    /// The snapshot in use.
    pub snapshot: Option<SnapshotInfo>,
    /// What is wrong with the snapshot, as far as a quick look tells.
    pub snapshot_damage: Option<String>,
    /// Whether a session is kept.
    pub session_kept: bool,
    /// The image in use.
    pub image: Option<std::path::PathBuf>,
    /// Where the secrets are.
    pub secret_store: Option<StoreKind>,
    /// What the user should know about that place; `null` if all is well.
    pub secret_warning: Option<String>,
    /// Memory of the QEMU process in bytes.
    pub memory: Option<Memory>,
}

/// How the present VM was started.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
pub struct StartSummary {
    /// `resumed`, `continued` or `cold`.
    pub kind: StartKind,
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
struct Seen {
    glance: Glance,
    /// There unless the instance is stopped.
    record: Option<RunRecord>,
    /// The QEMU process, if it lives.
    process: Option<ProcessIdentity>,
}

impl Emulator {
    /// Looks at the instance and asks nobody: no request, no monitor. It reads
    /// two small files and one of the process table, which takes some ten
    /// microseconds.
    pub fn glance(&self) -> Result<Glance, Error> {
        Ok(self.see()?.glance)
    }

    fn see(&self) -> Result<Seen, Error> {
        let paths = &self.paths;
        // A look takes no lock, so a holder is somebody at work.
        let busy = Lock::holder(&paths.lock()).map_err(Error::file("look at", &paths.lock()))?;
        let mut glance = Glance {
            state: State::Stopped,
            busy,
            start: None,
        };
        let record = match record::read_optional::<RunRecord>(&paths.run_record()) {
            Ok(Some(record)) => record,
            Ok(None) => {
                return Ok(Seen {
                    glance,
                    record: None,
                    process: None,
                });
            }
            // The next command ends what runs without a record, and says so.
            Err(error) if error.is_damaged() => {
                glance.state = State::Interrupted;
                return Ok(Seen {
                    glance,
                    record: None,
                    process: find_by_token(&paths.token()?, None)?.into_iter().next(),
                });
            }
            Err(error) => return Err(error.into()),
        };
        let process = record.live_processes(&paths.token()?)?.into_iter().next();
        glance.state = match (&record.purpose, &process, &glance.busy) {
            (Purpose::Running(_) | Purpose::Rotating(_), Some(_), _) => State::Running,
            (Purpose::Running(_) | Purpose::Rotating(_), None, None) => State::Died,
            (Purpose::Starting { .. }, _, Some(_)) => State::Starting,
            (Purpose::Saving(_) | Purpose::Running(_) | Purpose::Rotating(_), _, Some(_)) => {
                State::Stopping
            }
            (Purpose::Capturing, _, Some(_)) => State::Capturing,
            (Purpose::Starting { .. } | Purpose::Saving(_) | Purpose::Capturing, _, None) => {
                State::Interrupted
            }
        };
        if let (Some(vm), Some(_)) = (record.running(), &process) {
            glance.start = Some(StartSummary {
                kind: vm.kind,
                fallback_reason: vm.fallback_reason.clone(),
                total_ms: vm.total_ms,
                phases: vm.phases.clone(),
                started_at_ms: vm.started_at_ms,
                uptime_ms: host::now_ms().saturating_sub(vm.started_at_ms),
                rotated: vm.rotated,
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
            state: glance.state,
            busy: glance.busy,
            start: glance.start,
            services: Vec::new(),
            accelerator: None,
            snapshot,
            snapshot_damage,
            // One that cannot be looked at is not dropped for that.
            session_kept: paths.session().disk().try_exists().unwrap_or(true),
            image: self
                .image
                .clone()
                .or_else(|| Some(self.home.path().join(instance.image?))),
            secret_store: None,
            secret_warning: None,
            memory: None,
        };
        let running = record.as_ref().and_then(RunRecord::running).zip(process);
        let (Some((vm, process)), Some(record)) = (running, &record) else {
            let unchecked = |endpoint| ServiceStatus::new(endpoint, Health::Unchecked, None);
            status.services = self.planned_endpoints()?.iter().map(unchecked).collect();
            return Ok(status);
        };
        status.accelerator = Some(vm.accelerator.clone());
        status.services = probe(&vm.endpoints).await?;
        // By the record, not by asking: a keychain may hang.
        if let Some(place) = places::recorded(&paths.secret_place())? {
            status.secret_store = Some(place.store);
            status.secret_warning = place.warning();
        }
        status.memory = memory(&process, vm.fingerprint.ram_mib);
        if status.busy.is_none() && !status.services.iter().all(|service| service.healthy) {
            status.state = self.why_unhealthy(record).await;
        }
        Ok(status)
    }

    /// Where the services would be after a start: those of the chosen image, or
    /// the contract's if there is no image that can be read. None if the
    /// settings contradict each other, which a start reports.
    fn planned_endpoints(&self) -> Result<Vec<Endpoint>, Error> {
        let offset = self.remembered()?.port_offset;
        match self.endpoints_of(self.services()?, offset) {
            Ok((endpoints, _)) => Ok(endpoints),
            Err(Error::PortTwice { .. } | Error::GuestPort { .. }) => Ok(Vec::new()),
            Err(other) => Err(other),
        }
    }

    /// A guest whose disk cannot be written is stopped by QEMU.
    async fn why_unhealthy(&self, record: &RunRecord) -> State {
        let ask = async {
            let sockets = qemu::Sockets::in_dir(&record.runtime_folder).ok()?;
            let (monitor, _) = qemu::Monitor::connect(&sockets, MONITOR_LIMIT).await.ok()?;
            let status = monitor.status(MONITOR_LIMIT).await.ok()?;
            monitor.close().await;
            Some(status.running)
        };
        if ask.await == Some(false) {
            State::Paused
        } else {
            State::Running
        }
    }
}

/// Asks every service once, at the same time.
pub(crate) async fn probe(endpoints: &[Endpoint]) -> Result<Vec<ServiceStatus>, Error> {
    let prober = Prober::new()?;
    let mut asked = Vec::new();
    for endpoint in endpoints {
        let (prober, endpoint) = (prober.clone(), endpoint.clone());
        asked.push(tokio::spawn(async move {
            let begun = Instant::now();
            let health = if prober.is_healthy(&endpoint, PROBE_LIMIT).await {
                Health::Healthy
            } else {
                Health::Failing
            };
            let answered = endpoint.path.is_some() && health == Health::Healthy;
            ServiceStatus::new(&endpoint, health, answered.then(|| begun.elapsed()))
        }));
    }
    let mut services = Vec::new();
    for answer in asked {
        match answer.await {
            Ok(service) => services.push(service),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
    Ok(services)
}

fn memory(process: &ProcessIdentity, given_mib: u32) -> Option<Memory> {
    let used = process.memory()?;
    Some(Memory {
        resident: used.resident,
        anonymous: used.anonymous,
        given: u64::from(given_mib) << 20,
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
        std::fs::write(emulator.paths.run_record(), "{}").unwrap();
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
                ("mock-oauth", "http://127.0.0.1:8114", false),
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
        let lock = Lock::try_acquire(&emulator.paths.lock(), "start").unwrap();
        let glance = emulator.glance().unwrap();
        assert_eq!(glance.state, State::Stopped);
        assert_eq!(glance.busy.unwrap().command, "start");
        drop(lock);
        assert!(emulator.glance().unwrap().busy.is_none());
    }
}
