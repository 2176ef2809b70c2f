//! Authorization codes for apps: good once, for ten minutes, for the app that knows the verifier.

use deadpool_postgres::GenericClient;

use super::{errors, flows::Flow};
use crate::{
    backend::{clock, codes::digest, database::Database, error::ApiError, store},
    pkce, random,
};

/// How long a code is good, which is as long as the real backend's.
const LIFETIME: i64 = 10 * 60 * 1000;

/// What a code stands for.
#[derive(Debug)]
pub(in crate::backend) struct AppCode {
    /// Who signs in.
    pub(in crate::backend) user_id: String,
    /// Whether they have just signed up.
    pub(in crate::backend) is_new_user: bool,
    /// Where the app goes from here.
    pub(in crate::backend) after_callback_redirect_url: Option<String>,
}

/// What an app shows for a session.
#[derive(Debug, Clone, Copy)]
pub(in crate::backend) struct Shown<'a> {
    /// The code.
    pub(in crate::backend) code: &'a str,
    /// Where it was sent.
    pub(in crate::backend) redirect_uri: &'a str,
    /// What the challenge was made of.
    pub(in crate::backend) verifier: &'a str,
}

/// Makes a code for the app that has begun a flow.
pub(super) async fn make(
    db: &impl GenericClient,
    flow: &Flow,
    user_id: &str,
    is_new_user: bool,
    now: i64,
) -> Result<String, ApiError> {
    let code = random::token("")?;
    store::execute(
        db,
        "make an authorization code",
        r#"INSERT INTO "OAuthCode" ("digest", "projectId", "userId", "redirectUri", "challenge", "isNewUser",
             "afterCallbackRedirectUrl", "expiresAtMillis") VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"#,
        &[
            &digest(&code),
            &flow.project_id,
            &user_id,
            &flow.redirect_uri,
            &flow.challenge,
            &is_new_user,
            &flow.after_callback_redirect_url,
            &(now + LIFETIME),
        ],
    )
    .await?;
    Ok(code)
}

/// Uses a code up, whatever becomes of it: of several requests at once one gets the row.
///
/// # Errors
/// `INVALID_AUTHORIZATION_CODE`; plain text where the code was asked for with another address.
pub(in crate::backend) async fn take(
    database: &Database,
    project_id: &str,
    shown: &Shown<'_>,
) -> Result<AppCode, ApiError> {
    let db = database.connection().await?;
    let row = store::row(
        &db,
        "redeem an authorization code",
        r#"DELETE FROM "OAuthCode" WHERE "digest" = $1 AND "projectId" = $2
           RETURNING "userId", "isNewUser", "afterCallbackRedirectUrl", "redirectUri", "challenge",
             "expiresAtMillis""#,
        &[&digest(shown.code), &project_id],
    )
    .await?
    .ok_or_else(errors::invalid_code)?;
    if row.get::<_, &str>(3) != shown.redirect_uri {
        return Err(ApiError::bad_request(
            "Invalid redirect URI. Your redirect URI must be the same as the one used to get the authorization code.",
        ));
    }
    if !pkce::matches(shown.verifier, row.get(4)) || row.get::<_, i64>(5) <= clock::now_millis() {
        return Err(errors::invalid_code());
    }
    Ok(AppCode {
        user_id: row.get(0),
        is_new_user: row.get(1),
        after_callback_redirect_url: row.get(2),
    })
}
