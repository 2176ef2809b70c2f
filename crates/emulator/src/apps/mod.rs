//! An app's side: the config files of its projects, the keys that belong to them, the `.env`
//! files that they are written to, its users, and the mails to them.

#[cfg(test)]
mod backend_double;
pub mod credentials;
pub mod dotenv;
pub(crate) mod error;
pub mod mail;
pub mod projects;
pub mod users;
