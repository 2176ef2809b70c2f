//! What is set, and where things are: every file's and every environment variable's name, the
//! settings that a file keeps, and sizes and durations as people write them.

pub(crate) mod choices;
pub(crate) mod error;
pub(crate) mod identity;
pub(crate) mod network;
pub mod paths;
pub mod preferences;
pub mod quantities;
mod twins;
pub(crate) mod updates;
mod values;
pub mod variables;
