//! Errors of signing in with providers, in the real backend's codes and words.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::backend::error::ApiError;

fn plain(status: StatusCode, code: &'static str, message: &'static str) -> ApiError {
    ApiError::known(status, code, message)
}

/// The config file does not have the provider, or has it switched off.
pub(super) fn provider_not_enabled() -> ApiError {
    plain(
        StatusCode::BAD_REQUEST,
        "OAUTH_PROVIDER_NOT_FOUND_OR_NOT_ENABLED",
        "The OAuth provider is not found or not enabled.",
    )
}

/// Between leaving for the provider and coming back there was too much time.
pub(super) fn outer_timeout() -> ApiError {
    plain(
        StatusCode::REQUEST_TIMEOUT,
        "OUTER_OAUTH_TIMEOUT",
        "The OAuth flow has timed out. Please sign in again.",
    )
}

/// The person has said no.
pub(super) fn access_denied() -> ApiError {
    plain(
        StatusCode::BAD_REQUEST,
        "OAUTH_PROVIDER_ACCESS_DENIED",
        "The OAuth provider denied access to the user.",
    )
}

/// The provider's account signs in to somebody else's account.
pub(super) fn connected_to_another_user() -> ApiError {
    plain(
        StatusCode::CONFLICT,
        "OAUTH_CONNECTION_ALREADY_CONNECTED_TO_ANOTHER_USER",
        "The OAuth connection is already connected to another user.",
    )
}

/// The user has no account at the provider.
pub(super) fn not_connected() -> ApiError {
    plain(
        StatusCode::BAD_REQUEST,
        "OAUTH_CONNECTION_NOT_CONNECTED_TO_USER",
        "The OAuth connection is not connected to any user.",
    )
}

/// No grant has the scopes that are wanted.
pub(super) fn scope_missing() -> ApiError {
    plain(
        StatusCode::BAD_REQUEST,
        "OAUTH_CONNECTION_DOES_NOT_HAVE_REQUIRED_SCOPE",
        "The OAuth connection does not have the required scope.",
    )
}

/// Another account signs in with the same account at the provider.
pub(super) fn account_used_for_sign_in() -> ApiError {
    plain(
        StatusCode::BAD_REQUEST,
        "OAUTH_PROVIDER_ACCOUNT_ID_ALREADY_USED_FOR_SIGN_IN",
        "A provider with the same account ID is already used for signing in.",
    )
}

/// A code that is none, was used, is over, or whose verifier is another.
pub(super) fn invalid_code() -> ApiError {
    plain(
        StatusCode::BAD_REQUEST,
        "INVALID_AUTHORIZATION_CODE",
        "The given authorization code is invalid.",
    )
}

/// A scope of the app's own request, of which there is one.
pub(super) fn invalid_scope(scope: &str) -> ApiError {
    ApiError::known(
        StatusCode::BAD_REQUEST,
        "INVALID_SCOPE",
        format!("The scope \"{scope}\" is not a valid OAuth scope for Stack."),
    )
    .with_details(json!({ "scope": scope }))
}

/// The address signs in to an account of which it is not verified.
pub(super) fn channel_not_verified(email: &str) -> ApiError {
    ApiError::known(
        StatusCode::CONFLICT,
        "CONTACT_CHANNEL_ALREADY_USED_FOR_AUTH_BY_SOMEONE_ELSE",
        format!(
            "This email \"({email})\" is already used for authentication by another account but the email is not verified. Please login to your existing account with the method you used to sign up, and then verify your email to sign in with this login method."
        ),
    )
    .with_details(json!({
        "type": "email",
        "contact_channel_value": email,
        "would_work_if_email_was_verified": true,
    }))
}

/// What the app's error page is told: code, words and particulars. Of known errors alone.
pub(super) fn for_page(error: &ApiError) -> Option<(&'static str, &str, String)> {
    match error {
        ApiError::Known {
            code,
            details,
            message,
            ..
        } => {
            let details = details
                .as_ref()
                .map_or_else(|| "{}".to_owned(), Value::to_string);
            Some((code, message, details))
        }
        ApiError::Plain(..) => None,
    }
}
