//! Links that sign in to the dashboard once, and the sessions that they begin. The database has digests alone.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{OriginalUri, State},
    http::{HeaderMap, Method, StatusCode},
    response::Response,
};
use deadpool_postgres::GenericClient;
use serde_json::{Map, Value, json};

use crate::{
    backend::{
        Shared,
        access::{self, Access},
        call::{Answer, Call},
        clock,
        codes::digest,
        database::{Database, DatabaseError},
        error::ApiError,
        fields::Fields,
        store, wire,
    },
    random,
};

/// How long a link is good, in milliseconds: a program opens it right after it was made.
const LINK_LIFETIME: i64 = 60_000;
/// How long a session lasts that nobody ends.
const SESSION_LIFETIME: i64 = clock::DAY;

/// `POST …/dashboard-links`: makes a link for who shows the server or admin key of `internal`.
pub(in crate::backend) async fn make_link(headers: HeaderMap, call: Call) -> Answer {
    call.need_internal()?;
    call.body().finish()?;
    let code = random::token("")?;
    let expires_at = clock::now_millis() + LINK_LIFETIME;
    let db = call.connection().await?;
    remove_old(&db).await?;
    // The key is looked up again: it may have been rotated since the call was checked.
    let made = store::execute(
        &db,
        "make a link to the dashboard",
        r#"INSERT INTO "DashboardLink" ("codeDigest", "keyDigest", "expiresAtMillis")
           SELECT $1, sha256(convert_to("secretServerKey", 'UTF8')), $2 FROM "ApiKeySet"
           WHERE "projectId" = 'internal' AND $3 IN ("secretServerKey", "superSecretAdminKey")"#,
        &[&digest(&code), &expires_at, &shown_key(&headers, &call)],
    )
    .await?;
    if made == 0 {
        return Err(ApiError::invalid_key(call.access, &call.project.id));
    }
    Ok(wire::json(
        &json!({ "code": code, "expires_at_millis": expires_at }),
    ))
}

/// `POST …/dashboard-links/redeem`: begins a session with a link's code, which is its own proof and good once.
pub(in crate::backend) async fn redeem_link(
    State(shared): State<Arc<Shared>>,
    method: Method,
    OriginalUri(uri): OriginalUri,
    body: Bytes,
) -> Result<Response, ApiError> {
    let endpoint = format!("{method} {}", uri.path());
    let body: Map<String, Value> =
        serde_json::from_slice(&body).map_err(|_| ApiError::body_parsing())?;
    let body = Fields::new(&endpoint, "body", &body);
    let code = body.text("code")?;
    body.finish()?;
    let mut connection = shared.database.connection().await?;
    let transaction = store::begin(&mut connection).await?;
    let row = store::row(
        &transaction,
        "use a link to the dashboard",
        r#"DELETE FROM "DashboardLink" WHERE "codeDigest" = $1 RETURNING "keyDigest", "expiresAtMillis""#,
        &[&digest(code)],
    )
    .await?
    .ok_or_else(link_not_valid)?;
    let now = clock::now_millis();
    let (key_digest, expires_at): (Vec<u8>, i64) = (row.get(0), row.get(1));
    if expires_at <= now || !is_in_force(&transaction, &key_digest).await? {
        return Err(link_not_valid());
    }
    let session = begin(&transaction, &key_digest, now).await?;
    store::commit(transaction).await?;
    Ok(session)
}

/// `POST …/dashboard-sessions`: begins a session for who shows the server or admin key of `internal`.
pub(in crate::backend) async fn sign_in(headers: HeaderMap, call: Call) -> Answer {
    call.need_internal()?;
    call.body().finish()?;
    let db = call.connection().await?;
    remove_old(&db).await?;
    let row = store::row(
        &db,
        "look up a key again",
        r#"SELECT sha256(convert_to("secretServerKey", 'UTF8')) FROM "ApiKeySet"
           WHERE "projectId" = 'internal' AND $1 IN ("secretServerKey", "superSecretAdminKey")"#,
        &[&shown_key(&headers, &call)],
    )
    .await?
    .ok_or_else(|| ApiError::invalid_key(call.access, &call.project.id))?;
    begin(&db, row.get(0), clock::now_millis()).await
}

/// `DELETE …/dashboard-sessions/current`: ends the session whose token the request shows.
pub(in crate::backend) async fn sign_out(headers: HeaderMap, call: Call) -> Answer {
    call.need_internal()?;
    let token = access::admin_token(&headers).unwrap_or_default();
    let db = call.connection().await?;
    store::execute(
        &db,
        "end a session of the dashboard",
        r#"DELETE FROM "DashboardSession" WHERE "tokenDigest" = $1"#,
        &[&digest(token)],
    )
    .await?;
    Ok(wire::success())
}

/// Whether a token is that of a session which has not ended.
pub(in crate::backend) async fn is_open(
    database: &Database,
    token: &str,
) -> Result<bool, DatabaseError> {
    let row = database
        .query_opt(
            "look up a session of the dashboard",
            r#"SELECT 1 FROM "DashboardSession" s WHERE s."tokenDigest" = $1 AND s."expiresAtMillis" > $2
               AND EXISTS (SELECT 1 FROM "ApiKeySet" k WHERE k."projectId" = 'internal'
                 AND sha256(convert_to(k."secretServerKey", 'UTF8')) = s."keyDigest"
                 AND k."manuallyRevokedAt" IS NULL AND k."expiresAt" > now())"#,
            &[&digest(token), &clock::now_millis()],
        )
        .await?;
    Ok(row.is_some())
}

/// The key that a call was checked by; none if that was the token of a session, which makes no further ones.
fn shown_key<'a>(headers: &'a HeaderMap, call: &Call) -> Option<&'a str> {
    match call.access {
        Access::Client => None,
        access => access::key(headers, access),
    }
}

async fn is_in_force(db: &impl GenericClient, key_digest: &[u8]) -> Result<bool, DatabaseError> {
    let row = store::row(
        db,
        "compare a key",
        r#"SELECT 1 FROM "ApiKeySet"
           WHERE "projectId" = 'internal' AND sha256(convert_to("secretServerKey", 'UTF8')) = $1"#,
        &[&key_digest],
    )
    .await?;
    Ok(row.is_some())
}

async fn begin(
    db: &impl GenericClient,
    key_digest: &[u8],
    now_millis: i64,
) -> Result<Response, ApiError> {
    // Of two parts: the dashboard gives one to the browser as a cookie and the other to its page.
    let token = random::token("")? + &random::token("")?;
    let expires_at = now_millis + SESSION_LIFETIME;
    store::execute(
        db,
        "begin a session of the dashboard",
        r#"INSERT INTO "DashboardSession" ("tokenDigest", "keyDigest", "expiresAtMillis")
           VALUES ($1, $2, $3)"#,
        &[&digest(&token), &key_digest, &expires_at],
    )
    .await?;
    Ok(wire::json(
        &json!({ "token": token, "expires_at_millis": expires_at }),
    ))
}

/// Removes what is of no use any more: links and sessions that are over, and those of earlier keys.
async fn remove_old(db: &impl GenericClient) -> Result<(), DatabaseError> {
    let now = clock::now_millis();
    for sql in [
        r#"DELETE FROM "DashboardLink" d WHERE d."expiresAtMillis" <= $1 OR NOT EXISTS (
             SELECT 1 FROM "ApiKeySet" k WHERE k."projectId" = 'internal'
               AND sha256(convert_to(k."secretServerKey", 'UTF8')) = d."keyDigest")"#,
        r#"DELETE FROM "DashboardSession" d WHERE d."expiresAtMillis" <= $1 OR NOT EXISTS (
             SELECT 1 FROM "ApiKeySet" k WHERE k."projectId" = 'internal'
               AND sha256(convert_to(k."secretServerKey", 'UTF8')) = d."keyDigest")"#,
    ] {
        store::execute(db, "remove old sessions of the dashboard", sql, &[&now]).await?;
    }
    Ok(())
}

fn link_not_valid() -> ApiError {
    ApiError::known(
        StatusCode::UNAUTHORIZED,
        "DASHBOARD_LINK_NOT_VALID",
        "This link was used before, or its minute is over. Run `stack-emulator dashboard` for a new one.",
    )
}
