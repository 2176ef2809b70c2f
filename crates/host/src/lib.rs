//! What this host is and does: the one place that asks the operating system.
//!
//! | module | what it tells |
//! |---|---|
//! | [`process`] | which process exactly, whether it lives, its CPU time and memory |
//! | [`memory`] | how much memory there is |
//! | [`cpu`] | model and features of the processors, and whether they can run virtual machines |
//! | [`page_cache`] | which parts of files are in memory |
//! | [`disk`] | free space, and files that share blocks |
//! | [`limits`] | what this process is allowed, and what does not work within that |
//! | [`power`] | whether it runs on its battery |
//! | [`priority`] | giving way to others |
//! | [`ports`] | who listens on a port, and whose a connection is |
//! | [`programs`] | where a program is |
//! | [`core_dumps`] | that none is left |
//! | [`graphics`] | which graphics driver is loaded |
//! | [`clock`] | the time, and the current boot |
//! | [`stamp`] | whether a file was changed |
//! | [`arch`] | the processor architecture |
//!
//! The modules `linux` and `macos` offer the same functions, and hold everything that differs
//! between the two systems. No other crate reads `/proc` or `/sys`.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod arch;
pub mod clock;
pub mod core_dumps;
pub mod cpu;
pub mod disk;
pub mod graphics;
pub mod limits;
pub mod memory;
pub mod page_cache;
pub mod ports;
pub mod power;
pub mod priority;
pub mod process;
pub mod programs;
pub mod stamp;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as system;

#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
use macos as system;

pub use arch::{Arch, UnknownArch};
pub use clock::{boot_id, now_ms};
pub use process::{IdentityError, ProcessIdentity};
pub use stamp::FileStamp;
