//! The emulator engine: everything that the shells — the command line and the
//! desktop app — do to an emulator.
//!
//! An [`Emulator`] is a name and a folder. The folder is the truth: QEMU runs
//! detached, no daemon of ours watches it, and every operation observes,
//! takes the instance's lock, finishes or undoes what a killed command left
//! ([`instance::policy`] shows the states), acts, and records.
//!
//! The rooms, top floor first. Each may use what is below it and nothing above
//! it; `cargo xtask lint` holds that.
//!
//! | room | what it is about |
//! |---|---|
//! | `library` | operations on images: offers, pull, installed, prune |
//! | `apps` | an app's side: credentials, projects, `.env` files, mails, the dashboard |
//! | `observe` | looks and changes nothing: status, instances, changes, doctor, diagnostics |
//! | `instance` | an instance: lock and recovery, start, stop, capture, rotate, verify, archive, checkpoint, clone, delete |
//! | `state` | saved state: snapshots, sessions, what is kept of them |
//! | `machine` | a virtual machine: bringing it up, its guest, proof of readiness, shared folders |
//! | `vault` | where secret values are kept |
//! | `logs` | logs that are read and followed |
//! | `config` | names of files and variables, settings, quantities |

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod apps;
mod config;
mod error;
mod fault;
mod instance;
mod library;
pub mod logs;
mod machine;
mod observe;
mod state;
pub mod vault;

pub use progress;
pub use secrets;

pub use apps::error::AppsError;
pub use apps::{
    clashes, config_watch, credentials, dashboard, dotenv, env_files, mail, projects, users,
};
pub use config::error::ConfigError;
pub use config::network::{GuestNetwork, NetworkChoice};
pub use config::updates::Updates;
pub use config::{paths, preferences, quantities as quantity, variables};
pub use error::Error;
pub use failure::{Code, ImageHold, Loss, Remedy, UsedPort, chain, limit_reached};
pub use instance::ahead::{AheadReport, NextStart, Worker};
pub use instance::capture::CaptureReport;
pub use instance::checkpoint::{
    CheckpointEntry, CheckpointList, CheckpointReport, DeleteCheckpointReport,
    RestoreCheckpointReport,
};
pub use instance::choice::UseReport;
pub use instance::clone::{CloneFrom, CloneReport};
pub use instance::delete::DeleteReport;
pub use instance::error::InstanceError;
pub use instance::here::InstanceFolder;
pub use instance::idle::IdleReport;
pub use instance::rotate::{RotateReport, SecretPlace};
pub use instance::start::{StartDetails, StartReport};
pub use instance::stop::{SessionFate, StopReport};
pub use instance::verify::VerifyReport;
pub use instance::{Emulator, archive, lease, lock};
pub use library::error::LibraryError;
pub use library::{installed, offers, prune, pull, token, updates};
pub use machine::error::MachineError;
pub use machine::folders;
pub use machine::ports::OtherListener;
pub use machine::readiness::Endpoint;
pub use machine::run_record::{EndedBy, StartKind};
pub use machine::services::{Health, ServiceStatus};
pub use observe::error::ObserveError;
pub use observe::host_limits::HostLimits;
pub use observe::inspect::{OtherSetting, UsualRam};
pub use observe::status::{Glance, Memory, PausedBy, StartSummary, State, Status};
pub use observe::{changes, diagnostics, doctor as examine, instances, ports};
pub use qemu::process::keep_logs_if_asked;
pub use state::error::StateError;
pub use state::retention;
pub use state::snapshot_info::SnapshotInfo;
