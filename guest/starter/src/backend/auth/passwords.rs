//! Passwords: signing up and in, setting, changing, and what to do when one is forgotten (`/auth/password`).

use axum::response::Response;
use serde_json::json;

use super::sessions::{self, Tokens};
use crate::backend::{
    call::{Answer, Call},
    channels, clock,
    codes::{self, Purpose, Subject},
    error::ApiError,
    fields::{Fields, Patch},
    mail::{self, Content},
    passwords, store,
    users::{self, Change, NewUser, User},
    wire,
};

fn need_enabled(call: &Call) -> Result<(), ApiError> {
    if call.config().passwords() {
        return Ok(());
    }
    Err(ApiError::passwords_not_enabled())
}

/// Where a link is to lead, if the app wants one sent.
fn optional_callback(
    call: &Call,
    body: &Fields<'_>,
    name: &'static str,
) -> Result<Option<String>, ApiError> {
    match body.optional_text(name)? {
        None | Some("") => Ok(None),
        Some(_) => body.callback(name, call.config()).map(Some),
    }
}

fn signed_in(tokens: &Tokens, user: &User) -> Response {
    wire::json(&json!({
        "access_token": tokens.access,
        "refresh_token": tokens.refresh,
        "user_id": user.id,
    }))
}

/// `POST /auth/password/sign-up`.
pub(in crate::backend) async fn sign_up(call: Call) -> Answer {
    let body = call.body();
    let email = body.email("email")?;
    let password = body.text("password")?;
    need_enabled(&call)?;
    let callback = optional_callback(&call, &body, "verification_callback_url")?;
    for name in [
        "bot_challenge_token",
        "bot_challenge_phase",
        "bot_challenge_unavailable",
    ] {
        body.ignore(name);
    }
    body.finish()?;
    passwords::check(password)?;
    if !call.config().sign_up() {
        return Err(ApiError::sign_up_not_enabled());
    }
    // Asked first, so that a taken address does not cost a hash; the insertion decides.
    {
        let db = call.connection().await?;
        let known = users::find_by_sign_in_address(&db, &call.project.id, &email).await?;
        if known.is_some() {
            return Err(ApiError::user_email_already_exists(&email, false));
        }
    }
    let hash = call.shared().hasher.hash(password).await?;

    let mut connection = call.connection().await?;
    let transaction = store::begin(&mut connection).await?;
    let anonymous = call.anonymous(&transaction).await?;
    let new = NewUser {
        email: Some(&email),
        email_auth_enabled: true,
        password_hash: Some(&hash),
        was: anonymous.as_deref(),
        ..NewUser::default()
    };
    let now = clock::now_millis();
    let id = users::insert(&transaction, &call.project.id, call.config(), &new, now).await?;
    let user = users::find(&transaction, &call.project.id, &id)
        .await?
        .ok_or_else(ApiError::user_not_found)?;
    if let Some(callback) = callback {
        channels::send_verification(&call, &transaction, &id, &email, &callback).await?;
    }
    let shared = call.shared();
    let tokens = sessions::begin(shared, &transaction, &call.project, &user, None, false).await?;
    store::commit(transaction).await?;
    Ok(signed_in(&tokens, &user))
}

/// `POST /auth/password/sign-in`.
pub(in crate::backend) async fn sign_in(call: Call) -> Answer {
    let body = call.body();
    let email = body.email("email")?;
    let password = body.text("password")?;
    body.finish()?;
    need_enabled(&call)?;
    let known = {
        let db = call.connection().await?;
        users::find_by_sign_in_address(&db, &call.project.id, &email).await?
    };
    let hash = known
        .as_ref()
        .and_then(|(user, _)| user.password_hash.as_deref());
    let matches = call.shared().hasher.matches(password, hash).await?;
    let (true, Some((user, _))) = (matches, &known) else {
        return Err(ApiError::email_password_mismatch());
    };
    let mut connection = call.connection().await?;
    let transaction = store::begin(&mut connection).await?;
    // The password may have been changed, and the account deleted, while it was compared.
    let user = users::find(&transaction, &call.project.id, &user.id)
        .await?
        .filter(|now| now.password_hash == user.password_hash)
        .ok_or_else(ApiError::email_password_mismatch)?;
    let shared = call.shared();
    let tokens = sessions::begin(shared, &transaction, &call.project, &user, None, false).await?;
    store::commit(transaction).await?;
    Ok(signed_in(&tokens, &user))
}

/// `POST /auth/password/set`: a first password, for who has none.
pub(in crate::backend) async fn set(call: Call) -> Answer {
    let body = call.body();
    let password = body.text("password")?;
    body.finish()?;
    need_enabled(&call)?;
    let user = {
        let db = call.connection().await?;
        call.signed_in(&db).await?
    };
    if user.password_hash.is_some() {
        return Err(ApiError::bad_request("User already has a password set."));
    }
    passwords::check(password)?;
    let hash = call.shared().hasher.hash(password).await?;
    replace(&call, &user, &hash, None).await
}

/// `POST /auth/password/update`: another password, for who knows the old one. All other sessions end.
pub(in crate::backend) async fn update(call: Call) -> Answer {
    let body = call.body();
    let old = body.text("old_password")?;
    let new = body.text("new_password")?;
    body.finish()?;
    need_enabled(&call)?;
    passwords::check(new)?;
    let user = {
        let db = call.connection().await?;
        call.signed_in(&db).await?
    };
    let Some(hash) = user.password_hash.as_deref() else {
        return Err(ApiError::user_does_not_have_password());
    };
    if !call.shared().hasher.matches(old, Some(hash)).await? {
        return Err(ApiError::password_confirmation_mismatch());
    }
    let hash = call.shared().hasher.hash(new).await?;
    let session = &call.claims()?.refresh_token_id;
    replace(&call, &user, &hash, Some(session)).await
}

/// Puts a new hash in the place of the one that was looked at; with `session`, ends all sessions but that.
async fn replace(call: &Call, user: &User, hash: &str, session: Option<&str>) -> Answer {
    let mut connection = call.connection().await?;
    let transaction = store::begin(&mut connection).await?;
    let changed = store::execute(
        &transaction,
        "set a password",
        r#"UPDATE "User" SET "passwordHash" = $4
           WHERE "projectId" = $1 AND "id" = $2 AND "passwordHash" IS NOT DISTINCT FROM $3"#,
        &[&call.project.id, &user.id, &user.password_hash, &hash],
    )
    .await?;
    if changed == 0 {
        return Err(ApiError::password_confirmation_mismatch());
    }
    if session.is_some() {
        sessions::end_all(&transaction, &call.project.id, &user.id, session).await?;
    }
    store::commit(transaction).await?;
    Ok(wire::success())
}

/// `POST /auth/password/send-reset-code`. Says the same whether or not there is such a user.
pub(in crate::backend) async fn send_reset_code(call: Call) -> Answer {
    let body = call.body();
    let email = body.email("email")?;
    let callback = body.callback("callback_url", call.config())?;
    body.finish()?;
    need_enabled(&call)?;
    let mut connection = call.connection().await?;
    let transaction = store::begin(&mut connection).await?;
    let known = users::find_by_sign_in_address(&transaction, &call.project.id, &email).await?;
    if let Some((user, _)) = known {
        let subject = Subject {
            email: email.clone(),
            user_id: Some(user.id),
            ..Subject::default()
        };
        let purpose = Purpose::PasswordReset;
        let fresh = codes::make(&transaction, &call.project.id, purpose, &subject).await?;
        let link = mail::link_with_code(&callback, &fresh.code);
        let content = Content::PasswordReset { link: &link };
        mail::send(&transaction, &call.project, &email, &content).await?;
    }
    store::commit(transaction).await?;
    Ok(wire::json(
        &json!({ "success": "maybe, only if user with e-mail exists" }),
    ))
}

/// `POST /auth/password/reset/check-code`.
pub(in crate::backend) async fn check_reset_code(call: Call) -> Answer {
    let body = call.body();
    let code = body.code()?;
    body.finish()?;
    let db = call.connection().await?;
    codes::check(&db, &call.project.id, Purpose::PasswordReset, &code).await?;
    Ok(wire::json(&json!({ "is_code_valid": true })))
}

/// `POST /auth/password/reset`: another password, for who has the code. All sessions end.
pub(in crate::backend) async fn reset(call: Call) -> Answer {
    let body = call.body();
    let code = body.code()?;
    let password = body.text("password")?;
    body.finish()?;
    need_enabled(&call)?;
    passwords::check(password)?;
    let purpose = Purpose::PasswordReset;
    let subject = {
        let db = call.connection().await?;
        codes::check(&db, &call.project.id, purpose, &code).await?
    };
    let hash = call.shared().hasher.hash(password).await?;
    let user_id = subject.user_id.as_deref().unwrap_or_default();
    let mut connection = call.connection().await?;
    let transaction = store::begin(&mut connection).await?;
    codes::take(&transaction, &call.project.id, purpose, &code).await?;
    let change = Change {
        password_hash: Patch::Set(&hash),
        ..Change::default()
    };
    if !users::update_row(&transaction, &call.project.id, user_id, &change).await? {
        return Err(ApiError::user_not_found());
    }
    sessions::end_all(&transaction, &call.project.id, user_id, None).await?;
    store::commit(transaction).await?;
    Ok(wire::success())
}
