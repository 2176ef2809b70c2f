//! A sign-in that is under way: what the app has asked for, kept until the provider sends the browser back.

use deadpool_postgres::GenericClient;

use crate::backend::{codes::digest, database::DatabaseError, store};

/// How long a person may take at the provider.
const LIFETIME: i64 = 10 * 60 * 1000;

/// What is kept.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) project_id: String,
    pub(super) provider_id: String,
    /// What this backend proves to the provider that it is the one who asked.
    pub(super) provider_verifier: String,
    /// Where the provider sends the browser.
    pub(super) provider_callback: String,
    /// What the provider is asked for.
    pub(super) provider_scope: String,
    /// Whether the browser was given a cookie.
    pub(super) has_cookie: bool,
    /// Whether the provider's account is to be connected to a user's.
    pub(super) is_link: bool,
    /// Who was signed in.
    pub(super) user_id: Option<String>,
    /// Where the app wants its code.
    pub(super) redirect_uri: String,
    /// What the app wants back with it.
    pub(super) app_state: String,
    /// What the app has to know the verifier of.
    pub(super) challenge: String,
    /// The app's page for errors.
    pub(super) error_redirect_url: Option<String>,
    /// Where the app goes from there.
    pub(super) after_callback_redirect_url: Option<String>,
}

/// Notes that a flow has begun.
pub(super) async fn begin(
    db: &impl GenericClient,
    state: &str,
    flow: &Flow,
    now: i64,
) -> Result<(), DatabaseError> {
    store::execute(
        db,
        "begin a sign-in with a provider",
        r#"INSERT INTO "OAuthFlow" ("stateDigest", "projectId", "providerId", "providerVerifier",
             "providerCallback", "providerScope", "hasCookie", "isLink", "userId", "redirectUri", "appState",
             "challenge", "errorRedirectUrl", "afterCallbackRedirectUrl", "expiresAtMillis")
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"#,
        &[
            &digest(state),
            &flow.project_id,
            &flow.provider_id,
            &flow.provider_verifier,
            &flow.provider_callback,
            &flow.provider_scope,
            &flow.has_cookie,
            &flow.is_link,
            &flow.user_id,
            &flow.redirect_uri,
            &flow.app_state,
            &flow.challenge,
            &flow.error_redirect_url,
            &flow.after_callback_redirect_url,
            &(now + LIFETIME),
        ],
    )
    .await?;
    Ok(())
}

/// Ends a flow, and whether its time was over. Of several requests at once one gets it, and the others wait
/// for that one's transaction.
pub(super) async fn end(
    db: &impl GenericClient,
    state: &str,
    now: i64,
) -> Result<Option<(Flow, bool)>, DatabaseError> {
    let row = store::row(
        db,
        "end a sign-in with a provider",
        r#"DELETE FROM "OAuthFlow" WHERE "stateDigest" = $1
           RETURNING "projectId", "providerId", "providerVerifier", "providerCallback", "providerScope",
             "hasCookie", "isLink", "userId", "redirectUri", "appState", "challenge", "errorRedirectUrl",
             "afterCallbackRedirectUrl", "expiresAtMillis""#,
        &[&digest(state)],
    )
    .await?;
    Ok(row.map(|row| {
        let flow = Flow {
            project_id: row.get(0),
            provider_id: row.get(1),
            provider_verifier: row.get(2),
            provider_callback: row.get(3),
            provider_scope: row.get(4),
            has_cookie: row.get(5),
            is_link: row.get(6),
            user_id: row.get(7),
            redirect_uri: row.get(8),
            app_state: row.get(9),
            challenge: row.get(10),
            error_redirect_url: row.get(11),
            after_callback_redirect_url: row.get(12),
        };
        (flow, row.get::<_, i64>(13) <= now)
    }))
}

/// The cookie that ties a flow to the browser that began it.
pub(super) fn cookie_name(state: &str) -> String {
    format!("stack-oauth-inner-{state}")
}

/// The line that gives a browser the cookie.
pub(super) fn cookie(state: &str) -> String {
    format!(
        "{}=true; Path=/; Max-Age={}; HttpOnly; SameSite=Lax",
        cookie_name(state),
        LIFETIME / 1000
    )
}

/// The line that takes it away.
pub(super) fn no_cookie(state: &str) -> String {
    format!(
        "{}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax",
        cookie_name(state)
    )
}
