//! `POST /auth/oauth/token`: the token endpoint of OAuth 2, for refresh tokens and authorization codes.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{OriginalUri, State},
    http::Method,
};
use serde_json::{Map, Value, json};

use super::sessions::{self, Tokens};
use crate::backend::{
    Shared,
    access::Project,
    call::Answer,
    error::ApiError,
    fields::Fields,
    oauth::{self, AppCode, Shown},
    store, users, wire,
};

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
    let client_id = form.optional_text("client_id")?;
    let secret = form.optional_text("client_secret")?;
    match form.text("grant_type")? {
        "refresh_token" => {
            let refresh_token = form.text("refresh_token")?;
            let project = client(&shared, client_id, secret).await?;
            refreshed(&shared, &project, refresh_token).await
        }
        "authorization_code" => {
            let shown = Shown {
                code: form.text("code")?,
                redirect_uri: form.text("redirect_uri")?,
                verifier: form.text("code_verifier")?,
            };
            let project = client(&shared, client_id, secret).await?;
            redeemed(&shared, &project, &shown).await
        }
        kind => Err(ApiError::part_not_in_starter(
            &endpoint,
            &format!("grant_type={kind}"),
        )),
    }
}

async fn client(
    shared: &Arc<Shared>,
    client_id: Option<&str>,
    secret: Option<&str>,
) -> Result<Project, ApiError> {
    match oauth::client(shared, client_id, secret).await {
        // Of the client's two values one is wrong; the endpoint has its own word for that.
        Err(ApiError::Known { status, .. }) if status.is_client_error() => {
            Err(ApiError::invalid_oauth_client(client_id))
        }
        result => result,
    }
}

async fn refreshed(shared: &Shared, project: &Project, refresh_token: &str) -> Answer {
    let access = sessions::refresh(shared, project, refresh_token).await?;
    Ok(wire::json(&json!({
        "access_token": access,
        "token_type": "Bearer",
        "expires_in": 3600,
        "scope": "legacy",
        "afterCallbackRedirectUrl": null,
        "after_callback_redirect_url": null,
    })))
}

async fn redeemed(shared: &Shared, project: &Project, shown: &Shown<'_>) -> Answer {
    let code = oauth::take_code(&shared.database, &project.id, shown).await?;
    let tokens = begin_session(shared, project, &code).await?;
    let after = &code.after_callback_redirect_url;
    Ok(wire::json(&json!({
        "access_token": tokens.access,
        "refresh_token": tokens.refresh,
        "token_type": "Bearer",
        "expires_in": 3600,
        "scope": "legacy",
        "newUser": code.is_new_user,
        "is_new_user": code.is_new_user,
        "afterCallbackRedirectUrl": after,
        "after_callback_redirect_url": after,
    })))
}

async fn begin_session(
    shared: &Shared,
    project: &Project,
    code: &AppCode,
) -> Result<Tokens, ApiError> {
    let mut connection = shared.database.connection().await?;
    let transaction = store::begin(&mut connection).await?;
    // A code goes with its user; they may have been deleted a moment ago.
    let user = users::find(&transaction, &project.id, &code.user_id)
        .await?
        .ok_or_else(ApiError::user_not_found)?;
    let tokens = sessions::begin(shared, &transaction, project, &user, None, false).await?;
    store::commit(transaction).await?;
    Ok(tokens)
}
