//! Work done ahead: the next start's, while nobody waits for it.
//!
//! What a user waits for at a start is almost only the rotation of the secrets. So when an emulator
//! is put away, a process of its own finishes that, brings the same machine up in the second slot, gives
//! it values that nobody has seen, proves them, lets it settle and saves it: the next start only loads
//! it and proves it again. Until all that is done the machine that was put away stays in memory, and a
//! start has it go on.
//!
//! ```text
//! stop ─► (a process of its own) copy ─► bring up ─► rotate to *next* ─► prove ─► settle ─► save
//!                                                                                    │
//! start ◄── take: exchange with the session ◄── prepared.json, written last ◄────────┘
//!    └──► prove *next*, make it *current*; the machine is adopted
//! ```
//!
//! | module | what it is about |
//! |---|---|
//! | [`policy`] | when it is worth the work: a pure function |
//! | `work` | what the process does that works ahead, which holds nothing that others need |
//! | `make` | the machine that it makes |
//! | `standby` | the same machine in memory |
//! | `take` | a start that finds it done |
//! | `look` | what a start would find, for those who only look |
//! | `begin` | starting that process, and ending it |
//!
//! Nothing here is the only place of anything. The work is on copies, and the machine that was put away
//! ends only once its session is saved, so the process may be killed at any point; every command that
//! acts on the instance ends it first ([`Emulator::hold`](super::Emulator)).
//! What is done is dropped in any doubt, and the start is then the one without it. How it lies on disk,
//! and what a start that is killed leaves, says [`crate::state::prepared`].

mod begin;
mod look;
mod make;
pub(crate) mod policy;
pub(super) mod standby;
mod take;
mod work;

pub use begin::Worker;
pub use work::AheadReport;

use qemu::ProcessIdentity;
use record::Record;
use serde::{Deserialize, Serialize};

use crate::config::identity::FolderIdentity;

/// `worker.json`: the process that does the work.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct WorkerRecord {
    pub process: ProcessIdentity,
    /// The slot's folder: in a copy of it, the record is about a process that works for the original.
    #[serde(default)]
    pub folder: Option<FolderIdentity>,
}

impl Record for WorkerRecord {
    const FORMAT: &'static str = "stack-emulator-worker";
    const VERSION: u32 = 1;
}

/// `ahead.json`: what became of earlier work, and what it saves.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct History {
    /// How many prepared machines were dropped since the last start.
    pub unused: u32,
    /// How long the last start took that replaced the secrets itself to do that and to prove it, in
    /// milliseconds.
    #[serde(default)]
    pub rotation_ms: Option<f64>,
}

/// What a start would find done, as far as a look tells.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum NextStart {
    /// Its virtual machine is in memory, with its secrets replaced.
    Standby {
        /// What it costs meanwhile, in bytes, if the system tells.
        #[cfg_attr(feature = "specta", specta(type = Option<specta_typescript::Number>))]
        memory: Option<u64>,
    },
    /// Its secrets are replaced already.
    Prepared,
    /// They are being replaced; a start now ends that, and does it itself.
    Preparing,
    /// The last stop is still being finished: a start now has the same machine go on, with the same
    /// secrets.
    GoesOn,
    /// It replaces them first.
    Plain {
        /// How long that took the last time, in milliseconds, if it is known.
        #[cfg_attr(feature = "specta", specta(type = Option<specta_typescript::Number>))]
        rotation_ms: Option<f64>,
    },
}

impl Record for History {
    const FORMAT: &'static str = "stack-emulator-ahead";
    const VERSION: u32 = 1;
}
