//! Errors as clients see them, worded like the real backend's.
//!
//! A *known error* has a code, in the body and in `x-stack-known-error`; the body is JSON with two
//! spaces of indentation. Others are plain text. What becomes of the status is decided in `wire`.

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{access::Access, database::DatabaseError};
use crate::{random::RandomError, report};

/// Header with the code of a known error.
pub static KNOWN_ERROR: HeaderName = HeaderName::from_static("x-stack-known-error");

/// What a handler answers in place of a result.
#[derive(Debug)]
pub enum ApiError {
    /// An error with a code.
    Known {
        /// The HTTP status.
        status: StatusCode,
        /// The code that clients match on.
        code: &'static str,
        /// Particulars for programs.
        details: Option<Value>,
        /// The sentence for people.
        message: String,
    },
    /// An error that is only text.
    Plain(StatusCode, String),
}

#[derive(Serialize)]
struct KnownBody<'a> {
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a Value>,
    error: &'a str,
}

impl ApiError {
    pub(super) fn known(
        status: StatusCode,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self::Known {
            status,
            code,
            details: None,
            message: message.into(),
        }
    }

    pub(super) fn with_details(self, value: Value) -> Self {
        match self {
            Self::Known {
                status,
                code,
                details: _,
                message,
            } => Self::Known {
                status,
                code,
                details: Some(value),
                message,
            },
            plain @ Self::Plain(..) => plain,
        }
    }

    /// No `x-stack-access-type`.
    pub fn access_type_required() -> Self {
        Self::known(
            StatusCode::BAD_REQUEST,
            "ACCESS_TYPE_REQUIRED",
            "You must specify an access level for this Stack project. Make sure project API keys are provided (eg. x-stack-publishable-client-key) and you set the x-stack-access-type header to 'client', 'server', or 'admin'.\n\nFor more information, see the docs on REST API authentication: https://docs.stack-auth.com/rest-api/overview#authentication",
        )
    }

    /// An `x-stack-access-type` that does not exist.
    pub fn invalid_access_type(given: &str) -> Self {
        Self::known(
            StatusCode::BAD_REQUEST,
            "INVALID_ACCESS_TYPE",
            format!(
                "The x-stack-access-type header must be 'client', 'server', or 'admin', but was '{given}'."
            ),
        )
    }

    /// An access type, but no `x-stack-project-id`.
    pub fn access_type_without_project_id(access: Access) -> Self {
        let name = access.name();
        Self::known(
            StatusCode::BAD_REQUEST,
            "ACCESS_TYPE_WITHOUT_PROJECT_ID",
            format!("The x-stack-access-type header was '{name}', but the x-stack-project-id header was not provided.\n\nFor more information, see the docs on REST API authentication: https://docs.stack-auth.com/rest-api/overview#authentication"),
        )
        .with_details(json!({ "request_type": name }))
    }

    /// A project that does not exist.
    pub fn current_project_not_found(id: &str) -> Self {
        Self::known(
            StatusCode::BAD_REQUEST,
            "CURRENT_PROJECT_NOT_FOUND",
            format!("The current project with ID {id} was not found. Please check the value of the x-stack-project-id header."),
        )
        .with_details(json!({ "project_id": id }))
    }

    /// The header with the key is not there.
    pub fn key_required(access: Access) -> Self {
        let code = match access {
            Access::Client => "CLIENT_AUTHENTICATION_REQUIRED",
            Access::Server => "SERVER_AUTHENTICATION_REQUIRED",
            Access::Admin => "ADMIN_AUTHENTICATION_REQUIRED",
        };
        let message = format!("The {} must be provided.", access.key_name());
        Self::known(StatusCode::UNAUTHORIZED, code, message)
    }

    /// The key is not one of the project's.
    pub fn invalid_key(access: Access, project_id: &str) -> Self {
        let (code, name) = match access {
            // Here alone the real backend leaves out "client".
            Access::Client => ("INVALID_PUBLISHABLE_CLIENT_KEY", "publishable key"),
            Access::Server => ("INVALID_SECRET_SERVER_KEY", access.key_name()),
            Access::Admin => ("INVALID_SUPER_SECRET_ADMIN_KEY", access.key_name()),
        };
        let quoted = Value::from(project_id);
        Self::known(
            StatusCode::UNAUTHORIZED,
            code,
            format!("The {name} is not valid for the project {quoted}. Does the project and/or the key exist?"),
        )
        .with_details(json!({ "project_id": project_id }))
    }

    /// The body is not JSON.
    pub fn body_parsing() -> Self {
        Self::known(
            StatusCode::BAD_REQUEST,
            "BODY_PARSING_ERROR",
            "Invalid JSON in request body",
        )
    }

    /// A part of the request is missing or of the wrong type. `endpoint` is method and path.
    pub fn schema(endpoint: &str, fault: &str) -> Self {
        let message = format!("Request validation failed on {endpoint}:\n  - {fault}");
        let details = json!({ "message": message });
        Self::known(StatusCode::BAD_REQUEST, "SCHEMA_ERROR", message).with_details(details)
    }

    /// A route of the real API that the starter does not have, and those that it has.
    pub fn not_in_starter(endpoint: &str, available: &[String]) -> Self {
        Self::known(
            StatusCode::NOT_IMPLEMENTED,
            "NOT_IN_STARTER",
            format!("{endpoint} is part of the Stack Auth API, but not of this image's starter stack; `details.available` lists what is. Use a published emulator image, or build one with the full backend as its payload (cargo xtask image --payload DIR)."),
        )
        .with_details(json!({ "endpoint": endpoint, "available": available }))
    }

    /// A known route with something in it that the starter does not have.
    pub fn part_not_in_starter(endpoint: &str, part: &str) -> Self {
        Self::known(
            StatusCode::NOT_IMPLEMENTED,
            "NOT_IN_STARTER",
            format!("{endpoint} with {part} is part of the Stack Auth API, but not of this image's starter stack. Use a published emulator image for it."),
        )
        .with_details(json!({ "endpoint": endpoint, "part": part }))
    }

    /// A path that no API has.
    pub fn no_such_page(url: &str) -> Self {
        Self::Plain(
            StatusCode::NOT_FOUND,
            format!(
                "404 — this page does not exist in Stack Auth's API.\n\nPlease see the API documentation at https://docs.stack-auth.com, or visit the Stack Auth dashboard at https://app.stack-auth.com.\n\nURL: {url}"
            ),
        )
    }

    /// Plain text with status 400.
    pub fn bad_request(text: impl Into<String>) -> Self {
        Self::Plain(StatusCode::BAD_REQUEST, text.into())
    }
}

impl From<DatabaseError> for ApiError {
    fn from(error: DatabaseError) -> Self {
        report::log("a request failed", &error);
        Self::known(
            StatusCode::SERVICE_UNAVAILABLE,
            "DATABASE_UNAVAILABLE",
            "The emulator's database does not answer. See the journal of stack-postgres in the guest, or restart the emulator.",
        )
    }
}

impl From<RandomError> for ApiError {
    fn from(error: RandomError) -> Self {
        report::log("a request failed", &error);
        Self::Plain(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match self {
            Self::Known {
                status,
                code,
                details,
                message,
            } => {
                let body = KnownBody {
                    code,
                    details: details.as_ref(),
                    error: &message,
                };
                match serde_json::to_string_pretty(&body) {
                    Ok(text) => (
                        status,
                        [
                            (CONTENT_TYPE, super::wire::JSON),
                            (KNOWN_ERROR.clone(), HeaderValue::from_static(code)),
                        ],
                        text,
                    )
                        .into_response(),
                    Err(error) => {
                        report::log("cannot write an error", &error);
                        StatusCode::INTERNAL_SERVER_ERROR.into_response()
                    }
                }
            }
            // axum's own content type for text is the real backend's as well.
            Self::Plain(status, text) => (status, text).into_response(),
        }
    }
}
