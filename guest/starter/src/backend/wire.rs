//! What every API answer has in common: a request ID, CORS, a time limit, and errors dressed as
//! success for clients that ask for it.

use std::time::Duration;

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::error::ApiError;
use crate::{random, report};

/// Content type of JSON answers.
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// How long a request may take from its head to its answer.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

static REQUEST_ID: HeaderName = HeaderName::from_static("x-stack-request-id");
static OVERRIDE_ERROR_STATUS: HeaderName = HeaderName::from_static("x-stack-override-error-status");
static ACTUAL_STATUS: HeaderName = HeaderName::from_static("x-stack-actual-status");

/// Headers that browsers may send from another origin: those that the JavaScript SDKs send.
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static(
    "content-type, authorization, x-stack-project-id, x-stack-branch-id, \
     x-stack-override-error-status, x-stack-random-nonce, x-stack-client-version, \
     x-stack-disable-artificial-development-delay, x-stack-access-type, \
     x-stack-publishable-client-key, x-stack-secret-server-key, x-stack-super-secret-admin-key, \
     x-stack-admin-access-token, x-stack-refresh-token, x-stack-access-token, \
     x-stack-allow-anonymous-user, x-stack-allow-restricted-user, baggage, sentry-trace",
);
/// Headers that scripts of another origin may read.
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static(
    "content-type, date, x-stack-actual-status, x-stack-known-error, x-stack-request-id",
);

/// Wraps the API routes.
pub(super) async fn dress(request: Request, next: Next) -> Response {
    let overridden = request.headers().contains_key(&OVERRIDE_ERROR_STATUS);
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::OK.into_response()
    } else {
        match (
            random::request_id(),
            tokio::time::timeout(REQUEST_LIMIT, next.run(request)).await,
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
    add_cors(response.headers_mut());
    response
}

/// Any origin may call: what counts are the keys, and no cookie is ever sent or read.
fn add_cors(headers: &mut HeaderMap) {
    let any = HeaderValue::from_static("*");
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE, OPTIONS"),
    );
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
    headers.insert(
        header::ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from_static("86400"),
    );
}

/// A JSON answer with status 200.
pub(super) fn json(body: &impl Serialize) -> Response {
    match serde_json::to_string(body) {
        Ok(text) => ([(header::CONTENT_TYPE, JSON)], text).into_response(),
        Err(error) => {
            report::log("cannot write an answer", &error);
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
