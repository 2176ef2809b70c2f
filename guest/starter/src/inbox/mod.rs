//! The mail inbox, on 9001: the mails that the backend would have sent, for people and for test suites.
//!
//! | path | what it is |
//! |---|---|
//! | `/`, `/assets/…` | the page (`page`) |
//! | `/page/…` | what the page asks for, of all mailboxes (`page`) |
//! | `/api/v1/mailbox/…` | the REST interface of Inbucket, version 1 (`api`) |
//!
//! Like Inbucket, it asks for no key: programs on this machine may read all mails. Pages of other sites may not,
//! whether they come by the inbox's address or by a name of their own that leads to it, nor may they frame it; and
//! what a mail's HTML can do is bounded by its own policy ([`page`]).

mod api;
mod envelope;
mod mails;
mod page;

use std::path::Path;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};

pub use self::page::PageError;
use crate::{
    backend::database::{Database, DatabaseError},
    loopback::is_loopback,
    report,
};

/// Largest request body in bytes. The only one is `{"seen":true}`.
const MAX_BODY: usize = 4 * 1024;

/// What the page may load: its own files and the mails.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Answers on the inbox's port, with the page in `folder`.
///
/// # Errors
/// [`PageError`] when a file of the page cannot be read.
pub(crate) fn router(database: Database, folder: &Path) -> Result<Router, PageError> {
    Ok(page::router(folder)?
        .merge(api::router())
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(guard))
        .with_state(database))
}

/// Why there is no answer. The texts are for people: programs go by the status.
#[derive(Debug)]
enum Failure {
    Database(DatabaseError),
    NotFound(String),
    Request(String),
}

impl From<DatabaseError> for Failure {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Database(error) => {
                report::log("the inbox cannot answer", &error);
                let text = "The emulator's database does not answer. See the journal of stack-postgres in the guest, \
                     or restart the emulator.";
                (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
            }
            Self::NotFound(text) => (StatusCode::NOT_FOUND, text).into_response(),
            Self::Request(text) => (StatusCode::BAD_REQUEST, text).into_response(),
        }
    }
}

/// Refuses what other sites send, and adds the headers that keep mails from them.
async fn guard(request: Request, next: Next) -> Response {
    let mut response = match refusal(request.headers(), request.uri()) {
        Some(refused) => refused.into_response(),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(PAGE_POLICY));
    response
}

/// Why a request is not answered, if it is not.
fn refusal(headers: &HeaderMap, uri: &Uri) -> Option<(StatusCode, &'static str)> {
    let value = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    let host = value(header::HOST);
    // HTTP/1.0 clients send none, and no browser is one.
    if host.is_some_and(|host| !is_loopback(host)) {
        let text = "The inbox answers on localhost and 127.0.0.1 only.";
        return Some((StatusCode::MISDIRECTED_REQUEST, text));
    }
    // Nothing has such a name, and PostgreSQL takes none.
    if uri.path().contains("%00") {
        return Some((StatusCode::BAD_REQUEST, "The address has a zero byte."));
    }
    if !uri.path().starts_with("/api/") && !uri.path().starts_with("/page/") {
        return None;
    }
    let own_origin = |origin: &str| host.is_some_and(|host| origin == format!("http://{host}"));
    let from_elsewhere = value(header::ORIGIN).is_some_and(|origin| !own_origin(origin))
        || value(HeaderName::from_static("sec-fetch-site"))
            .is_some_and(|site| site != "none" && site != "same-origin");
    from_elsewhere.then_some((
        StatusCode::FORBIDDEN,
        "Mails are for programs on this machine and for the inbox's own page, not for other pages.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(path: &'static str, entries: &[(&'static str, &'static str)]) -> u16 {
        let mut headers = HeaderMap::new();
        for (name, value) in entries {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        refusal(&headers, &Uri::from_static(path)).map_or(200, |(status, _)| status.as_u16())
    }

    const MAILS: &str = "/api/v1/mailbox/ada";
    const HOST: (&str, &str) = ("host", "127.0.0.1:26703");

    #[test]
    fn programs_and_the_own_page_read_mails() {
        assert_eq!(status(MAILS, &[]), 200);
        assert_eq!(status(MAILS, &[HOST]), 200);
        assert_eq!(status(MAILS, &[HOST, ("sec-fetch-site", "none")]), 200);
        for host in ["127.0.0.1:26703", "localhost:26703", "inbox.localhost:80"] {
            let origin: &'static str = format!("http://{host}").leak();
            let own = [
                ("host", host),
                ("origin", origin),
                ("sec-fetch-site", "same-origin"),
            ];
            assert_eq!(status(MAILS, &own), 200, "{host}");
        }
    }

    #[test]
    fn other_pages_do_not() {
        for origin in [
            "null",
            "https://evil.test",
            "http://localhost:3000",
            "https://127.0.0.1:26703",
            "http://127.0.0.1:26703.evil.test",
            "",
        ] {
            for path in [MAILS, "/page/mails"] {
                assert_eq!(status(path, &[HOST, ("origin", origin)]), 403, "{origin}");
            }
        }
        for site in ["cross-site", "same-site", ""] {
            assert_eq!(status(MAILS, &[HOST, ("sec-fetch-site", site)]), 403);
        }
        assert_eq!(status(MAILS, &[("origin", "http://127.0.0.1:26703")]), 403);
        // The page itself holds no mail, and links may lead to it.
        assert_eq!(status("/", &[HOST, ("sec-fetch-site", "cross-site")]), 200);
    }

    #[test]
    fn no_name_has_a_zero_byte() {
        assert_eq!(status("/api/v1/mailbox/a%00b", &[HOST]), 400);
    }

    #[test]
    fn foreign_names_get_nothing() {
        for path in [MAILS, "/page/mails", "/", "/assets/inbox.js"] {
            assert_eq!(status(path, &[("host", "rebound.example:26703")]), 421);
        }
    }
}
