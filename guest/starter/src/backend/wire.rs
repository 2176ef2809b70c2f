//! What every API answer has in common: a request ID, CORS, a time limit, and errors dressed as
//! success for clients that ask for it.
//!
//! The project has two names, and so have its headers. Requests may use either: those with the newer
//! prefix are given the older names here, and nothing else in the backend knows of two. Answers have both.

use std::{sync::LazyLock, time::Duration};

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::Value;

use super::{error::ApiError, own_endpoints};
use crate::{random, report};

/// Content type of JSON answers.
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// How long a request may take from its head to its answer.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

static REQUEST_ID: HeaderName = HeaderName::from_static("x-stack-request-id");
static OVERRIDE_ERROR_STATUS: HeaderName = HeaderName::from_static("x-stack-override-error-status");
static ACTUAL_STATUS: HeaderName = HeaderName::from_static("x-stack-actual-status");

/// The two prefixes of the project's headers: the older, and the newer.
const PREFIXES: [&str; 2] = ["x-stack-", "x-hexclave-"];

/// What comes after the prefix in headers that the JavaScript SDKs send.
const SDK_HEADERS: [&str; 17] = [
    "project-id",
    "branch-id",
    "override-error-status",
    "random-nonce",
    "client-version",
    "disable-artificial-development-delay",
    "access-type",
    "publishable-client-key",
    "secret-server-key",
    "super-secret-admin-key",
    "admin-access-token",
    "refresh-token",
    "access-token",
    "allow-anonymous-user",
    "allow-restricted-user",
    "development-override-key",
    "read-consistency",
];
/// Other headers that browsers may send from another origin.
const OTHER_HEADERS: [&str; 5] = [
    "content-type",
    "authorization",
    "baggage",
    "sentry-trace",
    "ngrok-skip-browser-warning",
];

/// Headers that scripts of another origin may read.
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static(
    "content-type, date, x-stack-actual-status, x-stack-known-error, x-stack-request-id, \
     x-hexclave-actual-status, x-hexclave-known-error, x-hexclave-request-id",
);

/// The list of request headers for a preflight.
static ALLOWED_HEADERS: LazyLock<HeaderValue> = LazyLock::new(|| {
    let own = PREFIXES.iter().flat_map(|prefix| {
        SDK_HEADERS
            .iter()
            .map(move |name| format!("{prefix}{name}"))
    });
    let list: Vec<String> = OTHER_HEADERS
        .iter()
        .map(|name| (*name).to_owned())
        .chain(own)
        .collect();
    // Only ASCII is in there, so the fallback is never taken.
    HeaderValue::try_from(list.join(", ")).unwrap_or(HeaderValue::from_static("content-type"))
});

/// Wraps the API routes.
pub(super) async fn dress(mut request: Request, next: Next) -> Response {
    take_newer_names(request.headers_mut());
    // The path as it came: nested routers cut it.
    let is_own = own_endpoints::is_own(request.uri());
    let overridden = request.headers().contains_key(&OVERRIDE_ERROR_STATUS);
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::OK.into_response()
    } else {
        let run = async {
            // The only character that no column of the database can hold.
            if request.uri().path().contains("%00") {
                let text = "The path must not contain the character NUL.";
                return ApiError::bad_request(text).into_response();
            }
            if is_own && let Err(error) = own_endpoints::check(request.headers()) {
                return error.into_response();
            }
            next.run(request).await
        };
        match (
            random::request_id(),
            tokio::time::timeout(REQUEST_LIMIT, run).await,
        ) {
            (Err(error), _) => ApiError::from(error).into_response(),
            (Ok(_), Err(_)) => ApiError::Plain(
                StatusCode::GATEWAY_TIMEOUT,
                "The request took too long.".to_owned(),
            )
            .into_response(),
            (Ok(id), Ok(mut response)) => {
                if let Ok(value) = HeaderValue::try_from(id) {
                    response.headers_mut().insert(&REQUEST_ID, value);
                }
                response
            }
        }
    };
    let status = response.status();
    if overridden && (status.is_client_error() || status.is_server_error()) {
        let headers = response.headers_mut();
        headers.insert(&ACTUAL_STATUS, HeaderValue::from(status.as_u16()));
        *response.status_mut() = StatusCode::OK;
    }
    add_newer_names(response.headers_mut());
    if !is_own {
        add_cors(response.headers_mut());
    }
    response
}

/// Gives a request's `x-hexclave-…` headers their older names. Where it has both, the newer one counts.
fn take_newer_names(headers: &mut HeaderMap) {
    let [older, newer] = PREFIXES;
    rename(headers, newer, older);
}

/// Repeats an answer's `x-stack-…` headers under their newer names.
fn add_newer_names(headers: &mut HeaderMap) {
    let [older, newer] = PREFIXES;
    rename(headers, older, newer);
}

fn rename(headers: &mut HeaderMap, from: &str, to: &str) {
    let renamed: Vec<(HeaderName, HeaderValue)> = headers
        .iter()
        .filter_map(|(name, value)| {
            let rest = name.as_str().strip_prefix(from)?;
            let name = HeaderName::try_from(format!("{to}{rest}")).ok()?;
            Some((name, value.clone()))
        })
        .collect();
    for (name, value) in renamed {
        headers.insert(name, value);
    }
}

/// Any origin may call: what counts are the keys, and no cookie is ever sent or read.
fn add_cors(headers: &mut HeaderMap) {
    let any = HeaderValue::from_static("*");
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE, OPTIONS"),
    );
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        ALLOWED_HEADERS.clone(),
    );
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
    headers.insert(
        header::ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from_static("86400"),
    );
}

/// A JSON answer with status 200.
pub(super) fn json(body: &impl Serialize) -> Response {
    json_with(StatusCode::OK, body)
}

/// A JSON answer for what was made: status 201.
pub(super) fn created(body: &impl Serialize) -> Response {
    json_with(StatusCode::CREATED, body)
}

/// The answer of what has nothing to tell.
pub(super) fn success() -> Response {
    json(&serde_json::json!({ "success": true }))
}

/// A list that is given whole.
pub(super) fn list(items: &[Value]) -> Response {
    json(&serde_json::json!({ "items": items, "is_paginated": false }))
}

fn json_with(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_string(body) {
        Ok(text) => (status, [(header::CONTENT_TYPE, JSON)], text).into_response(),
        Err(error) => {
            report::log("cannot write an answer", &error);
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newer_name_of_a_header_counts() {
        let mut headers = HeaderMap::new();
        headers.insert("x-stack-access-type", HeaderValue::from_static("client"));
        headers.insert("x-hexclave-access-type", HeaderValue::from_static("server"));
        headers.insert("x-hexclave-project-id", HeaderValue::from_static("p"));
        take_newer_names(&mut headers);
        assert_eq!(headers["x-stack-access-type"], "server");
        assert_eq!(headers["x-stack-project-id"], "p");
    }

    #[test]
    fn browsers_may_send_both_names() {
        let list = ALLOWED_HEADERS.to_str().unwrap();
        for name in ["x-stack-access-token", "x-hexclave-access-token"] {
            assert!(list.split(", ").any(|allowed| allowed == name), "{name}");
        }
    }
}
