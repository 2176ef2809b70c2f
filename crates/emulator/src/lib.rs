//! The emulator engine: everything that the shells — the command line and the
//! desktop app — do to an emulator.
//!
//! An [`Emulator`] is a name and a folder. The folder is the truth: QEMU runs
//! detached, no daemon of ours watches it, and every operation observes,
//! takes the instance's lock, finishes or undoes what a killed command left
//! ([`policy`] shows the states), acts, and records.
//!
//! | module | what it is about |
//! |---|---|
//! | [`policy`] | what is done in which state: pure functions |
//! | `start`, `stop`, `capture`, `rotate`, `status`, `verify`, `archive` | the operations on an instance |
//! | [`offers`], [`pull`], [`installed`], [`prune`] | the operations on images |
//! | `set_up` | the first pull, capture and start, as one |
//! | [`retention`] | what is kept and what goes: pure functions |
//! | `vm` | bringing a machine up, rotating, proving |
//! | `snapshot`, `session` | saved state, and what makes it safe to load |
//! | `remembered` | what an instance remembers between runs |
//! | [`fingerprint`] | why saved state fits a machine or does not |
//! | [`readiness`] | proof, by the ports that users use |
//! | [`store`] | where the four values are kept; as a type they are those of the crate [`secrets`] |
//! | [`token`] | where a GitHub token comes from |
//! | [`folders`], [`credentials`] | an app's config file: seen by the guest, answered with a project's keys |
//! | [`projects`] | the config files that were used, and the apps around them |
//! | [`dotenv`] | setting variables in a `.env` file, byte for byte |
//! | [`ports`], [`host_limits`] | what a start may take of this host |
//! | [`paths`], [`variables`] | every file's and every environment variable's name |
//! | [`changes`] | telling a shell that something may have changed |
//! | [`diagnostics`] | an archive for whoever looks into a problem |
//! | [`logs`] | their last lines, and what is added |
//! | [`examine`] | whether this host can run the emulator, and what to do if not |
//! | [`preferences`] | the settings that are kept in a file |

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod archive;
mod capture;
pub mod changes;
mod choice;
mod clock;
pub mod config_disk;
pub mod credentials;
pub mod diagnostics;
pub mod dotenv;
mod error;
pub mod examine;
pub mod fingerprint;
pub mod folders;
pub mod guest;
pub mod host_limits;
mod inspect;
pub mod installed;
mod instance;
pub mod lease;
pub mod lock;
pub mod logs;
pub mod offers;
pub mod paths;
pub mod policy;
pub mod ports;
pub mod preferences;
pub mod progress;
pub mod projects;
pub mod prune;
pub mod pull;
pub mod quantity;
pub mod readiness;
mod remembered;
pub mod retention;
mod rotate;
mod run;
mod session;
mod set_up;
mod settle;
mod snapshot;
mod sparse;
mod start;
mod status;
mod stop;
pub mod store;
pub mod token;
pub mod variables;
mod verify;
mod vm;

pub use capture::CaptureReport;
pub use choice::UseReport;
pub use error::{Error, chain};
pub use instance::Emulator;
pub use record;
pub use rotate::{RotateReport, SecretPlace};
pub use run::StartKind;
pub use secrets;
pub use start::{StartDetails, StartReport};
pub use status::{
    Glance, Health, Memory, ServiceStatus, SnapshotInfo, StartSummary, State, Status,
};
pub use stop::{SessionFate, StopReport};
pub use verify::VerifyReport;
