//! Contact channels: the mail addresses of a user, below `/contact-channels`.

use axum::{extract::Path, http::StatusCode};
use deadpool_postgres::GenericClient;
use serde_json::{Value, json};
use tokio_postgres::Row;

use super::{
    call::{Answer, Call},
    clock,
    codes::{self, Purpose, Subject},
    database::DatabaseError,
    error::ApiError,
    mail::{self, Content},
    store, users, wire,
};
use crate::random;

/// A channel to be made or put in place.
#[derive(Debug)]
pub(super) struct NewChannel<'a> {
    /// The address.
    pub(super) value: &'a str,
    /// Whether it is the one that is shown.
    pub(super) is_primary: bool,
    /// Whether somebody proved that it is theirs.
    pub(super) is_verified: bool,
    /// Whether one signs in with it.
    pub(super) used_for_auth: bool,
}

struct Channel {
    id: String,
    user_id: String,
    value: String,
    is_primary: bool,
    is_verified: bool,
    used_for_auth: bool,
}

impl Channel {
    fn of(row: &Row) -> Self {
        Self {
            id: row.get(0),
            user_id: row.get(1),
            value: row.get(2),
            is_primary: row.get(3),
            is_verified: row.get(4),
            used_for_auth: row.get(5),
        }
    }

    fn view(&self) -> Value {
        json!({
            "id": self.id,
            "user_id": self.user_id,
            "type": "email",
            "value": self.value,
            "is_primary": self.is_primary,
            "is_verified": self.is_verified,
            "used_for_auth": self.used_for_auth,
        })
    }
}

/// Makes a channel. `None` when one like it exists, or the address is for signing in and somebody else's.
pub(super) async fn insert(
    db: &impl GenericClient,
    project_id: &str,
    user_id: &str,
    new: &NewChannel<'_>,
    now_millis: i64,
) -> Result<Option<String>, ApiError> {
    let id = random::uuid()?;
    let made = store::execute(
        db,
        "make a contact channel",
        r#"INSERT INTO "ContactChannel" ("projectId", "userId", "id", "type", "value", "isPrimary",
             "isVerified", "usedForAuth", "createdAtMillis")
           VALUES ($1, $2, $3, 'email', $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING"#,
        &[
            &project_id,
            &user_id,
            &id,
            &new.value,
            &new.is_primary,
            &new.is_verified,
            &new.used_for_auth,
            &now_millis,
        ],
    )
    .await?;
    Ok((made == 1).then_some(id))
}

/// Makes a channel or changes the one that the user has with this address. `false` when it is for signing in
/// and somebody else's.
pub(super) async fn put(
    db: &impl GenericClient,
    project_id: &str,
    user_id: &str,
    new: &NewChannel<'_>,
    now_millis: i64,
) -> Result<bool, ApiError> {
    if new.used_for_auth && is_taken(db, project_id, user_id, new.value).await? {
        return Ok(false);
    }
    let known = store::row(
        db,
        "look up a contact channel",
        r#"SELECT "id" FROM "ContactChannel"
           WHERE "projectId" = $1 AND "userId" = $2 AND "type" = 'email' AND "value" = $3"#,
        &[&project_id, &user_id, &new.value],
    )
    .await?;
    let Some(row) = known else {
        return Ok(insert(db, project_id, user_id, new, now_millis)
            .await?
            .is_some());
    };
    let change = Change {
        value: None,
        is_primary: Some(new.is_primary),
        is_verified: Some(new.is_verified),
        used_for_auth: Some(new.used_for_auth),
    };
    change.apply(db, project_id, user_id, row.get(0)).await?;
    Ok(true)
}

/// Whether somebody else signs in with an address. Who is about to is locked out until the transaction ends.
async fn is_taken(
    db: &impl GenericClient,
    project_id: &str,
    user_id: &str,
    value: &str,
) -> Result<bool, DatabaseError> {
    store::execute(
        db,
        "wait for others who use an address",
        "SELECT pg_advisory_xact_lock(hashtextextended($1, 1))",
        &[&format!("{project_id} {value}")],
    )
    .await?;
    let row = store::row(
        db,
        "look up who uses an address",
        r#"SELECT 1 FROM "ContactChannel" WHERE "projectId" = $1 AND "type" = 'email' AND "value" = $3
           AND "usedForAuth" AND "userId" <> $2"#,
        &[&project_id, &user_id, &value],
    )
    .await?;
    Ok(row.is_some())
}

/// What is to become of a channel; `None` leaves a column as it is.
struct Change<'a> {
    value: Option<&'a str>,
    is_primary: Option<bool>,
    is_verified: Option<bool>,
    used_for_auth: Option<bool>,
}

impl Change<'_> {
    async fn apply(
        &self,
        db: &impl GenericClient,
        project_id: &str,
        user_id: &str,
        id: &str,
    ) -> Result<(), DatabaseError> {
        if self.is_primary == Some(true) {
            store::execute(
                db,
                "make room for a primary address",
                r#"UPDATE "ContactChannel" SET "isPrimary" = false
                   WHERE "projectId" = $1 AND "userId" = $2 AND "type" = 'email' AND "id" <> $3"#,
                &[&project_id, &user_id, &id],
            )
            .await?;
        }
        store::execute(
            db,
            "change a contact channel",
            r#"UPDATE "ContactChannel" SET "value" = coalesce($4, "value"),
                 "isPrimary" = coalesce($5, "isPrimary"), "isVerified" = coalesce($6, "isVerified"),
                 "usedForAuth" = coalesce($7, "usedForAuth")
               WHERE "projectId" = $1 AND "userId" = $2 AND "id" = $3"#,
            &[
                &project_id,
                &user_id,
                &id,
                &self.value,
                &self.is_primary,
                &self.is_verified,
                &self.used_for_auth,
            ],
        )
        .await?;
        Ok(())
    }
}

const COLUMNS_AND_TABLE: &str = r#"SELECT "id", "userId", "value", "isPrimary", "isVerified", "usedForAuth"
    FROM "ContactChannel" WHERE "projectId" = $1"#;

async fn find(
    db: &impl GenericClient,
    project_id: &str,
    user_id: &str,
    id: &str,
) -> Result<Channel, ApiError> {
    let sql = format!(r#"{COLUMNS_AND_TABLE} AND "userId" = $2 AND "id" = $3"#);
    store::row(
        db,
        "look up a contact channel",
        &sql,
        &[&project_id, &user_id, &id],
    )
    .await?
    .as_ref()
    .map(Channel::of)
    .ok_or_else(|| {
        ApiError::Plain(
            StatusCode::NOT_FOUND,
            "Contact channel not found.".to_owned(),
        )
    })
}

/// The addresses that a user has proved to be theirs.
pub(super) async fn verified(
    db: &impl GenericClient,
    project_id: &str,
    user_id: &str,
) -> Result<Vec<String>, DatabaseError> {
    let rows = store::rows(
        db,
        "list verified addresses",
        r#"SELECT "value" FROM "ContactChannel"
           WHERE "projectId" = $1 AND "userId" = $2 AND "type" = 'email' AND "isVerified""#,
        &[&project_id, &user_id],
    )
    .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Notes that a user's address is theirs.
pub(super) async fn set_verified(
    db: &impl GenericClient,
    project_id: &str,
    user_id: &str,
    value: &str,
) -> Result<bool, DatabaseError> {
    let changed = store::execute(
        db,
        "verify an address",
        r#"UPDATE "ContactChannel" SET "isVerified" = true
           WHERE "projectId" = $1 AND "userId" = $2 AND "type" = 'email' AND "value" = $3"#,
        &[&project_id, &user_id, &value],
    )
    .await?;
    Ok(changed == 1)
}

/// `GET /contact-channels`.
pub(super) async fn list(call: Call) -> Answer {
    let query = call.query();
    let given = query.optional_text("user_id")?;
    query.ignore("contact_channel_id");
    query.finish()?;
    let user_id = if call.is_client() || given.is_some() {
        Some(call.own_user_id(given, "list contact channels for")?)
    } else {
        None
    };
    let db = call.connection().await?;
    let sql = format!(
        r#"{COLUMNS_AND_TABLE} AND ($2::text IS NULL OR "userId" = $2) ORDER BY "createdAtMillis", "id""#
    );
    let rows = store::rows(
        &db,
        "list contact channels",
        &sql,
        &[&call.project.id, &user_id],
    )
    .await?;
    let items: Vec<Value> = rows.iter().map(|row| Channel::of(row).view()).collect();
    Ok(wire::list(&items))
}

/// `POST /contact-channels`.
pub(super) async fn create(call: Call) -> Answer {
    let body = call.body();
    let user_id = call.own_user_id(Some(body.text("user_id")?), "create contact channels for")?;
    let value = body.email("value")?;
    need_email(&call, body.text("type")?)?;
    let used_for_auth = body.flag("used_for_auth")?.unwrap_or(false);
    let is_primary = body.flag("is_primary")?.unwrap_or(false);
    let is_verified = body.flag("is_verified")?.unwrap_or(false);
    body.finish()?;
    if is_verified {
        call.need_server()?;
    }
    let mut connection = call.connection().await?;
    let transaction = store::begin(&mut connection).await?;
    if users::find(&transaction, &call.project.id, &user_id)
        .await?
        .is_none()
    {
        return Err(ApiError::user_id_does_not_exist(&user_id));
    }
    if used_for_auth && is_taken(&transaction, &call.project.id, &user_id, &value).await? {
        return Err(ApiError::channel_used_by_someone_else(&value));
    }
    let new = NewChannel {
        value: &value,
        is_primary: false,
        is_verified,
        used_for_auth,
    };
    let now = clock::now_millis();
    let id = insert(&transaction, &call.project.id, &user_id, &new, now)
        .await?
        .ok_or_else(exists_already)?;
    if is_primary {
        let change = Change {
            value: None,
            is_primary: Some(true),
            is_verified: None,
            used_for_auth: None,
        };
        change
            .apply(&transaction, &call.project.id, &user_id, &id)
            .await?;
    }
    let channel = find(&transaction, &call.project.id, &user_id, &id).await?;
    store::commit(transaction).await?;
    Ok(wire::created(&channel.view()))
}

fn exists_already() -> ApiError {
    ApiError::Plain(
        StatusCode::CONFLICT,
        "A contact channel with this value already exists for the user.".to_owned(),
    )
}

/// Whether a user has a channel with this address.
async fn has(
    db: &impl GenericClient,
    project_id: &str,
    user_id: &str,
    value: &str,
) -> Result<bool, DatabaseError> {
    let sql = format!(r#"{COLUMNS_AND_TABLE} AND "userId" = $2 AND "value" = $3"#);
    let parameters: store::Parameters<'_> = &[&project_id, &user_id, &value];
    let row = store::row(db, "look up a contact channel", &sql, parameters).await?;
    Ok(row.is_some())
}

fn need_email(call: &Call, kind: &str) -> Result<(), ApiError> {
    if kind == "email" {
        return Ok(());
    }
    Err(ApiError::schema(
        call.endpoint(),
        "body.type must be one of the following values: email",
    ))
}

/// `GET /contact-channels/{user_id}/{id}`.
pub(super) async fn read(Path((user, id)): Path<(String, String)>, call: Call) -> Answer {
    let user_id = call.own_user_id(Some(&user), "read contact channels of")?;
    let db = call.connection().await?;
    Ok(wire::json(
        &find(&db, &call.project.id, &user_id, &id).await?.view(),
    ))
}

/// `PATCH /contact-channels/{user_id}/{id}`.
pub(super) async fn update(Path((user, id)): Path<(String, String)>, call: Call) -> Answer {
    let user_id = call.own_user_id(Some(&user), "update contact channels of")?;
    let body = call.body();
    let value = body.patch_email("value")?.value();
    if let Some(kind) = body.optional_text("type")? {
        need_email(&call, kind)?;
    }
    let is_primary = body.flag("is_primary")?;
    let mut is_verified = body.flag("is_verified")?;
    let used_for_auth = body.flag("used_for_auth")?;
    body.finish()?;
    if is_verified.is_some() {
        call.need_server()?;
    }
    let mut connection = call.connection().await?;
    let transaction = store::begin(&mut connection).await?;
    let before = find(&transaction, &call.project.id, &user_id, &id).await?;
    let next = value.as_deref().unwrap_or(&before.value);
    if next != before.value {
        // Nobody has proved yet that the new address is theirs.
        is_verified = is_verified.or(Some(false));
        if has(&transaction, &call.project.id, &user_id, next).await? {
            return Err(exists_already());
        }
    }
    let is_for_auth = used_for_auth.unwrap_or(before.used_for_auth);
    if is_for_auth && is_taken(&transaction, &call.project.id, &user_id, next).await? {
        return Err(ApiError::channel_used_by_someone_else(next));
    }
    let change = Change {
        value: value.as_deref(),
        is_primary,
        is_verified,
        used_for_auth,
    };
    change
        .apply(&transaction, &call.project.id, &user_id, &id)
        .await?;
    let channel = find(&transaction, &call.project.id, &user_id, &id).await?;
    store::commit(transaction).await?;
    Ok(wire::json(&channel.view()))
}

/// `DELETE /contact-channels/{user_id}/{id}`.
pub(super) async fn delete(Path((user, id)): Path<(String, String)>, call: Call) -> Answer {
    let user_id = call.own_user_id(Some(&user), "delete contact channels of")?;
    let db = call.connection().await?;
    find(&db, &call.project.id, &user_id, &id).await?;
    store::execute(
        &db,
        "delete a contact channel",
        r#"DELETE FROM "ContactChannel" WHERE "projectId" = $1 AND "userId" = $2 AND "id" = $3"#,
        &[&call.project.id, &user_id, &id],
    )
    .await?;
    Ok(wire::success())
}

/// `POST /contact-channels/{user_id}/{id}/send-verification-code`.
pub(super) async fn send_code(Path((user, id)): Path<(String, String)>, call: Call) -> Answer {
    let user_id = call.own_user_id(Some(&user), "send verification codes for")?;
    let body = call.body();
    let callback = body.callback("callback_url", call.config())?;
    body.finish()?;
    let db = call.connection().await?;
    let channel = find(&db, &call.project.id, &user_id, &id).await?;
    if channel.is_verified {
        return Err(ApiError::email_already_verified());
    }
    send_verification(&call, &db, &user_id, &channel.value, &callback).await?;
    Ok(wire::success())
}

/// `POST /contact-channels/send-verification-code`: by the address, for the user that is signed in.
pub(super) async fn send_code_to_own(call: Call) -> Answer {
    let body = call.body();
    let email = body.email("email")?;
    let callback = body.callback("callback_url", call.config())?;
    body.finish()?;
    let db = call.connection().await?;
    let user = call.signed_in(&db).await?;
    let sql = format!(r#"{COLUMNS_AND_TABLE} AND "userId" = $2 AND "value" = $3"#);
    let row = store::row(
        &db,
        "look up a contact channel",
        &sql,
        &[&call.project.id, &user.id, &email],
    )
    .await?;
    let channel = row.as_ref().map(Channel::of).ok_or_else(|| {
        ApiError::bad_request("The e-mail is not one of the contact channels of the user.")
    })?;
    if channel.is_verified {
        return Err(ApiError::email_already_verified());
    }
    send_verification(&call, &db, &user.id, &email, &callback).await?;
    Ok(wire::success())
}

/// Makes a code that verifies an address, and mails it.
pub(super) async fn send_verification(
    call: &Call,
    db: &impl GenericClient,
    user_id: &str,
    email: &str,
    callback: &str,
) -> Result<(), ApiError> {
    let subject = Subject {
        email: email.to_owned(),
        user_id: Some(user_id.to_owned()),
        ..Subject::default()
    };
    let fresh = codes::make(db, &call.project.id, Purpose::Verification, &subject).await?;
    let link = mail::link_with_code(callback, &fresh.code);
    mail::send(
        db,
        &call.project,
        email,
        &Content::Verification { link: &link },
    )
    .await
}

/// `POST /contact-channels/verify`.
pub(super) async fn verify(call: Call) -> Answer {
    let body = call.body();
    let code = body.code()?;
    body.finish()?;
    let mut connection = call.connection().await?;
    let purpose = Purpose::Verification;
    let subject = codes::check(&connection, &call.project.id, purpose, &code).await?;
    let transaction = store::begin(&mut connection).await?;
    codes::take(&transaction, &call.project.id, purpose, &code).await?;
    let user_id = subject.user_id.as_deref().unwrap_or_default();
    // The address may have been taken off the account since.
    if !set_verified(&transaction, &call.project.id, user_id, &subject.email).await? {
        return Err(ApiError::code_not_found());
    }
    store::commit(transaction).await?;
    Ok(wire::success())
}

/// `POST /contact-channels/verify/check-code`.
pub(super) async fn check_code(call: Call) -> Answer {
    let body = call.body();
    let code = body.code()?;
    body.finish()?;
    let db = call.connection().await?;
    codes::check(&db, &call.project.id, Purpose::Verification, &code).await?;
    Ok(wire::json(&json!({ "is_code_valid": true })))
}
