//! What crosses the bridge to the page beside the engine's own reports, which cross as they are: what the page alone
//! needs, and has in no report.
//!
//! Rules: names are those of the command line's JSON, `snake_case`; a union is tagged by `kind`. Times are
//! milliseconds, of a day since the Unix epoch; sizes are bytes. Numbers of 64 bits are declared as plain
//! numbers: none here reaches 2^53. No type here can hold a secret; the commands that reveal one return text.

pub(crate) mod activity;
pub(crate) mod app;
pub(crate) mod failure;
pub(crate) mod images;
pub(crate) mod logs;
pub(crate) mod mails;
pub(crate) mod others;
pub(crate) mod projects;
pub(crate) mod settings;
pub(crate) mod status;
pub(crate) mod text;
