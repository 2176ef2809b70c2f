//! An app's side: the config files of its projects, the keys that belong to them, the `.env`
//! files that they are written to, and the mails to its users.

pub mod credentials;
pub mod dotenv;
pub(crate) mod error;
pub mod mail;
pub mod projects;
