//! QEMU: command line, QMP, guest agent, migration, accelerator probe.
//!
//! This crate knows QEMU and nothing of the product above it. In the order of a start:
//!
//! 1. [`QemuBinary`] finds the program and asks it what it is;
//! 2. [`accel::probe`] finds an accelerator that really works;
//! 3. [`Machine`] builds the one command line for boot, capture and resume;
//! 4. [`Spawn`] starts it and hands over its sockets, [`ProcessIdentity`] knows it again later;
//! 5. [`Monitor`] (on [`qmp`]) commands it, [`migration`] saves and loads its state;
//! 6. [`GuestAgent`] talks to the guest;
//! 7. [`stop::stop`] ends it, whatever it takes.
//!
//! Everything that waits has a time limit, and every future may be dropped at any point.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod accel;
pub mod agent;
pub mod binary;
mod cache;
pub mod firmware;
mod forward;
pub mod machine;
pub mod migration;
pub mod monitor;
pub mod process;
pub mod qmp;
pub mod stop;
mod version;

pub use accel::{Accelerator, Probe, ProbeError};
pub use agent::{AgentError, Exec, ExecResult, GuestAgent};
pub use binary::{BinaryError, QemuBinary};
pub use forward::ForwardError;
pub use host::{Arch, ProcessIdentity};
pub use machine::{Disk, Forward, Launch, Machine, MachineError, Ram, Share};
pub use migration::MigrationError;
pub use monitor::{Monitor, RunStatus};
pub use process::{Running, Sockets, Spawn, SpawnError};
pub use qmp::{Event, EventStream, Greeting, Qmp, QmpError};
pub use stop::StopError;
pub use version::Version;

pub use qapi_qmp;
pub use qapi_spec;
