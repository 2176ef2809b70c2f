//! Sessions: each has a refresh token, of which the database keeps the digest, and gives access tokens.

use axum::{extract::Path, http::HeaderMap};
use deadpool_postgres::GenericClient;
use serde_json::{Value, json};

use crate::{
    backend::{
        Shared,
        access::{self, Project},
        call::{Answer, Call},
        clock, codes,
        database::DatabaseError,
        error::ApiError,
        signing_keys, store,
        tokens::{self, Claims},
        users::{self, User},
        wire,
    },
    random,
};

/// How long a session lasts that nobody ends.
const LIFETIME: i64 = 365 * clock::DAY;
/// Shortest and longest session that a server may ask for, in milliseconds.
const ASKED_LIFETIMES: std::ops::RangeInclusive<i64> = 1..=LIFETIME;

/// The two tokens of a session that was just begun.
#[derive(Debug)]
pub(super) struct Tokens {
    pub(super) access: String,
    pub(super) refresh: String,
}

/// Begins a session of a user.
pub(super) async fn begin(
    shared: &Shared,
    db: &impl GenericClient,
    project: &Project,
    user: &User,
    lifetime: Option<i64>,
    is_impersonation: bool,
) -> Result<Tokens, ApiError> {
    let (id, refresh) = (random::uuid()?, random::token("")?);
    let now = clock::now_millis();
    store::execute(
        db,
        "begin a session",
        r#"INSERT INTO "Session" ("projectId", "id", "userId", "refreshTokenDigest", "isImpersonation",
             "createdAtMillis", "lastUsedAtMillis", "expiresAtMillis")
           VALUES ($1, $2, $3, $4, $5, $6, $6, $7)"#,
        &[
            &project.id,
            &id,
            &user.id,
            &codes::digest(&refresh),
            &is_impersonation,
            &now,
            &(now + lifetime.unwrap_or(LIFETIME)),
        ],
    )
    .await?;
    let access = access_token(shared, db, project, user, &id, now).await?;
    Ok(Tokens { access, refresh })
}

/// Makes an access token of a session, which counts as a sign of life of the user.
async fn access_token(
    shared: &Shared,
    db: &impl GenericClient,
    project: &Project,
    user: &User,
    session_id: &str,
    now: i64,
) -> Result<String, ApiError> {
    users::touch(db, &project.id, &user.id, now).await?;
    let key = signing_keys::signing_key(db, &project.id).await?;
    let claims = Claims::new(user, &project.id, session_id, &shared.base_url(), now);
    tokens::sign(&claims, &key)
}

/// Makes an access token for the holder of a refresh token.
pub(super) async fn refresh(
    shared: &Shared,
    project: &Project,
    refresh_token: &str,
) -> Result<String, ApiError> {
    let now = clock::now_millis();
    let mut connection = shared.database.connection().await?;
    // If it is the first token of the project, its keys are made: those have to last.
    signing_keys::signing_key(&connection, &project.id).await?;
    let transaction = store::begin_unsynced(&mut connection).await?;
    let row = store::row(
        &transaction,
        "use a session",
        r#"UPDATE "Session" SET "lastUsedAtMillis" = $3
           WHERE "projectId" = $1 AND "refreshTokenDigest" = $2
             AND ("expiresAtMillis" IS NULL OR "expiresAtMillis" > $3)
           RETURNING "id", "userId""#,
        &[&project.id, &codes::digest(refresh_token), &now],
    )
    .await?
    .ok_or_else(ApiError::refresh_token_not_found)?;
    let (id, user_id): (String, String) = (row.get(0), row.get(1));
    let user = users::find(&transaction, &project.id, &user_id)
        .await?
        .ok_or_else(ApiError::refresh_token_not_found)?;
    let access = access_token(shared, &transaction, project, &user, &id, now).await?;
    store::commit(transaction).await?;
    Ok(access)
}

/// Ends all sessions of a user, but one if it is named.
pub(in crate::backend) async fn end_all(
    db: &impl GenericClient,
    project_id: &str,
    user_id: &str,
    but: Option<&str>,
) -> Result<(), DatabaseError> {
    store::execute(
        db,
        "end sessions",
        r#"DELETE FROM "Session" WHERE "projectId" = $1 AND "userId" = $2 AND "id" IS DISTINCT FROM $3"#,
        &[&project_id, &user_id, &but],
    )
    .await?;
    Ok(())
}

async fn end(
    db: &impl GenericClient,
    project_id: &str,
    user_id: Option<&str>,
    id: &str,
) -> Result<(), ApiError> {
    let ended = store::execute(
        db,
        "end a session",
        r#"DELETE FROM "Session"
           WHERE "projectId" = $1 AND ($2::text IS NULL OR "userId" = $2) AND "id" = $3"#,
        &[&project_id, &user_id, &id],
    )
    .await?;
    if ended == 0 {
        return Err(ApiError::refresh_token_not_found());
    }
    Ok(())
}

/// `GET /auth/sessions`.
pub(in crate::backend) async fn list(call: Call) -> Answer {
    let query = call.query();
    let user_id = call.own_user_id(query.optional_text("user_id")?, "list sessions for")?;
    query.finish()?;
    let db = call.connection().await?;
    let rows = store::rows(
        &db,
        "list sessions",
        r#"SELECT "id", "createdAtMillis", "lastUsedAtMillis", "isImpersonation" FROM "Session"
           WHERE "projectId" = $1 AND "userId" = $2
             AND ("expiresAtMillis" IS NULL OR "expiresAtMillis" > $3)
           ORDER BY "createdAtMillis", "id""#,
        &[&call.project.id, &user_id, &clock::now_millis()],
    )
    .await?;
    let current = call
        .claims()
        .ok()
        .map(|claims| claims.refresh_token_id.clone());
    let items: Vec<Value> = rows
        .iter()
        .map(|row| {
            let id: String = row.get(0);
            json!({
                "is_current_session": Some(&id) == current.as_ref(),
                "id": id,
                "user_id": user_id,
                "created_at": row.get::<_, i64>(1),
                "last_used_at": row.get::<_, i64>(2),
                "is_impersonation": row.get::<_, bool>(3),
            })
        })
        .collect();
    Ok(wire::list(&items))
}

/// `POST /auth/sessions`: a server signs a user in.
pub(in crate::backend) async fn create(call: Call) -> Answer {
    call.need_server()?;
    let body = call.body();
    let user_id = call.user_id(body.text("user_id")?)?;
    let lifetime = body.number("expires_in_millis")?;
    let is_impersonation = body.flag("is_impersonation")?.unwrap_or(false);
    body.finish()?;
    if lifetime.is_some_and(|lifetime| !ASKED_LIFETIMES.contains(&lifetime)) {
        return Err(ApiError::schema(
            call.endpoint(),
            &format!("body.expires_in_millis must be a number from 1 to {LIFETIME}"),
        ));
    }
    let mut connection = call.connection().await?;
    let transaction = store::begin(&mut connection).await?;
    let user = users::find(&transaction, &call.project.id, &user_id)
        .await?
        .ok_or_else(|| ApiError::user_id_does_not_exist(&user_id))?;
    let tokens = begin(
        call.shared(),
        &transaction,
        &call.project,
        &user,
        lifetime,
        is_impersonation,
    )
    .await?;
    store::commit(transaction).await?;
    Ok(wire::json(
        &json!({ "refresh_token": tokens.refresh, "access_token": tokens.access }),
    ))
}

/// `DELETE /auth/sessions/{id}`.
pub(in crate::backend) async fn delete(Path(id): Path<String>, call: Call) -> Answer {
    let query = call.query();
    let given = query.optional_text("user_id")?;
    query.finish()?;
    // A server that knows a session's ID need not say whose it is.
    let user_id = if call.is_client() || given.is_some() {
        Some(call.own_user_id(given, "delete sessions for")?)
    } else {
        None
    };
    if call
        .claims()
        .is_ok_and(|claims| claims.refresh_token_id == id)
    {
        return Err(ApiError::cannot_delete_current_session());
    }
    let db = call.connection().await?;
    end(&db, &call.project.id, user_id.as_deref(), &id).await?;
    Ok(wire::success())
}

/// `DELETE /auth/sessions/current`: signs out.
pub(in crate::backend) async fn delete_current(call: Call) -> Answer {
    let claims = call.claims()?;
    let db = call.connection().await?;
    end(
        &db,
        &call.project.id,
        Some(&claims.sub),
        &claims.refresh_token_id,
    )
    .await?;
    Ok(wire::success())
}

/// `POST /auth/sessions/current/refresh`, with the refresh token in its header.
pub(in crate::backend) async fn refresh_current(headers: HeaderMap, call: Call) -> Answer {
    let token = access::text(&headers, "x-stack-refresh-token")
        .ok_or_else(ApiError::refresh_token_not_found)?;
    let access = refresh(call.shared(), &call.project, token).await?;
    Ok(wire::json(&json!({ "access_token": access })))
}
