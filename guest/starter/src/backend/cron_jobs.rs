//! The endpoints that the cron runner calls, with the cron secret as bearer token.

use std::sync::Arc;

use axum::{
    extract::{OriginalUri, State},
    http::{HeaderMap, Method, StatusCode, header::AUTHORIZATION},
    response::Response,
};
use serde_json::json;

use super::{Shared, clock, error::ApiError, oauth, wire};
use crate::{key::Key, mock_oauth, secrets::CRON};

/// `GET /internal/email-queue-step`. The starter sends no mail, so its queue is always done.
pub(super) async fn email_queue_step(
    State(shared): State<Arc<Shared>>,
    method: Method,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    check(&shared, &headers, &format!("{method} {}", uri.path())).await?;
    Ok(wire::json(&json!({ "ok": true })))
}

/// `GET /internal/local-emulator/prune-step`: removes what can never be used again: keys of local projects
/// (the project-credentials call makes new ones), sessions and codes. Tells the number of keys.
pub(super) async fn prune_step(
    State(shared): State<Arc<Shared>>,
    method: Method,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    check(&shared, &headers, &format!("{method} {}", uri.path())).await?;
    let pruned = shared
        .database
        .execute(
            "remove expired keys",
            r#"DELETE FROM "ApiKeySet" WHERE "projectId" <> 'internal'
               AND ("expiresAt" <= now() OR "manuallyRevokedAt" IS NOT NULL)"#,
            &[],
        )
        .await?;
    // Sessions that are over, and codes of which nobody is to be told any more that they have expired.
    let now = clock::now_millis();
    for (action, sql, before) in [
        (
            "remove sessions that are over",
            r#"DELETE FROM "Session" WHERE "expiresAtMillis" <= $1"#,
            now,
        ),
        (
            "remove old codes",
            r#"DELETE FROM "VerificationCode" WHERE "expiresAtMillis" <= $1"#,
            now - 7 * clock::DAY,
        ),
    ] {
        shared.database.execute(action, sql, &[&before]).await?;
    }
    let db = shared.database.connection().await?;
    oauth::prune(&db, now).await?;
    mock_oauth::prune(&db, now).await?;
    Ok(wire::json(&json!({ "ok": true, "pruned": pruned })))
}

async fn check(shared: &Shared, headers: &HeaderMap, endpoint: &str) -> Result<(), ApiError> {
    let given = headers
        .get(AUTHORIZATION)
        .ok_or_else(|| ApiError::schema(endpoint, "headers.authorization must be defined"))?;
    let secret = secret_in_force(shared).await?;
    let right = given
        .as_bytes()
        .strip_prefix(b"Bearer ")
        .zip(secret)
        .is_some_and(|(token, secret)| secret.matches(token));
    right
        .then_some(())
        .ok_or_else(|| ApiError::Plain(StatusCode::UNAUTHORIZED, "Unauthorized".to_owned()))
}

/// The cron secret of this moment. Not one is accepted while the database holds none.
async fn secret_in_force(shared: &Shared) -> Result<Option<Key>, ApiError> {
    let row = shared
        .database
        .query_opt(
            "look up the cron secret",
            r#"SELECT "value" FROM "EmulatorSecret" WHERE "name" = $1"#,
            &[&CRON],
        )
        .await?;
    Ok(row.and_then(|row| {
        let value: &str = row.get(0);
        Key::parse(value.as_bytes()).ok()
    }))
}
