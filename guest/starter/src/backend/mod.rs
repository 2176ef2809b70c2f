//! The backend: the part of Stack Auth's API that the starter has, on `<P>02`, and the control socket
//! through which rotations reach the database.
//!
//! Answers and errors are those of the real backend, as recorded; where the real one has a route and
//! this one does not, it says so by name ([`error::ApiError::not_in_starter`]).
//!
//! A request of an app becomes a `call::Call`: project, access type and user are known and its key is right.
//! Handlers are sorted by what they are about (`auth`, `users`, `channels`, `teams`, `permissions`,
//! `api_keys`); each has its statements beside it and runs them through `store`. What several of them need
//! is below: `tokens` and `signing_keys`, `codes`, `mail`, `passwords`, `config`.

pub mod access;
mod account_errors;
mod api_keys;
mod auth;
mod call;
mod channels;
mod clock;
mod codes;
pub mod config;
mod config_file;
mod config_watch;
mod control_socket;
mod cron_jobs;
mod dashboard;
pub mod database;
mod emails;
pub mod error;
mod fields;
mod health;
mod local_emulator;
mod mail;
mod mailbox;
mod own_endpoints;
mod passwords;
mod permissions;
mod project_view;
mod projects;
pub mod reach;
mod rotation_connection;
mod routes;
mod signing_keys;
mod store;
mod teams;
mod tokens;
mod users;
mod wire;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use tokio::{net::TcpListener, signal::unix::SignalKind};

use self::{
    config_watch::Looks,
    control_socket::ControlSocket,
    database::{Database, DatabaseError},
    passwords::Hasher,
    rotation_connection::RotationConnection,
    tokens::Verified,
};
use crate::{
    notify,
    settings::{MovedPorts, Settings},
};

/// How long open connections may take to finish after SIGTERM.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(2);

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
    moved_ports: MovedPorts,
    /// Where the host finds this, unless it was told otherwise since.
    port_on_host: u16,
    /// The endpoints that there are.
    endpoints: Vec<String>,
}

impl Shared {
    /// How an app addresses the API; tokens name it as their issuer.
    fn base_url(&self) -> String {
        let port = self.moved_ports.of("backend").unwrap_or(self.port_on_host);
        format!("http://127.0.0.1:{port}")
    }
}

/// Why the backend could not run.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// `STACK_DATABASE` or its default is not a connection string.
    #[error("the database settings are not usable")]
    Database(#[from] DatabaseError),
    /// The port cannot be listened on.
    #[error("cannot listen on {address}; does something else hold the port?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The control socket cannot be made.
    #[error("cannot make the control socket {path}")]
    Control {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Signals cannot be received.
    #[error("cannot wait for signals")]
    Signals(#[source] io::Error),
    /// systemd does not take the message that the service is ready.
    #[error("cannot report readiness")]
    Notify(#[source] io::Error),
    /// The server failed.
    #[error("the HTTP server failed")]
    Serve(#[source] io::Error),
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// [`BackendError`] when it cannot start, or the server fails.
pub async fn run(settings: &Settings) -> Result<(), BackendError> {
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, settings.ports.backend()));
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| BackendError::Listen { address, source })?;
    let database = Database::new(&settings.database)?;
    let rotation = RotationConnection::new(database.config().clone());
    let control = ControlSocket::bind(&settings.control_socket, rotation).map_err(|source| {
        BackendError::Control {
            path: settings.control_socket.clone(),
            source,
        }
    })?;
    let shared = Arc::new(Shared {
        database,
        host_root: settings.host_root.clone(),
        listen: address,
        hasher: Hasher::new(),
        verified: Verified::default(),
        looks: Looks::default(),
        moved_ports: settings.moved_ports.clone(),
        port_on_host: settings.ports.backend_on_host,
        endpoints: routes::endpoints(),
    });

    let mut terminate =
        tokio::signal::unix::signal(SignalKind::terminate()).map_err(BackendError::Signals)?;
    let mut interrupt =
        tokio::signal::unix::signal(SignalKind::interrupt()).map_err(BackendError::Signals)?;
    let warm = shared.clone();
    tokio::spawn(async move { warm.database.warm().await });
    tokio::spawn(control.serve());
    notify::ready().map_err(BackendError::Notify)?;

    let (stop, stopped) = tokio::sync::watch::channel(());
    let mut stopping = stopped.clone();
    let server = axum::serve(listener, routes::router(shared)).with_graceful_shutdown(async move {
        // An error means that the sender is gone, which also means: stop.
        let _ = stopping.changed().await;
    });
    let mut server = tokio::spawn(server.into_future());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        ended = &mut server => return flatten(ended),
    }
    drop(stop);
    match tokio::time::timeout(SHUTDOWN_LIMIT, server).await {
        Ok(ended) => flatten(ended),
        // A client that keeps its connection busy does not hold up the shutdown of the machine.
        Err(_) => Ok(()),
    }
}

fn flatten(ended: Result<io::Result<()>, tokio::task::JoinError>) -> Result<(), BackendError> {
    ended
        .map_err(io::Error::other)
        .and_then(|result| result)
        .map_err(BackendError::Serve)
}
