//! The run record: which QEMU process there is, and why.
//!
//! It is written before QEMU is started and at each change of purpose, so that
//! a command that finds another one killed knows what was going on. No record
//! means stopped. It only has to be whole for the processes of this boot: after
//! a power cut there is no QEMU, and the record's boot id says so.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use qemu::{Forward, Monitor, ProcessIdentity, Sockets};
use serde::{Deserialize, Serialize};

use crate::config::identity::FolderIdentity;
use crate::config::network::GuestNetwork;
use crate::config::paths::{CheckpointName, SlotPaths};
use crate::machine::error::MachineError;
use crate::machine::fingerprint::Fingerprint;
use crate::machine::ports::ServicePort;
use crate::machine::readiness::Endpoint;
use progress::PhaseTime;
use record::Record;

/// How a VM came to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
#[serde(rename_all = "snake_case")]
pub enum StartKind {
    /// From the snapshot.
    Resumed,
    /// From the last session.
    Continued,
    /// By booting.
    Cold,
    /// From a checkpoint.
    Restored,
}

/// A VM that has been started.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RunningVm {
    pub kind: StartKind,
    pub fallback_reason: Option<String>,
    /// Whether the snapshot in use is one that no start can use any more.
    #[serde(default)]
    pub snapshot_damaged: bool,
    /// How far the guest's clock was off once all was ready, in milliseconds,
    /// if that was too far.
    #[serde(default)]
    pub clock_off_ms: Option<i64>,
    /// Milliseconds since the Unix epoch.
    pub started_at_ms: u64,
    pub total_ms: f64,
    pub phases: Vec<PhaseTime>,
    pub endpoints: Vec<Endpoint>,
    /// The port inside the guest of each service that the host forwards; records of earlier versions
    /// have none.
    #[serde(default)]
    pub guest_ports: BTreeMap<String, u16>,
    /// The ports that links inside the guest lead to, as far as the services have others.
    #[serde(default)]
    pub told_ports: Vec<ServicePort>,
    pub accelerator: String,
    /// The snapshot under the session's disk.
    pub snapshot: Option<String>,
    /// False if the placeholder secrets are in force.
    pub rotated: bool,
    /// Whether its start rotated nothing because the user wanted it so. A session that holds values of its
    /// own keeps them then.
    #[serde(default)]
    pub rotation_off: bool,
    /// When the start was that made the secrets in force, in milliseconds since the Unix epoch, if it
    /// was an earlier one: of a restored checkpoint that kept them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets_from_ms: Option<u64>,
    /// The checkpoint that was restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointName>,
    /// Whether it was prepared before its start.
    #[serde(default)]
    pub prepared: bool,
    /// Whether it stood by in memory.
    #[serde(default)]
    pub standby: bool,
    /// Whether the image has a process on the rotation port.
    #[serde(default)]
    pub rotation_port: bool,
    /// What the session's memory will fit, once saved.
    pub fingerprint: Fingerprint,
}

impl RunningVm {
    /// Whether its start left the values in force that were so before.
    pub(crate) fn kept_secrets(&self) -> bool {
        self.secrets_from_ms.is_some() || (self.rotated && self.rotation_off)
    }

    /// Whether a start by `no_rotation` does as its start did.
    pub(crate) fn rotates_like(&self, no_rotation: bool) -> bool {
        // Records of earlier versions told the one from the other by this.
        (self.rotation_off || !self.rotated) == no_rotation
    }

    /// When the start was that made the secrets in force, in milliseconds since the Unix epoch.
    pub(crate) fn secrets_made_at_ms(&self) -> u64 {
        self.secrets_from_ms.unwrap_or(self.started_at_ms)
    }

    /// The ports of the host that lead into the guest.
    pub(crate) fn forwards(&self) -> Vec<Forward> {
        forwards(&self.endpoints, &self.guest_ports)
    }
}

/// Which port of the host leads to which of the guest, for those that lead anywhere.
pub(crate) fn forwards(
    endpoints: &[Endpoint],
    guest_ports: &BTreeMap<String, u16>,
) -> Vec<Forward> {
    let forward = |endpoint: &Endpoint| {
        let guest_port = *guest_ports.get(&endpoint.id)?;
        Some(Forward {
            host_port: endpoint.port,
            guest_port,
        })
    };
    endpoints.iter().filter_map(forward).collect()
}

/// Why there is a QEMU process.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "purpose", rename_all = "snake_case")]
pub(crate) enum Purpose {
    /// A start is under way.
    Starting {
        /// The session's disk was made by this start and holds nothing of the user's.
        fresh_disk: bool,
    },
    /// The emulator runs.
    Running(Box<RunningVm>),
    /// The emulator runs, and its secrets are being replaced.
    Rotating(Box<RunningVm>),
    /// A stop is saving the session.
    Saving(Box<RunningVm>),
    /// A stop has left it standing still, without ports, to be saved and ended by who comes next.
    SetAside(Box<RunningVm>),
    /// The emulator runs, and stands still for a moment while a checkpoint is made of it.
    Checkpointing(Box<RunningVm>),
    /// A snapshot is being taken.
    Capturing,
    /// The machine of the next start is being made, in the second slot.
    Preparing,
    /// The machine of the next start is there, and stands still.
    StandingBy,
}

/// The run record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RunRecord {
    /// Known once QEMU has answered.
    pub process: Option<ProcessIdentity>,
    /// Where the sockets were made.
    pub runtime_folder: PathBuf,
    /// What its QEMU carries on its command line; records of earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The slot's folder, which a copy of the record does not lie in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<FolderIdentity>,
    /// Whom its guest can connect to. Not written before a QEMU is about to be started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<GuestNetwork>,
    /// Whether QEMU writes its process id into the slot's folder.
    #[serde(default)]
    pub pid_file: bool,
    #[serde(flatten)]
    pub purpose: Purpose,
}

impl Record for RunRecord {
    const FORMAT: &'static str = "stack-emulator-run";
    const VERSION: u32 = 1;
}

/// How a machine has ended that nobody has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// The guest powered itself off.
    Guest,
    /// A signal told QEMU to end.
    Signal,
    /// The host was shut down or restarted.
    Reboot,
}

impl RunRecord {
    /// Whom the guest can connect to. Earlier versions had it connect to everybody, and did not write so.
    pub(crate) fn network(&self) -> GuestNetwork {
        self.network.unwrap_or(GuestNetwork::Open)
    }

    /// The sockets of its machine in the slot at `paths`: in the slot's folder, wherever that is now, or
    /// where they were made.
    pub(crate) fn sockets(&self, paths: &SlotPaths) -> Result<Sockets, MachineError> {
        let own = Sockets::in_dir(&paths.sockets()?)?;
        if own.are_there() {
            return Ok(own);
        }
        Ok(Sockets::in_dir(&self.runtime_folder)?)
    }

    /// Connects to its monitors.
    pub(crate) async fn connect(
        &self,
        paths: &SlotPaths,
        limit: Duration,
    ) -> Result<(Sockets, Monitor), MachineError> {
        let sockets = self.sockets(paths)?;
        let connected = Monitor::connect(&sockets, limit).await;
        let (monitor, _) = connected.map_err(|source| MachineError::Unreachable { source })?;
        Ok((sockets, monitor))
    }

    /// The VM, if one was started and is not being saved.
    pub(crate) fn running(&self) -> Option<&RunningVm> {
        match &self.purpose {
            Purpose::Running(vm) | Purpose::Rotating(vm) | Purpose::Checkpointing(vm) => Some(vm),
            Purpose::Starting { .. }
            | Purpose::Saving(_)
            | Purpose::SetAside(_)
            | Purpose::Capturing
            | Purpose::Preparing
            | Purpose::StandingBy => None,
        }
    }
}
