//! Who may call the endpoints that only an emulator has, below `/internal`: programs on this machine.
//!
//! They are not for pages in a browser. A page of another site gets no further than here, whether it comes by
//! the emulator's own address (`Origin`, `Sec-Fetch-Site`) or by a name of its own that leads to 127.0.0.1
//! (`Host`). Answers have no CORS headers, so that no page at all can read them.

use axum::http::{HeaderMap, HeaderName, Uri, header};

use super::error::ApiError;
use crate::loopback::is_loopback;

/// Whether a path is one of these endpoints.
pub(super) fn is_own(uri: &Uri) -> bool {
    let mut words = uri.path().split('/').filter(|word| !word.is_empty());
    words.next() == Some("api") && words.nth(1) == Some("internal")
}

/// Refuses what a page of another site has sent.
pub(super) fn check(headers: &HeaderMap) -> Result<(), ApiError> {
    let value = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    let host = value(header::HOST);
    let origin = value(header::ORIGIN);
    let site = value(HeaderName::from_static("sec-fetch-site"));
    let is_local_origin = |origin: &str| {
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        authority.is_some_and(is_loopback)
    };
    let refused = match (host, origin, site) {
        (Some(host), ..) if !is_loopback(host) => format!("the host {host:?}"),
        (_, Some(origin), _) if !is_local_origin(origin) => format!("the origin {origin:?}"),
        (_, _, Some(site)) if site != "none" && site != "same-origin" && site != "same-site" => {
            "a page of another site".to_owned()
        }
        _ => return Ok(()),
    };
    Err(ApiError::forbidden(format!(
        "This endpoint is for programs on this machine, not for {refused}."
    )))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn is_let_in(entries: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in entries {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        check(&headers).is_ok()
    }

    #[test]
    fn programs_on_this_machine_are_let_in() {
        assert!(is_let_in(&[]));
        for host in ["127.0.0.1:26701", "localhost:26701", "LOCALHOST", "[::1]:1"] {
            assert!(is_let_in(&[("host", host)]), "{host}");
        }
        assert!(is_let_in(&[("sec-fetch-site", "none")]));
        assert!(is_let_in(&[("origin", "http://localhost:26700")]));
    }

    #[test]
    fn pages_of_other_sites_are_not() {
        for host in [
            "evil.test",
            "evil.test:26701",
            "127.0.0.1.evil.test",
            "localhost.evil.test:26701",
            "127.0.0.1:x",
            "",
        ] {
            assert!(!is_let_in(&[("host", host)]), "{host}");
        }
        for origin in [
            "null",
            "",
            "https://evil.test",
            "http://evil.test:26701",
            "localhost",
        ] {
            assert!(
                !is_let_in(&[("host", "127.0.0.1"), ("origin", origin)]),
                "{origin}"
            );
        }
        assert!(!is_let_in(&[
            ("host", "127.0.0.1"),
            ("sec-fetch-site", "cross-site")
        ]));
    }

    #[test]
    fn the_endpoints_are_known_under_each_version() {
        for own in [
            "/api/v1/internal/local-emulator/project",
            "/api/latest/internal/email-queue-step",
            "//api//v1//internal/x",
        ] {
            assert!(is_own(&own.parse().unwrap()), "{own}");
        }
        for other in [
            "/api/v1/users/me",
            "/health",
            "/api/v1/projects/internal",
            "/internal",
        ] {
            assert!(!is_own(&other.parse().unwrap()), "{other}");
        }
    }
}
