//! An app's side: the config files of its projects, the keys that belong to them, the `.env`
//! files that they are written to, its users, the mails to them, and the dashboard that shows all of it.

#[cfg(test)]
mod backend_double;
pub mod clashes;
pub mod config_watch;
pub mod credentials;
pub mod dashboard;
pub mod dotenv;
pub mod env_files;
pub(crate) mod error;
pub mod mail;
pub mod projects;
pub mod users;
