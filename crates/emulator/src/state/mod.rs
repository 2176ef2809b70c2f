//! Saved state of an instance: snapshots, sessions and checkpoints, what makes them safe to load, and what is
//! kept of them.

pub(crate) mod aside;
pub(crate) mod checkpoint;
pub(crate) mod error;
pub(crate) mod instance_record;
pub(crate) mod prepared;
pub mod retention;
pub(crate) mod session;
pub(crate) mod snapshot;
pub(crate) mod snapshot_info;
pub(crate) mod sparse;
pub(crate) mod used_pages;
