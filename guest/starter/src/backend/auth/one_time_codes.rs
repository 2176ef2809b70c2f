//! Signing in with a code that comes by mail: by its link, or by typing it (`/auth/otp`).

use serde_json::json;

use super::sessions;
use crate::backend::{
    call::{Answer, Call},
    channels, clock,
    codes::{self, Purpose, Subject},
    error::ApiError,
    mail::{self, Content},
    store,
    users::{self, Change, NewUser},
    wire,
};

/// `POST /auth/otp/send-sign-in-code`. Who has no account yet gets one with the code.
pub(in crate::backend) async fn send_code(call: Call) -> Answer {
    let body = call.body();
    let email = body.email("email")?;
    let callback = body.callback("callback_url", call.config())?;
    for name in [
        "bot_challenge_token",
        "bot_challenge_phase",
        "bot_challenge_unavailable",
    ] {
        body.ignore(name);
    }
    body.finish()?;
    need_enabled(&call)?;
    let mut connection = call.connection().await?;
    let transaction = store::begin(&mut connection).await?;
    let known = users::find_by_sign_in_address(&transaction, &call.project.id, &email).await?;
    match known {
        Some((user, is_verified)) if !user.otp_auth_enabled && !is_verified => {
            return Err(ApiError::user_email_already_exists(&email, true));
        }
        None if !call.config().sign_up() => return Err(ApiError::sign_up_not_enabled()),
        Some(_) | None => {}
    }
    let subject = Subject {
        email: email.clone(),
        ..Subject::default()
    };
    let fresh = codes::make(&transaction, &call.project.id, Purpose::SignIn, &subject).await?;
    let link = mail::link_with_code(&callback, &fresh.code);
    let content = Content::SignIn {
        link: &link,
        code: fresh.typed(),
    };
    mail::send(&transaction, &call.project, &email, &content).await?;
    store::commit(transaction).await?;
    Ok(wire::json(&json!({ "nonce": fresh.nonce() })))
}

fn need_enabled(call: &Call) -> Result<(), ApiError> {
    if call.config().one_time_codes() {
        return Ok(());
    }
    Err(ApiError::forbidden(
        "OTP sign-in is not enabled for this project",
    ))
}

/// `POST /auth/otp/sign-in`.
pub(in crate::backend) async fn sign_in(call: Call) -> Answer {
    let body = call.body();
    let code = body.code()?;
    body.finish()?;
    let mut connection = call.connection().await?;
    let subject = codes::check(&connection, &call.project.id, Purpose::SignIn, &code).await?;
    let email = &subject.email;
    let transaction = store::begin(&mut connection).await?;
    codes::take(&transaction, &call.project.id, Purpose::SignIn, &code).await?;
    let known = users::find_by_sign_in_address(&transaction, &call.project.id, email).await?;
    let is_new = known.is_none();
    let user_id = match known {
        Some((user, is_verified)) => {
            if !user.otp_auth_enabled && !is_verified {
                return Err(ApiError::user_email_already_exists(email, true));
            }
            let change = Change {
                otp_auth_enabled: Some(true),
                ..Change::default()
            };
            users::update_row(&transaction, &call.project.id, &user.id, &change).await?;
            channels::set_verified(&transaction, &call.project.id, &user.id, email).await?;
            user.id
        }
        None if !call.config().sign_up() => return Err(ApiError::sign_up_not_enabled()),
        None => {
            let anonymous = call.anonymous(&transaction).await?;
            let new = NewUser {
                was: anonymous.as_deref(),
                email: Some(email),
                email_verified: true,
                email_auth_enabled: true,
                otp_auth_enabled: true,
                ..NewUser::default()
            };
            let now = clock::now_millis();
            users::insert(&transaction, &call.project.id, call.config(), &new, now).await?
        }
    };
    let user = users::find(&transaction, &call.project.id, &user_id)
        .await?
        .ok_or_else(ApiError::user_not_found)?;
    let shared = call.shared();
    let tokens = sessions::begin(shared, &transaction, &call.project, &user, None, false).await?;
    store::commit(transaction).await?;
    Ok(wire::json(&json!({
        "refresh_token": tokens.refresh,
        "access_token": tokens.access,
        "is_new_user": is_new,
        "user_id": user.id,
    })))
}

/// `POST /auth/otp/sign-in/check-code`.
pub(in crate::backend) async fn check_code(call: Call) -> Answer {
    let body = call.body();
    let code = body.code()?;
    body.finish()?;
    let db = call.connection().await?;
    codes::check(&db, &call.project.id, Purpose::SignIn, &code).await?;
    Ok(wire::json(&json!({ "is_code_valid": true })))
}
