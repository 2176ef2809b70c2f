//! The dashboard's web server: the built files, read from disk for each request.
//!
//! Nothing is cached, here or in the browser, because a rotation exchanges the bundle on the disk and
//! the next page load must have the new key. The page that loads the bundle is the only thing made on
//! the fly: it tells the bundle where the host has put the backend.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use tokio::{net::TcpListener, signal::unix::SignalKind};

use crate::{
    notify, report,
    settings::{MovedPorts, Settings},
};

/// The page, in the dashboard's folder.
const PAGE: &str = "index.html";
/// What stands in the page for the backend's port on the host.
const PORT_MARK: &str = "{{BACKEND_HOST_PORT}}";
/// Largest file served, in bytes.
const MAX_FILE: u64 = 32 * 1024 * 1024;

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
        backend_port: settings.ports.backend_on_host,
        moved_ports: settings.moved_ports.clone(),
    });
    notify::ready().map_err(DashboardError::Notify)?;
    // Answers are small files: nothing is worth waiting for when the machine goes down.
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        ended = axum::serve(listener, router(site)) => ended.map_err(DashboardError::Serve),
    }
}

fn router(site: Arc<Site>) -> Router {
    Router::new()
        .route(
            "/",
            get(|| async { Redirect::temporary("/handler/sign-in") }),
        )
        .route("/handler/sign-in", get(page))
        .route("/assets/{name}", get(asset))
        .layer(middleware::from_fn_with_state(site.clone(), guard))
        .with_state(site)
}

async fn page(State(site): State<Arc<Site>>) -> Response {
    match read(&site.folder.join(PAGE)).await {
        Ok(content) => {
            let text = String::from_utf8_lossy(&content)
                .replace(PORT_MARK, &site.backend_port().to_string());
            file(
                HeaderValue::from_static("text/html; charset=utf-8"),
                text.into_bytes(),
            )
        }
        Err(error) => unreadable(&error),
    }
}

async fn asset(
    State(site): State<Arc<Site>>,
    axum::extract::Path(name): axum::extract::Path<String>,
) -> Response {
    // The router hands out one segment, decoded: it may hold any character, a slash included.
    let plain = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    let kind = match name.rsplit_once('.') {
        Some((stem, "js")) if !stem.is_empty() => "text/javascript; charset=utf-8",
        Some((stem, "css")) if !stem.is_empty() => "text/css; charset=utf-8",
        Some((stem, "svg")) if !stem.is_empty() => "image/svg+xml",
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    if !plain {
        return StatusCode::NOT_FOUND.into_response();
    }
    match read(&site.folder.join("assets").join(name)).await {
        Ok(content) => file(HeaderValue::from_static(kind), content),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            StatusCode::NOT_FOUND.into_response()
        }
        Err(error) => unreadable(&error),
    }
}

async fn read(path: &std::path::Path) -> io::Result<Vec<u8>> {
    use tokio::io::AsyncReadExt as _;

    let mut content = Vec::new();
    let file = tokio::fs::File::open(path).await?;
    file.take(MAX_FILE + 1).read_to_end(&mut content).await?;
    if content.len() as u64 > MAX_FILE {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(content)
}

fn file(kind: HeaderValue, content: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, kind)], content).into_response()
}

fn unreadable(error: &io::Error) -> Response {
    report::log("cannot read a file of the dashboard", error);
    (
        StatusCode::INTERNAL_SERVER_ERROR,
        "The dashboard's files are not readable; see the journal of stack-dashboard.",
    )
        .into_response()
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
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
         connect-src http://127.0.0.1:{port} http://localhost:{port}; \
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
