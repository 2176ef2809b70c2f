//! Who gets an answer: browsers and programs on this machine that call the provider by a name of it.
//!
//! A page of another site may lead a browser to the page that asks, as apps do. It cannot send the form in the
//! user's place (`Origin`, `Sec-Fetch-Site`), show the page in a frame, or take the provider's place by a name
//! that leads to 127.0.0.1 (`Host`).

use std::time::Duration;

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use crate::loopback::is_loopback;

/// How long a request may take from its head to its answer.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// What pages may do. Without a word on `form-action`: browsers apply it to the redirects that follow a form
/// as well, and the last of these leads to the app, wherever it is.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'",
);

/// Wraps all routes.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    let headers = request.headers();
    if !is_local(headers) {
        let text = "The mock OAuth provider answers on localhost and 127.0.0.1 only.";
        return (StatusCode::MISDIRECTED_REQUEST, text).into_response();
    }
    if request.method() != Method::GET && !is_own(headers) {
        let text = "Forms of other sites are not taken.";
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    let answer = tokio::time::timeout(REQUEST_LIMIT, next.run(request)).await;
    let mut response = answer.unwrap_or_else(|_| {
        (StatusCode::GATEWAY_TIMEOUT, "The request took too long.").into_response()
    });
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        // With `no-referrer` the form's own origin would be hidden from this guard.
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("same-origin"),
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            HeaderValue::from_static("same-origin"),
        ),
    ] {
        headers.insert(name, value);
    }
    response
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let value = headers.get(name)?;
    // What is no text is nobody's name.
    Some(value.to_str().unwrap_or_default())
}

fn is_local(headers: &HeaderMap) -> bool {
    // HTTP/1.0 clients send none, and no browser is one.
    text(headers, header::HOST).is_none_or(is_loopback)
}

/// Whether it was sent by a page of this provider, or by a program.
fn is_own(headers: &HeaderMap) -> bool {
    let host = text(headers, header::HOST).unwrap_or_default();
    let has_own_origin = text(headers, header::ORIGIN)
        .is_none_or(|origin| origin.strip_prefix("http://") == Some(host));
    let site = text(headers, HeaderName::from_static("sec-fetch-site"));
    has_own_origin && site.is_none_or(|site| matches!(site, "none" | "same-origin"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(entries: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in entries {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn forms_come_from_own_pages_and_programs() {
        let host = ("host", "127.0.0.1:26704");
        for own in [
            vec![host],
            vec![host, ("origin", "http://127.0.0.1:26704")],
            vec![host, ("sec-fetch-site", "same-origin")],
        ] {
            assert!(is_own(&headers(&own)), "{own:?}");
        }
        for other in [
            ("origin", "null"),
            ("origin", "http://127.0.0.1:26701"),
            ("origin", "https://127.0.0.1:26704"),
            ("origin", "https://evil.test"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert!(!is_own(&headers(&[host, other])), "{other:?}");
        }
    }

    #[test]
    fn other_names_are_refused() {
        assert!(is_local(&headers(&[])));
        assert!(is_local(&headers(&[("host", "localhost:26704")])));
        for host in ["evil.test:26704", "localhost.evil.test", ""] {
            assert!(!is_local(&headers(&[("host", host)])), "{host}");
        }
    }
}
