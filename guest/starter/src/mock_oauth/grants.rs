//! Codes and tokens: made, redeemed once, refreshed. The backend does so without a request, by the same
//! functions that `/token` uses.

use deadpool_postgres::GenericClient;

use super::request::AuthorizationRequest;
use crate::{
    backend::{clock, codes::digest, database::DatabaseError, error::ApiError, store},
    pkce, random,
};

/// How long a code is good: the time of a few redirects.
const CODE_LIFETIME: i64 = 60 * 1000;
/// How long an access token is good.
pub(super) const ACCESS_LIFETIME: i64 = 60 * 60 * 1000;
/// How long a refresh token is good that is not used.
const REFRESH_LIFETIME: i64 = 365 * clock::DAY;

/// Tokens that were just made.
#[derive(Debug)]
pub(crate) struct Grant {
    /// Opens `/userinfo` for an hour.
    pub(crate) access_token: String,
    /// Gives others like it.
    pub(crate) refresh_token: String,
    /// When the access token ends, in milliseconds since 1970.
    pub(crate) expires_at_millis: i64,
    /// What was asked for.
    pub(crate) scope: String,
}

/// What a client shows for a grant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Redemption<'a> {
    /// The code.
    pub(crate) code: &'a str,
    /// The client that asked for it.
    pub(crate) client_id: &'a str,
    /// Where it was sent.
    pub(crate) redirect_uri: &'a str,
    /// What the challenge was made of.
    pub(crate) verifier: &'a str,
}

/// Makes a code for a person who has agreed.
pub(super) async fn make_code(
    db: &impl GenericClient,
    request: &AuthorizationRequest,
    person_id: &str,
    now: i64,
) -> Result<String, ApiError> {
    let code = random::token("")?;
    store::execute(
        db,
        "make a code of the mock provider",
        r#"INSERT INTO "MockOAuthCode" ("digest", "clientId", "redirectUri", "challenge", "scope", "personId",
             "expiresAtMillis") VALUES ($1, $2, $3, $4, $5, $6, $7)"#,
        &[
            &digest(&code),
            &request.client_id,
            &request.redirect_uri,
            &request.challenge,
            &request.scope,
            &person_id,
            &(now + CODE_LIFETIME),
        ],
    )
    .await?;
    Ok(code)
}

/// Redeems a code. Whatever becomes of it, it is used up: of several requests at once one gets the row. `None`
/// when it is no code, or another client's, or the verifier is wrong.
pub(crate) async fn redeem(
    db: &impl GenericClient,
    shown: &Redemption<'_>,
    now: i64,
) -> Result<Option<Grant>, ApiError> {
    let row = store::row(
        db,
        "redeem a code of the mock provider",
        r#"DELETE FROM "MockOAuthCode" WHERE "digest" = $1
           RETURNING "clientId", "redirectUri", "challenge", "scope", "personId", "expiresAtMillis""#,
        &[&digest(shown.code)],
    )
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let is_right = shown.client_id == row.get::<_, &str>(0)
        && shown.redirect_uri == row.get::<_, &str>(1)
        && pkce::matches(shown.verifier, row.get(2))
        && now < row.get(5);
    if !is_right {
        return Ok(None);
    }
    let scope: String = row.get(3);
    let holder = Holder {
        client_id: shown.client_id,
        person_id: row.get(4),
        scope: &scope,
    };
    let (access_token, expires_at_millis) =
        make_token(db, "access", &holder, now + ACCESS_LIFETIME).await?;
    let (refresh_token, _) = make_token(db, "refresh", &holder, now + REFRESH_LIFETIME).await?;
    Ok(Some(Grant {
        access_token,
        refresh_token,
        expires_at_millis,
        scope,
    }))
}

/// Makes another access token for the holder of a refresh token, which stays good. `None` when it is none.
pub(crate) async fn refresh(
    db: &impl GenericClient,
    client_id: &str,
    refresh_token: &str,
    now: i64,
) -> Result<Option<Grant>, ApiError> {
    let row = store::row(
        db,
        "use a refresh token of the mock provider",
        r#"UPDATE "MockOAuthToken" SET "expiresAtMillis" = $4
           WHERE "digest" = $1 AND "kind" = 'refresh' AND "clientId" = $2 AND "expiresAtMillis" > $3
           RETURNING "personId", "scope""#,
        &[
            &digest(refresh_token),
            &client_id,
            &now,
            &(now + REFRESH_LIFETIME),
        ],
    )
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let scope: String = row.get(1);
    let holder = Holder {
        client_id,
        person_id: row.get(0),
        scope: &scope,
    };
    let (access_token, expires_at_millis) =
        make_token(db, "access", &holder, now + ACCESS_LIFETIME).await?;
    Ok(Some(Grant {
        access_token,
        refresh_token: refresh_token.to_owned(),
        expires_at_millis,
        scope,
    }))
}

/// Who has a token, and for what.
struct Holder<'a> {
    client_id: &'a str,
    person_id: &'a str,
    scope: &'a str,
}

async fn make_token(
    db: &impl GenericClient,
    kind: &'static str,
    holder: &Holder<'_>,
    expires_at_millis: i64,
) -> Result<(String, i64), ApiError> {
    let token = random::token("mock_")?;
    store::execute(
        db,
        "make a token of the mock provider",
        r#"INSERT INTO "MockOAuthToken" ("digest", "kind", "clientId", "personId", "scope", "expiresAtMillis")
           VALUES ($1, $2, $3, $4, $5, $6)"#,
        &[
            &digest(&token),
            &kind,
            &holder.client_id,
            &holder.person_id,
            &holder.scope,
            &expires_at_millis,
        ],
    )
    .await?;
    Ok((token, expires_at_millis))
}

/// Removes what is over.
pub(crate) async fn prune(db: &impl GenericClient, now: i64) -> Result<(), DatabaseError> {
    for (action, sql) in [
        (
            "remove old codes of the mock provider",
            r#"DELETE FROM "MockOAuthCode" WHERE "expiresAtMillis" <= $1"#,
        ),
        (
            "remove old tokens of the mock provider",
            r#"DELETE FROM "MockOAuthToken" WHERE "expiresAtMillis" <= $1"#,
        ),
    ] {
        store::execute(db, action, sql, &[&now]).await?;
    }
    Ok(())
}
