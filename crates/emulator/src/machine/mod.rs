//! A virtual machine of an instance: what it is made from, how it comes up, and how one talks to
//! the guest in it.
//!
//! | module | what it is about |
//! |---|---|
//! | `bring_up`, `boot` | from a spawned QEMU to a guest with fresh secrets whose services are proved healthy |
//! | [`patience`] | whether a guest that boots is slow or stuck |
//! | `log_files` | what lies in the place of a log makes way for it |
//! | [`run_record`] | which QEMU process there is, and why |
//! | [`fingerprint`] | why saved state fits a machine or does not |
//! | [`guest`] | the two ways to talk to the guest: agent and rotation port |
//! | [`headers`] | the two names of a backend's headers |
//! | [`readiness`], `settle` | proof by the ports that users use; waiting for a quiet guest |
//! | [`folders`] | folders of the host that the guest sees |
//! | [`ports`], [`config_disk`] | what the guest is told and what the host binds |

mod boot;
pub(crate) mod bring_up;
pub(crate) mod config_disk;
pub(crate) mod error;
pub(crate) mod fingerprint;
pub mod folders;
pub(crate) mod fresh_secrets;
pub(crate) mod guest;
pub(crate) mod headers;
mod limits;
mod log_files;
pub(crate) mod patience;
pub(crate) mod ports;
pub(crate) mod readiness;
pub(crate) mod run_record;
pub(crate) mod services;
pub(crate) mod settle;
pub(crate) mod slot;
pub(crate) mod spec;

use std::time::Duration;

/// QEMU's answers on its monitor take milliseconds; this is for a machine that
/// is swapping.
pub(crate) const MONITOR_LIMIT: Duration = Duration::from_secs(20);
/// How long loading or saving a machine may take: 64 GiB at 200 MB/s.
pub(crate) const MIGRATION_LIMIT: Duration = Duration::from_secs(330);
/// Parallel streams for saved memory; more than the cores of a laptop gains nothing.
pub(crate) const CHANNELS: u8 = 4;
