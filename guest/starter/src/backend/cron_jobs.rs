//! The endpoints that the cron runner calls, with the cron secret as bearer token.

use std::sync::Arc;

use axum::{
    extract::{OriginalUri, State},
    http::{HeaderMap, Method, StatusCode, header::AUTHORIZATION},
    response::Response,
};
use serde_json::json;

use super::{Shared, error::ApiError, wire};
use crate::{
    key::Key,
    report,
    secrets::{self, Secrets, SecretsError},
};

/// How often the two halves of `secrets.env` are looked at anew when a rotation runs meanwhile.
const ATTEMPTS: usize = 5;

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

/// `GET /internal/local-emulator/prune-step`: removes keys of local projects that can never be used
/// again. The project-credentials call makes new ones.
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
        .is_some_and(|token| secret.matches(token));
    right
        .then_some(())
        .ok_or_else(|| ApiError::Plain(StatusCode::UNAUTHORIZED, "Unauthorized".to_owned()))
}

/// The cron secret of this moment; see [`secrets`] for the rule.
async fn secret_in_force(shared: &Shared) -> Result<Key, ApiError> {
    for _ in 0..ATTEMPTS {
        // In this order: the other way round, a whole rotation could pass between the two, and the
        // secret of before would still be taken after it.
        let other = Secrets::read_rotating(&shared.config_dir).map_err(|error| unusable(&error))?;
        let current =
            Secrets::read(&secrets::path(&shared.config_dir)).map_err(|error| unusable(&error))?;
        let Some(other) = other else {
            return Ok(current.cron);
        };
        let sql =
            r#"SELECT "publishableClientKey" FROM "ApiKeySet" WHERE "projectId" = 'internal'"#;
        let row = shared
            .database
            .query_opt("tell the key in force", sql, &[])
            .await?;
        let pck: Option<String> = row.and_then(|row| row.get(0));
        let pck = pck.unwrap_or_default();
        // In force first in the order of what a rotation leaves behind in the end.
        for secrets in [current, other] {
            if secrets.pck.matches(pck.as_bytes()) {
                return Ok(secrets.cron);
            }
        }
    }
    Err(ApiError::Plain(
        StatusCode::SERVICE_UNAVAILABLE,
        "The cron secret in force cannot be told.".to_owned(),
    ))
}

fn unusable(error: &SecretsError) -> ApiError {
    report::log("cannot check a cron secret", error);
    ApiError::Plain(
        StatusCode::SERVICE_UNAVAILABLE,
        "The cron secret cannot be read.".to_owned(),
    )
}
