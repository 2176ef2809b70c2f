//! `/connected-accounts`: access tokens of a user's accounts at providers, for the app to call the provider with.

use axum::extract::Path;
use serde_json::{Value, json};

use super::{
    accounts::{self, Account},
    errors, scopes_of,
};
use crate::{
    backend::{
        call::{Answer, Call},
        clock,
        error::ApiError,
        store, users, wire,
    },
    mock_oauth,
};

/// How long a token is to be good that an app is given, in milliseconds.
const LEFT: i64 = 5 * 60 * 1000;

/// `GET /connected-accounts/{user_id}`.
pub(in crate::backend) async fn list(Path(user): Path<String>, call: Call) -> Answer {
    let user_id = call.own_user_id(Some(&user), "list connected accounts for")?;
    let db = call.connection().await?;
    let known = users::find(&db, &call.project.id, &user_id).await?;
    known.ok_or_else(ApiError::user_not_found)?;
    let found = accounts::list(&db, &call.project.id, Some(&user_id), None).await?;
    let items: Vec<Value> = found
        .iter()
        .filter(|account| account.allow_connected_accounts)
        .map(|account| {
            json!({
                "user_id": account.user_id,
                "provider": account.provider_id,
                "provider_account_id": account.subject,
            })
        })
        .collect();
    Ok(wire::list(&items))
}

/// `POST /connected-accounts/{user_id}/{provider}/access-token`: of whichever account has the scopes.
pub(in crate::backend) async fn access_token_of_provider(
    Path((user, provider_id)): Path<(String, String)>,
    call: Call,
) -> Answer {
    access_token(&call, &user, &provider_id, None).await
}

/// `POST /connected-accounts/{user_id}/{provider}/{account_id}/access-token`.
pub(in crate::backend) async fn access_token_of_account(
    Path((user, provider_id, subject)): Path<(String, String, String)>,
    call: Call,
) -> Answer {
    access_token(&call, &user, &provider_id, Some(&subject)).await
}

async fn access_token(call: &Call, user: &str, provider_id: &str, subject: Option<&str>) -> Answer {
    let user_id = call.own_user_id(Some(user), "access connected accounts of")?;
    let body = call.body();
    let wanted = scopes_of(body.optional_text("scope")?.unwrap_or_default());
    body.finish()?;
    let provider = call.config().oauth_provider(provider_id);
    if !provider.is_some_and(|provider| provider.allows_connecting) {
        return Err(errors::provider_not_enabled());
    }
    let mut connection = call.connection().await?;
    let transaction = store::begin(&mut connection).await?;
    let found = accounts::list(
        &transaction,
        &call.project.id,
        Some(&user_id),
        Some(provider_id),
    )
    .await?;
    let ids: Vec<String> = found
        .into_iter()
        .filter(|account| account.allow_connected_accounts)
        .filter(|account| subject.is_none_or(|subject| account.subject == subject))
        .map(|account: Account| account.id)
        .collect();
    if ids.is_empty() {
        return Err(errors::not_connected());
    }
    let token = token_with(&transaction, call, provider_id, &ids, &wanted).await?;
    store::commit(transaction).await?;
    Ok(wire::created(&json!({ "access_token": token })))
}

/// The newest access token with the scopes; another one from the provider where it is about to end.
async fn token_with(
    db: &impl deadpool_postgres::GenericClient,
    call: &Call,
    provider_id: &str,
    account_ids: &[String],
    scopes: &[String],
) -> Result<String, ApiError> {
    let project_id = &call.project.id;
    let now = clock::now_millis();
    // Locked: of several requests at once one asks the provider.
    let row = store::row(
        db,
        "look up a grant of a provider",
        r#"SELECT "id", "accessToken", "refreshToken", "expiresAtMillis" FROM "OAuthGrant"
           WHERE "projectId" = $1 AND "oauthAccountId" = ANY ($2) AND "scopes" @> $3
           ORDER BY "createdAtMillis" DESC, "id" LIMIT 1 FOR UPDATE"#,
        &[project_id, &account_ids, &scopes],
    )
    .await?
    .ok_or_else(errors::scope_missing)?;
    if row.get::<_, i64>(3) > now + LEFT {
        return Ok(row.get(1));
    }
    let (id, refresh_token): (&str, &str) = (row.get(0), row.get(2));
    let grant = mock_oauth::refresh(db, provider_id, refresh_token, now)
        .await?
        .ok_or_else(errors::scope_missing)?;
    store::execute(
        db,
        "keep a new access token of a provider",
        r#"UPDATE "OAuthGrant" SET "accessToken" = $3, "expiresAtMillis" = $4
           WHERE "projectId" = $1 AND "id" = $2"#,
        &[
            project_id,
            &id,
            &grant.access_token,
            &grant.expires_at_millis,
        ],
    )
    .await?;
    Ok(grant.access_token)
}
