//! How the instance stands.

use serde::Serialize;
use specta::Type;
use specta_typescript::Number;

use super::failure::Failure;

/// What `status` reports.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    pub(crate) instance: String,
    pub(crate) state: State,
    /// The command of another process that is at work.
    pub(crate) busy: Option<Busy>,
    pub(crate) start: Option<StartSummary>,
    /// The image's services, also while nothing runs.
    pub(crate) services: Vec<Service>,
    /// `kvm`, `hvf` or `tcg`.
    pub(crate) accelerator: Option<String>,
    pub(crate) snapshot: Option<SnapshotInfo>,
    /// What is wrong with the snapshot, as far as a quick look tells.
    pub(crate) snapshot_damage: Option<String>,
    /// Whether a stopped session is kept, which the next start continues.
    pub(crate) session_kept: bool,
    /// The image in use; null if there is none.
    pub(crate) image: Option<StatusImage>,
    pub(crate) secret_store: Option<SecretStore>,
    pub(crate) memory: Option<Memory>,
    /// Why the last look failed; the rest is then as it was before.
    pub(crate) failure: Option<Failure>,
}

/// What an instance is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    Stopped,
    Starting,
    Running,
    Paused,
    Stopping,
    Capturing,
    Interrupted,
    Died,
}

/// The command of another process that is at work on the instance.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Busy {
    pub(crate) pid: u32,
    /// For instance `start`.
    pub(crate) command: String,
}

/// How the present machine was started.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StartSummary {
    pub(crate) kind: StartKind,
    /// Why it was not the fastest kind.
    pub(crate) fallback_reason: Option<String>,
    /// How long the start took, in milliseconds.
    #[specta(type = Number)]
    pub(crate) total_ms: f64,
    pub(crate) phases: Vec<PhaseTime>,
    /// Milliseconds since the Unix epoch.
    #[specta(type = Number)]
    pub(crate) started_at_ms: u64,
    /// False if the placeholder secrets are in force.
    pub(crate) rotated: bool,
}

/// How a machine came to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StartKind {
    Resumed,
    Continued,
    Cold,
}

/// One phase of a start that is over.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PhaseTime {
    pub(crate) name: String,
    #[specta(type = Number)]
    pub(crate) ms: f64,
}

/// A service and whether it answers.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Service {
    /// Stable identifier.
    pub(crate) id: String,
    /// For people.
    pub(crate) name: String,
    /// Address on this host.
    pub(crate) url: String,
    pub(crate) health: ServiceHealth,
    /// How long its health page took to answer, in milliseconds.
    #[specta(type = Option<Number>)]
    pub(crate) answer_ms: Option<f64>,
    /// Whether there is something at its address for a person to look at.
    pub(crate) browsable: bool,
}

/// Whether a service answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ServiceHealth {
    Healthy,
    Failing,
    Unchecked,
}

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SnapshotInfo {
    pub(crate) id: String,
    /// Milliseconds since the Unix epoch.
    #[specta(type = Number)]
    pub(crate) captured_at_ms: u64,
    /// How long the cold boot took that was captured, in milliseconds.
    #[specta(type = Number)]
    pub(crate) cold_boot_ms: f64,
    /// In bytes; holes take nothing.
    #[specta(type = Number)]
    pub(crate) bytes_on_disk: u64,
}

/// The image in use.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StatusImage {
    /// For people.
    pub(crate) name: String,
    pub(crate) digest: Option<String>,
    /// When it was built or published, in milliseconds since the Unix epoch.
    #[specta(type = Option<Number>)]
    pub(crate) built_at_ms: Option<u64>,
}

/// Where the secrets are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SecretStore {
    pub(crate) kind: StoreKind,
    /// What to know about it, if it is not the best kind.
    pub(crate) warning: Option<String>,
}

/// Where secrets can be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StoreKind {
    Keychain,
    KernelKeyring,
    RuntimeFile,
}

/// Memory of the QEMU process, in bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Memory {
    /// All that is resident, the shared page cache of the snapshot included.
    #[specta(type = Number)]
    pub(crate) resident: u64,
    /// What this machine alone costs.
    #[specta(type = Number)]
    pub(crate) anonymous: u64,
    /// What the guest was given.
    #[specta(type = Number)]
    pub(crate) given: u64,
}

impl Status {
    /// Before the first look that has succeeded.
    pub(crate) fn unknown(instance: &str) -> Self {
        Self {
            instance: instance.to_owned(),
            state: State::Stopped,
            busy: None,
            start: None,
            services: Vec::new(),
            accelerator: None,
            snapshot: None,
            snapshot_damage: None,
            session_kept: false,
            image: None,
            secret_store: None,
            memory: None,
            failure: None,
        }
    }

    /// What a glance has found, in place of what was known of it.
    pub(crate) fn glanced(&mut self, glance: emulator::Glance) {
        self.state = glance.state.into();
        self.busy = glance.busy.map(Busy::from);
        self.start = glance.start.map(StartSummary::from);
    }

    /// `image`: the one that the next start uses, as the page names it.
    pub(crate) fn new(status: emulator::Status, image: Option<StatusImage>) -> Self {
        Self {
            instance: status.instance,
            state: status.state.into(),
            busy: status.busy.map(Busy::from),
            start: status.start.map(StartSummary::from),
            services: status.services.into_iter().map(Service::from).collect(),
            accelerator: status.accelerator,
            snapshot: status.snapshot.map(SnapshotInfo::from),
            snapshot_damage: status.snapshot_damage,
            session_kept: status.session_kept,
            image,
            secret_store: status.secret_store.map(|store| SecretStore {
                kind: store.into(),
                warning: status.secret_warning,
            }),
            memory: status.memory.map(Memory::from),
            failure: None,
        }
    }
}

impl From<emulator::lock::Holder> for Busy {
    fn from(holder: emulator::lock::Holder) -> Self {
        Self {
            pid: holder.pid,
            command: holder.command,
        }
    }
}

impl From<emulator::State> for State {
    fn from(state: emulator::State) -> Self {
        use emulator::State as Theirs;
        match state {
            Theirs::Stopped => Self::Stopped,
            Theirs::Starting => Self::Starting,
            Theirs::Running => Self::Running,
            Theirs::Paused => Self::Paused,
            Theirs::Stopping => Self::Stopping,
            Theirs::Capturing => Self::Capturing,
            Theirs::Interrupted => Self::Interrupted,
            Theirs::Died => Self::Died,
        }
    }
}

impl From<emulator::StartSummary> for StartSummary {
    fn from(start: emulator::StartSummary) -> Self {
        let phase = |phase: emulator::progress::PhaseTime| PhaseTime {
            name: phase.name,
            ms: phase.ms,
        };
        Self {
            kind: match start.kind {
                emulator::StartKind::Resumed => StartKind::Resumed,
                emulator::StartKind::Continued => StartKind::Continued,
                emulator::StartKind::Cold => StartKind::Cold,
            },
            fallback_reason: start.fallback_reason,
            total_ms: start.total_ms,
            phases: start.phases.into_iter().map(phase).collect(),
            started_at_ms: start.started_at_ms,
            rotated: start.rotated,
        }
    }
}

impl From<emulator::ServiceStatus> for Service {
    fn from(service: emulator::ServiceStatus) -> Self {
        Self {
            id: service.id,
            name: service.name,
            url: service.url,
            health: match service.health {
                emulator::Health::Healthy => ServiceHealth::Healthy,
                emulator::Health::Failing => ServiceHealth::Failing,
                emulator::Health::Unchecked => ServiceHealth::Unchecked,
            },
            answer_ms: service.answer_ms,
            browsable: service.browsable,
        }
    }
}

impl From<emulator::SnapshotInfo> for SnapshotInfo {
    fn from(snapshot: emulator::SnapshotInfo) -> Self {
        Self {
            id: snapshot.id,
            captured_at_ms: snapshot.captured_at_ms,
            cold_boot_ms: snapshot.cold_boot_ms,
            bytes_on_disk: snapshot.bytes_on_disk,
        }
    }
}

impl From<emulator::secrets::StoreKind> for StoreKind {
    fn from(store: emulator::secrets::StoreKind) -> Self {
        use emulator::secrets::StoreKind as Theirs;
        match store {
            Theirs::Keychain => Self::Keychain,
            Theirs::KernelKeyring => Self::KernelKeyring,
            Theirs::RuntimeFile => Self::RuntimeFile,
        }
    }
}

impl From<emulator::Memory> for Memory {
    fn from(memory: emulator::Memory) -> Self {
        Self {
            resident: memory.resident,
            anonymous: memory.anonymous,
            given: memory.given,
        }
    }
}
