//! The process `stack-backend`: what it listens on, from its start to its end.
//!
//! The mail inbox and the mock OAuth provider are here as well: they work with the same connections to the database.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use axum::Router;
use tokio::{net::TcpListener, signal::unix::SignalKind, sync::watch, task::JoinSet};

use crate::{
    backend::{
        self, ControlError,
        database::{Database, DatabaseError},
    },
    inbox::{self, PageError},
    mock_oauth, notify,
    settings::Settings,
};

/// How long open connections may take to finish after SIGTERM.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(2);

/// Why the process could not run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// `STACK_DATABASE` or its default is not a connection string.
    #[error("the database settings are not usable")]
    Database(#[from] DatabaseError),
    /// A port cannot be listened on.
    #[error("cannot listen on {address}; does something else hold the port?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The backend cannot be rotated.
    #[error("cannot start the backend")]
    Backend(#[from] ControlError),
    /// The inbox has no page.
    #[error("cannot start the mail inbox")]
    Inbox(#[from] PageError),
    /// Signals cannot be received.
    #[error("cannot wait for signals")]
    Signals(#[source] io::Error),
    /// systemd does not take the message that the service is ready.
    #[error("cannot report readiness")]
    Notify(#[source] io::Error),
    /// A server failed.
    #[error("the HTTP server failed")]
    Serve(#[source] io::Error),
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// [`ServerError`] when it cannot start, or a server fails.
pub async fn run(settings: &Settings) -> Result<(), ServerError> {
    let (listener, address) = listen(settings.ports.backend()).await?;
    let (inbox_listener, _) = listen(settings.inbox_port).await?;
    let (mock_oauth_listener, _) = listen(settings.ports.mock_oauth()).await?;
    let database = Database::new(&settings.database)?;
    let inbox = inbox::router(database.clone(), &settings.inbox_dir)?;
    let mock_oauth = mock_oauth::router(settings, database.clone());
    let backend = backend::begin(settings, &database, address)?;
    let mut terminate =
        tokio::signal::unix::signal(SignalKind::terminate()).map_err(ServerError::Signals)?;
    let mut interrupt =
        tokio::signal::unix::signal(SignalKind::interrupt()).map_err(ServerError::Signals)?;
    tokio::spawn(async move { database.warm().await });
    notify::ready().map_err(ServerError::Notify)?;

    let (stop, stopped) = watch::channel(());
    let mut servers = JoinSet::new();
    for (listener, router) in [
        (listener, backend),
        (inbox_listener, inbox),
        (mock_oauth_listener, mock_oauth),
    ] {
        servers.spawn(serve(listener, router, stopped.clone()));
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        // They end by themselves only when they fail.
        Some(ended) = servers.join_next() => return flatten(ended),
    }
    drop(stop);
    let all = async {
        while let Some(ended) = servers.join_next().await {
            flatten(ended)?;
        }
        Ok(())
    };
    // A client that keeps its connection busy does not hold up the shutdown of the machine.
    tokio::time::timeout(SHUTDOWN_LIMIT, all)
        .await
        .unwrap_or(Ok(()))
}

async fn listen(port: u16) -> Result<(TcpListener, SocketAddr), ServerError> {
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| ServerError::Listen { address, source })?;
    Ok((listener, address))
}

async fn serve(
    listener: TcpListener,
    router: Router,
    mut stopped: watch::Receiver<()>,
) -> io::Result<()> {
    axum::serve(listener, router)
        .with_graceful_shutdown(async move {
            // An error means that the sender is gone, which also means: stop.
            let _ = stopped.changed().await;
        })
        .await
}

fn flatten(ended: Result<io::Result<()>, tokio::task::JoinError>) -> Result<(), ServerError> {
    ended
        .map_err(io::Error::other)
        .and_then(|result| result)
        .map_err(ServerError::Serve)
}
