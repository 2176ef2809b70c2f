//! A virtual machine of an instance: what it is made from, how it comes up, and how one talks to
//! the guest in it.
//!
//! | module | what it is about |
//! |---|---|
//! | `bring_up`, `boot` | from a spawned QEMU to a guest with fresh secrets whose services are proved healthy |
//! | [`run_record`] | which QEMU process there is, and why |
//! | [`fingerprint`] | why saved state fits a machine or does not |
//! | [`guest`] | the two ways to talk to the guest: agent and rotation port |
//! | [`readiness`], `settle` | proof by the ports that users use; waiting for a quiet guest |
//! | [`folders`] | folders of the host that the guest sees |
//! | [`ports`], [`config_disk`] | what the guest is told and what the host binds |

mod boot;
pub(crate) mod bring_up;
pub mod config_disk;
pub mod fingerprint;
pub mod folders;
pub mod guest;
pub mod ports;
pub mod readiness;
pub(crate) mod run_record;
pub(crate) mod settle;
