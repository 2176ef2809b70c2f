//! The run record: which QEMU process there is, and why.
//!
//! It is written before QEMU is started and at each change of purpose, so that
//! a command that finds another one killed knows what was going on. No record
//! means stopped. It only has to be whole for the processes of this boot: after
//! a power cut there is no QEMU, and the record's boot id says so.

use std::path::PathBuf;

use host::{IdentityError, ProcessIdentity};
use qemu::process::find_by_token;
use serde::{Deserialize, Serialize};

use crate::machine::fingerprint::Fingerprint;
use crate::machine::readiness::Endpoint;
use crate::progress::PhaseTime;
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
    pub accelerator: String,
    /// The snapshot under the session's disk.
    pub snapshot: Option<String>,
    /// False if the placeholder secrets are in force.
    pub rotated: bool,
    /// Whether the image has a process on the rotation port.
    #[serde(default)]
    pub rotation_port: bool,
    /// What the session's memory will fit, once saved.
    pub fingerprint: Fingerprint,
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
    /// A snapshot is being taken.
    Capturing,
}

/// The run record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RunRecord {
    /// Known once QEMU has answered.
    pub process: Option<ProcessIdentity>,
    /// Where the sockets are.
    pub runtime_folder: PathBuf,
    #[serde(flatten)]
    pub purpose: Purpose,
}

impl Record for RunRecord {
    const FORMAT: &'static str = "stack-emulator-run";
    const VERSION: u32 = 1;
}

impl RunRecord {
    /// The VM, if one was started and is not being saved.
    pub(crate) fn running(&self) -> Option<&RunningVm> {
        match &self.purpose {
            Purpose::Running(vm) | Purpose::Rotating(vm) => Some(vm),
            Purpose::Starting { .. } | Purpose::Saving(_) | Purpose::Capturing => None,
        }
    }

    /// The process that this record is about, if it lives. One whose pid was
    /// not written down yet is looked for by the instance's token.
    pub(crate) fn live_processes(
        &self,
        token: &str,
    ) -> Result<Vec<ProcessIdentity>, IdentityError> {
        match &self.process {
            Some(process) if process.is_alive()? => Ok(vec![process.clone()]),
            Some(_) => Ok(Vec::new()),
            None => find_by_token(token, None),
        }
    }
}

/// What an instance remembers between runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InstanceRecord {
    /// The image that was chosen or used last; below the home folder, from there on.
    pub image: Option<PathBuf>,
    /// Digest of that image, with its stamp.
    pub image_content: Option<crate::machine::fingerprint::Content>,
    /// Digest of the QEMU binary, with its stamp.
    pub qemu_content: Option<crate::machine::fingerprint::Content>,
    /// Added to the services' default host ports.
    pub port_offset: u16,
}

impl Record for InstanceRecord {
    const FORMAT: &'static str = "stack-emulator-instance";
    const VERSION: u32 = 1;
}
