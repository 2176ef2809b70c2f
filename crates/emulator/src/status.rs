//! `status`: what there is, seen without taking the lock or changing anything.

use std::time::Duration;

use serde::Serialize;

use crate::error::Error;
use crate::instance::{Emulator, MONITOR_LIMIT, now_ms};
use crate::lock::{Holder, Lock};
use crate::paths::InstancePaths;
use crate::progress::PhaseTime;
use crate::quantity::{bytes, span};
use crate::readiness::{Endpoint, Prober};
use crate::record;
use crate::run::{InstanceRecord, Purpose, RunRecord, StartKind};
use crate::snapshot::{Found, Snapshot};
use crate::store::{StoreKind, vault};

/// How long a service may take to answer before it counts as not healthy here.
const PROBE_LIMIT: Duration = Duration::from_secs(3);

/// A service and whether it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServiceStatus {
    /// Stable identifier.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Address on this host.
    pub url: String,
    /// Whether its health path answered 200. Services without one count as healthy.
    pub healthy: bool,
}

impl ServiceStatus {
    pub(crate) fn new(endpoint: &Endpoint, healthy: bool) -> Self {
        Self {
            id: endpoint.id.clone(),
            name: endpoint.name.clone(),
            url: endpoint.url(),
            healthy,
        }
    }
}

/// A snapshot, for people and programs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SnapshotInfo {
    /// Its identifier.
    pub id: String,
    /// When it was taken, in milliseconds since the Unix epoch.
    pub captured_at_ms: u64,
    /// How long the cold boot took that was captured, in milliseconds.
    pub cold_boot_ms: f64,
    /// What it takes on disk in bytes; holes take nothing.
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
        let age = span(now_ms().saturating_sub(self.captured_at_ms));
        let size = bytes(self.bytes_on_disk);
        format!("taken {age} ago, {size} on disk")
    }

    pub(crate) fn of(paths: &InstancePaths, id: &str) -> Option<Self> {
        Snapshot::open(paths, id)
            .ok()
            .map(|snapshot| Self::new(&snapshot))
    }
}

/// What an instance is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
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
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The instance.
    pub instance: String,
    /// What it is doing.
    pub state: State,
    /// The command that is at work on it.
    pub busy: Option<Holder>,
    /// How the present VM was started.
    pub start: Option<StartSummary>,
    /// Its services.
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
#[derive(Clone, Debug, Serialize)]
pub struct StartSummary {
    /// `resumed`, `continued` or `cold`.
    pub kind: StartKind,
    /// Why it was not the fastest kind.
    pub fallback_reason: Option<String>,
    /// How long the start took, in milliseconds.
    pub total_ms: f64,
    /// Its phases, in order.
    pub phases: Vec<PhaseTime>,
    /// How long it has been running, in milliseconds.
    pub uptime_ms: u64,
    /// False if the placeholder secrets are in force.
    pub rotated: bool,
}

/// Memory of the QEMU process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// All that is resident, the shared page cache of the snapshot included.
    pub resident: u64,
    /// What this VM alone costs.
    pub anonymous: u64,
}

impl Emulator {
    /// Looks at the instance.
    pub async fn status(&self) -> Result<Status, Error> {
        let paths = &self.paths;
        let holder = Lock::holder(&paths.lock()).map_err(Error::file("look at", &paths.lock()))?;
        // `status` itself takes no lock, so a holder is somebody at work.
        let record: Option<RunRecord> = record::read_optional(&paths.run_record())?;
        let instance: InstanceRecord =
            record::read_optional(&paths.instance_record())?.unwrap_or_default();
        let (snapshot, snapshot_damage) = match Snapshot::current(paths) {
            Found::None => (None, None),
            Found::Damaged(damage) => (None, Some(damage)),
            Found::Whole(snapshot) => (Some(SnapshotInfo::new(&snapshot)), None),
        };
        let mut status = Status {
            instance: self.name.to_string(),
            state: State::Stopped,
            busy: holder,
            start: None,
            services: Vec::new(),
            accelerator: None,
            snapshot,
            snapshot_damage,
            session_kept: paths.session().disk().exists(),
            image: self
                .image
                .clone()
                .or_else(|| Some(self.home.path().join(instance.image?))),
            secret_store: None,
            secret_warning: None,
            memory: None,
        };
        let Some(record) = record else {
            return Ok(status);
        };
        let alive = record.live_processes(&paths.token()?)?;
        status.state = match (&record.purpose, alive.first(), &status.busy) {
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
        if let (Purpose::Running(vm) | Purpose::Rotating(vm), Some(process)) =
            (&record.purpose, alive.first())
        {
            status.start = Some(StartSummary {
                kind: vm.kind,
                fallback_reason: vm.fallback_reason.clone(),
                total_ms: vm.total_ms,
                phases: vm.phases.clone(),
                uptime_ms: now_ms().saturating_sub(vm.started_at_ms),
                rotated: vm.rotated,
            });
            status.accelerator = Some(vm.accelerator.clone());
            status.services = probe(&vm.endpoints).await?;
            // By the record, not by asking: a keychain may hang.
            if let Some(place) = vault::recorded(&paths.secret_place())? {
                status.secret_store = Some(place.store);
                status.secret_warning = place.warning();
            }
            status.memory = memory(process.pid);
            if status.busy.is_none() && !status.services.iter().all(|service| service.healthy) {
                status.state = self.why_unhealthy(&record).await;
            }
        }
        Ok(status)
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
            let healthy = prober.is_healthy(&endpoint, PROBE_LIMIT).await;
            ServiceStatus::new(&endpoint, healthy)
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

/// Reads what the kernel says of a process's memory.
fn memory(pid: u32) -> Option<Memory> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()? << 10)
    };
    Some(Memory {
        resident: field("Rss:")?,
        anonymous: field("Anonymous:")?,
    })
}
