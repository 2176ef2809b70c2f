//! Looks at instances and the host; changes nothing.

pub mod changes;
pub mod diagnostics;
pub mod doctor;
pub(crate) mod error;
pub(crate) mod host_limits;
pub(crate) mod inspect;
pub mod instances;
pub(crate) mod logs;
pub mod ports;
pub(crate) mod status;
