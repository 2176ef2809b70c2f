//! `/users` and `/users/{user_id}`, where `me` is the user that is signed in.

use axum::extract::Path;
use deadpool_postgres::GenericClient;
use serde_json::{Value, json};

use super::{
    Change, NewUser, User, client_view,
    rows::{find, insert, select_users, update_row},
    server_view,
};
use crate::backend::{
    auth,
    call::{Answer, Call},
    channels, clock,
    database::DatabaseError,
    error::ApiError,
    fields::{Fields, Patch},
    passwords, store, teams, wire,
};

/// The query for a page: order, and where it begins.
macro_rules! select_page {
    ($column:literal, $from:literal, $direction:literal) => {
        concat!(
            select_users!(
                r#"WHERE u."projectId" = $1 AND ($7 OR NOT u."isAnonymous")
                   AND ($2::text IS NULL OR u."id" = $3 OR u."displayName" ILIKE $2 OR EXISTS (
                     SELECT 1 FROM "ContactChannel" s WHERE s."projectId" = u."projectId"
                       AND s."userId" = u."id" AND s."value" ILIKE $2))
                   AND ($4::text IS NULL OR EXISTS (
                     SELECT 1 FROM "TeamMember" m WHERE m."projectId" = u."projectId"
                       AND m."userId" = u."id" AND m."teamId" = $4))
                   AND ($5::text IS NULL OR (u."#
            ),
            $column,
            r#", u."id") "#,
            $from,
            r#" (SELECT b."#,
            $column,
            r#", b."id" FROM "User" b WHERE b."projectId" = $1 AND b."id" = $5)) ORDER BY u."#,
            $column,
            " ",
            $direction,
            r#", u."id" "#,
            $direction,
            " LIMIT $6::bigint"
        )
    };
}

/// `GET /users`: for servers, in pages, with a search.
pub(in crate::backend) async fn list(call: Call) -> Answer {
    call.need_server()?;
    let query = call.query();
    let limit = query.number("limit")?.filter(|limit| *limit > 0);
    let cursor = query.optional_text("cursor")?;
    let search = query.optional_text("query")?.map(str::trim);
    let team_id = query.optional_text("team_id")?;
    let is_descending = query.flag("desc")?.unwrap_or(false);
    let has_anonymous = query.flag("include_anonymous")?.unwrap_or(false);
    query.ignore("include_restricted");
    let by_activity = match query.optional_text("order_by")? {
        None | Some("signed_up_at") => false,
        Some("last_active_at") => true,
        Some(other) => {
            return Err(ApiError::schema(
                call.endpoint(),
                &format!(
                    "query.order_by must be one of the following values: signed_up_at, last_active_at, but was: {other}"
                ),
            ));
        }
    };
    query.finish()?;
    let db = call.connection().await?;
    // One more than the page has: the next page begins with it.
    let page = limit.map(|limit| limit.saturating_add(1));
    let pattern = search.map(|search| {
        let escaped = search
            .replace('\\', "\\\\")
            .replace('%', "\\%")
            .replace('_', "\\_");
        format!("%{escaped}%")
    });
    let sql = match (by_activity, is_descending) {
        (false, false) => select_page!(r#""signedUpAtMillis""#, ">=", "ASC"),
        (false, true) => select_page!(r#""signedUpAtMillis""#, "<=", "DESC"),
        (true, false) => select_page!(r#""lastActiveAtMillis""#, ">=", "ASC"),
        (true, true) => select_page!(r#""lastActiveAtMillis""#, "<=", "DESC"),
    };
    let found = store::rows(
        &db,
        "list users",
        sql,
        &[
            &call.project.id,
            &pattern,
            &search,
            &team_id,
            &cursor,
            &page,
            &has_anonymous,
        ],
    )
    .await?;
    let mut users: Vec<User> = found.iter().map(User::of).collect();
    let shown = limit.and_then(|limit| usize::try_from(limit).ok());
    let next = shown
        .and_then(|shown| users.get(shown))
        .map(|user| user.id.clone());
    if let Some(shown) = shown {
        users.truncate(shown);
    }
    let items: Vec<Value> = users.iter().map(server_view).collect();
    Ok(wire::json(&json!({
        "items": items,
        "is_paginated": true,
        "pagination": { "next_cursor": next },
    })))
}

/// `GET /users/{user_id}`.
pub(in crate::backend) async fn read(Path(given): Path<String>, call: Call) -> Answer {
    let db = call.connection().await?;
    let user = addressed(&call, &db, &given).await?;
    Ok(wire::json(&seen(&call, &user)))
}

/// `POST /users`: a server makes an account.
pub(in crate::backend) async fn create(call: Call) -> Answer {
    call.need_server()?;
    let body = call.body();
    let email = body.patch_email("primary_email")?.value();
    let email_verified = body.flag("primary_email_verified")?.unwrap_or(false);
    let email_auth_enabled = body.flag("primary_email_auth_enabled")?.unwrap_or(false);
    let otp_auth_enabled = body.flag("otp_auth_enabled")?.unwrap_or(false);
    let password = GivenPassword::read(&body)?.value();
    let mut change = Change::default();
    own_columns(&body, &mut change)?;
    server_columns(&body, &mut change)?;
    nothing_beyond(&call, &body)?;
    body.finish()?;

    let password_hash = match password {
        Some(password) => Some(password.hash(&call).await?),
        None => None,
    };
    let now = clock::now_millis();
    let mut connection = call.connection().await?;
    let transaction = store::begin(&mut connection).await?;
    let new = NewUser {
        email: email.as_deref(),
        email_verified,
        email_auth_enabled: email_auth_enabled && email.is_some(),
        password_hash: password_hash.as_deref(),
        otp_auth_enabled,
        ..NewUser::default()
    };
    let id = insert(&transaction, &call.project.id, call.config(), &new, now).await?;
    update_row(&transaction, &call.project.id, &id, &change).await?;
    let user = find(&transaction, &call.project.id, &id)
        .await?
        .ok_or_else(ApiError::user_not_found)?;
    store::commit(transaction).await?;
    Ok(wire::created(&server_view(&user)))
}

/// `PATCH /users/{user_id}`.
pub(in crate::backend) async fn update(Path(given): Path<String>, call: Call) -> Answer {
    let body = call.body();
    let mut change = Change::default();
    own_columns(&body, &mut change)?;
    change.selected_team_id = body.patch_text("selected_team_id")?;
    let mut password = Patch::Keep;
    let mut email = EmailChange::default();
    if !call.is_client() {
        server_columns(&body, &mut change)?;
        change.otp_auth_enabled = body.flag("otp_auth_enabled")?;
        password = GivenPassword::read(&body)?;
        email = EmailChange {
            value: body.patch_email("primary_email")?,
            is_verified: body.flag("primary_email_verified")?,
            used_for_auth: body.flag("primary_email_auth_enabled")?,
        };
    }
    nothing_beyond(&call, &body)?;
    body.finish()?;

    let password_hash = match password {
        Patch::Set(password) => Patch::Set(password.hash(&call).await?),
        Patch::Clear => Patch::Clear,
        Patch::Keep => Patch::Keep,
    };
    change.password_hash = password_hash.as_str();
    let mut connection = call.connection().await?;
    let transaction = store::begin(&mut connection).await?;
    let before = addressed(&call, &transaction, &given).await?;
    if let Patch::Set(team_id) = change.selected_team_id {
        teams::need_member(&transaction, &call.project.id, team_id, &before.id).await?;
    }
    update_row(&transaction, &call.project.id, &before.id, &change).await?;
    email.apply(&transaction, &call.project.id, &before).await?;
    if change.password_hash.is_change() {
        auth::end_sessions(&transaction, &call.project.id, &before.id, None).await?;
    }
    let user = find(&transaction, &call.project.id, &before.id)
        .await?
        .ok_or_else(ApiError::user_not_found)?;
    store::commit(transaction).await?;
    Ok(wire::json(&seen(&call, &user)))
}

/// `DELETE /users/{user_id}`.
pub(in crate::backend) async fn delete(Path(given): Path<String>, call: Call) -> Answer {
    let db = call.connection().await?;
    let user = addressed(&call, &db, &given).await?;
    if call.is_client() && !call.config().client_user_deletion() {
        return Err(ApiError::bad_request(
            "Client user deletion is not enabled for this project",
        ));
    }
    store::execute(
        &db,
        "delete a user",
        r#"DELETE FROM "User" WHERE "projectId" = $1 AND "id" = $2"#,
        &[&call.project.id, &user.id],
    )
    .await?;
    Ok(wire::success())
}

/// The user that a path names. An app may only name its own.
async fn addressed(call: &Call, db: &impl GenericClient, given: &str) -> Result<User, ApiError> {
    let id = call.user_id(given)?;
    if call.is_client() && given != "me" {
        call.need_server()?;
    }
    let missing = if given == "me" {
        ApiError::cannot_get_own_user
    } else {
        ApiError::user_not_found
    };
    find(db, &call.project.id, &id).await?.ok_or_else(missing)
}

fn seen(call: &Call, user: &User) -> Value {
    if call.is_client() {
        client_view(user)
    } else {
        server_view(user)
    }
}

/// What users may change of themselves.
fn own_columns<'a>(body: &Fields<'a>, change: &mut Change<'a>) -> Result<(), ApiError> {
    change.display_name = body.patch_text("display_name")?;
    change.profile_image_url = body.patch_text("profile_image_url")?;
    change.client_metadata = body.metadata("client_metadata")?;
    Ok(())
}

/// What only servers may.
fn server_columns<'a>(body: &Fields<'a>, change: &mut Change<'a>) -> Result<(), ApiError> {
    change.client_read_only_metadata = body.metadata("client_read_only_metadata")?;
    change.server_metadata = body.metadata("server_metadata")?;
    Ok(())
}

/// Entries that the real backend takes and the starter does not: they must not be lost in silence.
fn nothing_beyond(call: &Call, body: &Fields<'_>) -> Result<(), ApiError> {
    if body.optional_text("totp_secret_base64")?.is_some() {
        return Err(ApiError::part_not_in_starter(
            call.endpoint(),
            "totp_secret_base64",
        ));
    }
    for name in [
        "passkey_auth_enabled",
        "is_anonymous",
        "restricted_by_admin",
    ] {
        if body.flag(name)? == Some(true) {
            return Err(ApiError::part_not_in_starter(call.endpoint(), name));
        }
    }
    Ok(())
}

/// A password that a server sets: itself, or a hash that was made elsewhere.
enum GivenPassword<'a> {
    Plain(&'a str),
    Hash(&'a str),
}

impl<'a> GivenPassword<'a> {
    fn read(body: &Fields<'a>) -> Result<Patch<Self>, ApiError> {
        let password = body.patch_text("password")?;
        let hash = body.optional_text("password_hash")?;
        match (password, hash) {
            (Patch::Keep, None) => Ok(Patch::Keep),
            (Patch::Clear, None) => Ok(Patch::Clear),
            (Patch::Set(password), None) => {
                passwords::check(password)?;
                Ok(Patch::Set(Self::Plain(password)))
            }
            (Patch::Keep, Some(hash)) if passwords::is_hash(hash) => {
                Ok(Patch::Set(Self::Hash(hash)))
            }
            (Patch::Keep, Some(_)) => Err(ApiError::bad_request(
                "Invalid password hash. Make sure it's a supported algorithm in Modular Crypt Format: bcrypt with a cost of at most 12.",
            )),
            (Patch::Clear | Patch::Set(_), Some(_)) => Err(ApiError::bad_request(
                "Cannot set both password and password_hash at the same time.",
            )),
        }
    }

    async fn hash(self, call: &Call) -> Result<String, ApiError> {
        match self {
            Self::Plain(password) => call.shared().hasher.hash(password).await,
            Self::Hash(hash) => Ok(hash.to_owned()),
        }
    }
}

/// What is to become of the primary address.
#[derive(Debug, Default)]
struct EmailChange {
    value: Patch<String>,
    is_verified: Option<bool>,
    used_for_auth: Option<bool>,
}

impl EmailChange {
    async fn apply(
        &self,
        db: &impl GenericClient,
        project_id: &str,
        before: &User,
    ) -> Result<(), ApiError> {
        let is_nothing =
            !self.value.is_change() && self.is_verified.is_none() && self.used_for_auth.is_none();
        if is_nothing {
            return Ok(());
        }
        let value = match &self.value {
            Patch::Set(value) => Some(value.as_str()),
            Patch::Clear => None,
            Patch::Keep => before.primary_email.as_deref(),
        };
        let is_same = value == before.primary_email.as_deref();
        if !is_same {
            remove_primary(db, project_id, &before.id, value).await?;
        }
        let Some(value) = value else {
            return Ok(());
        };
        let is_verified = self
            .is_verified
            .unwrap_or(is_same && before.primary_email_verified);
        let used_for_auth = self
            .used_for_auth
            .unwrap_or(before.primary_email_auth_enabled);
        let channel = channels::NewChannel {
            value,
            is_primary: true,
            is_verified,
            used_for_auth,
        };
        channels::put(db, project_id, &before.id, &channel, clock::now_millis())
            .await?
            .then_some(())
            .ok_or_else(|| ApiError::user_email_already_exists(value, false))
    }
}

/// The old primary address goes; another channel with the new address is to become it.
async fn remove_primary(
    db: &impl GenericClient,
    project_id: &str,
    user_id: &str,
    next: Option<&str>,
) -> Result<(), DatabaseError> {
    store::execute(
        db,
        "take away a primary address",
        r#"DELETE FROM "ContactChannel" WHERE "projectId" = $1 AND "userId" = $2 AND "type" = 'email'
           AND "isPrimary" AND "value" IS DISTINCT FROM $3"#,
        &[&project_id, &user_id, &next],
    )
    .await?;
    Ok(())
}
