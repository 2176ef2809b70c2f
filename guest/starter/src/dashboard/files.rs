//! The dashboard's own files: the page, and what it loads.
//!
//! Nothing is cached, here or in the browser, because a rotation exchanges the bundle on the disk and the next page
//! load must have the new key. The page that loads the bundle is the only thing made on the fly: it tells the bundle
//! where the host has put the backend.

use std::{io, path::Path, sync::Arc};

use axum::{
    extract::{Path as UrlPath, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::Site;
use crate::report;

/// The page, in the dashboard's folder.
const PAGE: &str = "index.html";
/// What stands in the page for the backend's port on the host.
const PORT_MARK: &str = "{{BACKEND_HOST_PORT}}";
/// Largest file served, in bytes.
const MAX_FILE: u64 = 32 * 1024 * 1024;

/// `GET /`, and `GET /handler/sign-in`.
pub(super) async fn page(State(site): State<Arc<Site>>) -> Response {
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

/// `GET /assets/{name}`.
pub(super) async fn asset(
    State(site): State<Arc<Site>>,
    UrlPath(name): UrlPath<String>,
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

async fn read(path: &Path) -> io::Result<Vec<u8>> {
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
