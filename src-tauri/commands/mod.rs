//! What the page may ask for: each command calls the engine, or the desktop, and says how it went.

pub(crate) mod checkpoints;
pub(crate) mod checks;
pub(crate) mod desktop;
pub(crate) mod images;
pub(crate) mod lifecycle;
pub(crate) mod logs;
pub(crate) mod mails;
pub(crate) mod projects;
pub(crate) mod settings;
