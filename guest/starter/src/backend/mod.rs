//! The backend: the part of Stack Auth's API that the starter has, on `<P>02`, and the control socket
//! through which rotations reach the database. [`crate::server`] runs it.
//!
//! Answers and errors are those of the real backend, as recorded; where the real one has a route and
//! this one does not, it says so by name ([`error::ApiError::not_in_starter`]).
//!
//! A request of an app becomes a `call::Call`: project, access type and user are known and its key is right.
//! Handlers are sorted by what they are about (`auth`, `oauth`, `users`, `channels`, `teams`, `permissions`,
//! `api_keys`); each has its statements beside it and runs them through `store`. What several of them need
//! is below: `tokens` and `signing_keys`, `codes`, `mail`, `passwords`, `config`.

pub mod access;
mod account_errors;
mod api_keys;
mod auth;
mod call;
mod channels;
pub(crate) mod clock;
pub(crate) mod codes;
pub mod config;
mod config_file;
mod config_watch;
mod control_socket;
mod cron_jobs;
mod dashboard;
pub mod database;
mod emails;
pub mod error;
pub(crate) mod fields;
mod health;
mod local_emulator;
mod mail;
mod mailbox;
mod oauth;
mod own_endpoints;
mod passwords;
mod permissions;
mod project_view;
mod projects;
pub mod reach;
mod rotation_connection;
mod routes;
mod signing_keys;
pub(crate) mod store;
mod teams;
mod tokens;
mod users;
mod wire;

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc};

use axum::Router;

use self::{
    config_watch::Looks, control_socket::ControlSocket, database::Database, passwords::Hasher,
    rotation_connection::RotationConnection, tokens::Verified,
};
use crate::{mock_oauth::Places, settings::Settings};

/// What the handlers share.
#[derive(Debug)]
pub struct Shared {
    database: Database,
    host_root: PathBuf,
    /// Address that error texts name.
    listen: SocketAddr,
    hasher: Hasher,
    verified: Verified,
    looks: Looks,
    /// Where the host finds this, and the mock OAuth provider.
    places: Places,
    /// The endpoints that there are.
    endpoints: Vec<String>,
}

impl Shared {
    /// How an app addresses the API; tokens name it as their issuer.
    fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.places.backend_port())
    }
}

/// Why the backend could not start.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the control socket {path}")]
pub struct ControlError {
    path: PathBuf,
    source: io::Error,
}

/// Begins to take rotations on the control socket, and gives what answers the API at `listen`.
///
/// # Errors
/// [`ControlError`]
pub(crate) fn begin(
    settings: &Settings,
    database: &Database,
    listen: SocketAddr,
) -> Result<Router, ControlError> {
    let rotation = RotationConnection::new(database.config().clone());
    let control =
        ControlSocket::bind(&settings.control_socket, rotation).map_err(|source| ControlError {
            path: settings.control_socket.clone(),
            source,
        })?;
    let shared = Shared {
        database: database.clone(),
        host_root: settings.host_root.clone(),
        listen,
        hasher: Hasher::new(),
        verified: Verified::default(),
        looks: Looks::default(),
        places: Places::new(settings),
        endpoints: routes::endpoints(),
    };
    tokio::spawn(control.serve());
    Ok(routes::router(Arc::new(shared)))
}
