//! What the page may ask for: each command calls the engine, or the desktop, and says how it went.

pub(crate) mod lifecycle;
pub(crate) mod projects;
