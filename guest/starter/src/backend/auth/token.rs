//! `POST /auth/oauth/token`: the token endpoint of OAuth 2, for refresh tokens.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{OriginalUri, State},
    http::{HeaderMap, HeaderValue, Method},
};
use serde_json::{Map, Value, json};

use super::sessions;
use crate::backend::{Shared, access, call::Answer, error::ApiError, fields::Fields, wire};

/// The project and its key come in the form, as `client_id` and `client_secret`.
pub(in crate::backend) async fn token(
    State(shared): State<Arc<Shared>>,
    method: Method,
    OriginalUri(uri): OriginalUri,
    body: Bytes,
) -> Answer {
    let endpoint = format!("{method} {}", uri.path());
    let entries: Map<String, Value> = form_urlencoded::parse(&body)
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
        .collect();
    let form = Fields::new(&endpoint, "body", &entries);
    let kind = form.text("grant_type")?;
    if kind != "refresh_token" {
        return Err(ApiError::part_not_in_starter(
            &endpoint,
            &format!("grant_type={kind}"),
        ));
    }
    let client_id = form.optional_text("client_id")?;
    // A project's ID, perhaps with a branch behind a hash.
    let project_id = client_id.and_then(|id| id.split('#').next());
    let refresh_token = form.text("refresh_token")?;
    let secret = form.optional_text("client_secret")?;

    let mut headers = HeaderMap::new();
    headers.insert("x-stack-access-type", HeaderValue::from_static("client"));
    for (name, value) in [
        ("x-stack-project-id", project_id),
        ("x-stack-publishable-client-key", secret),
    ] {
        let value = value.and_then(|value| HeaderValue::from_str(value).ok());
        let value = value.ok_or_else(|| ApiError::invalid_oauth_client(client_id))?;
        headers.insert(name, value);
    }
    let caller = match access::check(&headers, &shared.database).await {
        Ok(caller) => caller,
        // Of the client's two values one is wrong; the endpoint has its own word for that.
        Err(ApiError::Known { status, .. }) if status.is_client_error() => {
            return Err(ApiError::invalid_oauth_client(client_id));
        }
        Err(error) => return Err(error),
    };
    let access = sessions::refresh(&shared, &caller.project, refresh_token).await?;
    Ok(wire::json(&json!({
        "access_token": access,
        "token_type": "Bearer",
        "expires_in": 3600,
        "scope": "legacy",
        "afterCallbackRedirectUrl": null,
        "after_callback_redirect_url": null,
    })))
}
