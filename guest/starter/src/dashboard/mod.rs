//! The dashboard's web server: its files, signing in to it, and the way on to the backend for who is signed in.
//!
//! Every user of the host and every page of their browsers can reach this port, so that an answer here is for all of
//! them unless it asks for a session ([`session`]). What the page may do then is what the backend's API can do: calls
//! are passed on with admin access ([`forward`]). This process keeps nothing of a session.

mod backend;
mod files;
mod forward;
mod session;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use tokio::{net::TcpListener, signal::unix::SignalKind};

use self::backend::Backend;
pub use self::session::cookie_in;
use crate::{
    notify,
    settings::{MovedPorts, Settings},
};

/// Largest request body in bytes, as the backend has it.
const MAX_BODY: usize = 64 * 1024;

/// Why the dashboard could not run.
#[derive(Debug, thiserror::Error)]
pub enum DashboardError {
    /// The port cannot be listened on.
    #[error("cannot listen on {address}; does something else hold the port?")]
    Listen {
        /// The address.
        address: SocketAddr,
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

#[derive(Debug)]
struct Site {
    folder: PathBuf,
    backend: Backend,
    backend_port: u16,
    moved_ports: MovedPorts,
}

impl Site {
    /// Where a browser on the host finds the backend. Asked for each answer: a machine that is
    /// resumed can have been given other ports.
    fn backend_port(&self) -> u16 {
        self.moved_ports.of("backend").unwrap_or(self.backend_port)
    }
}

/// Serves until SIGTERM.
///
/// # Errors
/// [`DashboardError`] when it cannot start, or the server fails.
pub async fn run(settings: &Settings) -> Result<(), DashboardError> {
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, settings.ports.dashboard()));
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| DashboardError::Listen { address, source })?;
    let mut terminate =
        tokio::signal::unix::signal(SignalKind::terminate()).map_err(DashboardError::Signals)?;
    let site = Arc::new(Site {
        folder: settings.dashboard_dir.clone(),
        backend: Backend::at(settings.ports.backend()),
        backend_port: settings.ports.backend_on_host,
        moved_ports: settings.moved_ports.clone(),
    });
    notify::ready().map_err(DashboardError::Notify)?;
    // Answers are small: nothing is worth waiting for when the machine goes down.
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        ended = axum::serve(listener, router(site)) => ended.map_err(DashboardError::Serve),
    }
}

fn router(site: Arc<Site>) -> Router {
    Router::new()
        .route("/", get(files::page))
        .route("/handler/sign-in", get(files::page))
        .route("/assets/{name}", get(files::asset))
        .route("/session", post(session::sign_in).delete(session::sign_out))
        .route("/api/v1/{*path}", any(forward::pass_on))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(site.clone(), guard))
        .with_state(site)
}

/// Refuses foreign host names and adds the headers that keep the bundle's key on this page.
///
/// The host check is against DNS rebinding: a web page elsewhere whose name is made to point at
/// 127.0.0.1 would otherwise count as the dashboard's own origin.
async fn guard(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    if !is_local(request.headers()) {
        let text = "The dashboard answers on localhost and 127.0.0.1 only.";
        return (StatusCode::MISDIRECTED_REQUEST, text).into_response();
    }
    let mut response = next.run(request).await;
    let port = site.backend_port();
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; \
         img-src 'self'; connect-src 'self' http://127.0.0.1:{port} http://localhost:{port}; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // Keeps other sites from running the bundle in their own pages.
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn is_local(headers: &HeaderMap) -> bool {
    let Some(host) = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
    else {
        // HTTP/1.0 clients send none, and no browser is one.
        return true;
    };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    name == "127.0.0.1"
        || name == "[::1]"
        || name.eq_ignore_ascii_case("localhost")
        || name.to_ascii_lowercase().ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_local_names_are_served() {
        let is_local = |host: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static(host));
            super::is_local(&headers)
        };
        for host in [
            "localhost:26700",
            "127.0.0.1:26700",
            "127.0.0.1",
            "[::1]:1",
            "LOCALHOST",
            "a.localhost:1",
        ] {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example:26700",
            "127.0.0.1.evil.example",
            "",
            "xlocalhost",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }
}
