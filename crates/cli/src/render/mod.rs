//! Reports as text: calm, aligned, and the same units everywhere.

pub(crate) mod checkpoints;
pub(crate) mod env_files;
pub(crate) mod images;
pub(crate) mod instances;
pub(crate) mod mail;
pub(crate) mod phases;
pub(crate) mod reports;
pub(crate) mod status;
pub(crate) mod style;
pub(crate) mod text;
pub(crate) mod users;
