//! An app's side: the config files of its projects, the keys that belong to them, and the `.env`
//! files that they are written to.

pub mod credentials;
pub mod dotenv;
pub(crate) mod error;
pub mod projects;
