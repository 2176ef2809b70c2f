//! Looks at instances and the host; changes nothing.

pub mod changes;
pub mod diagnostics;
pub mod doctor;
pub mod host_limits;
mod inspect;
pub(crate) mod status;
