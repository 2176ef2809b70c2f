//! Signing in with providers: `/auth/oauth/authorize`, `/auth/oauth/callback`, and the accounts at providers
//! that users have.
//!
//! An app sends a browser to `authorize`, which sends it on to the provider. The provider sends it back to
//! `callback`, which finds or makes the user and sends it on to the app, with a code. The app's SDK redeems the
//! code at the token endpoint ([`auth`](super::auth)). Both halves have a state and PKCE of their own.
//!
//! There is no network in the guest: whatever provider the config file names, the mock provider stands in for it
//! ([`mock_oauth`](crate::mock_oauth)), also where the file has a client ID and a secret.

mod account_endpoints;
mod accounts;
mod authorize;
mod callback;
mod codes;
mod connected;
mod errors;
mod flows;
mod users;

use deadpool_postgres::GenericClient;

pub(super) use self::{
    account_endpoints::{
        create as create_account, delete as delete_account, list as list_accounts,
        read as read_account, update as update_account,
    },
    authorize::{authorize, client},
    callback::callback,
    codes::{AppCode, Shown, take as take_code},
    connected::{access_token_of_account, access_token_of_provider, list as list_connected},
};
use super::{database::DatabaseError, store};

/// The scopes that every provider is asked for.
const BASE_SCOPE: &str = "profile email";

/// The scopes of a text, each once.
fn scopes_of(text: &str) -> Vec<String> {
    let mut scopes: Vec<String> = Vec::new();
    for scope in text.split_ascii_whitespace() {
        if !scopes.iter().any(|known| known == scope) {
            scopes.push(scope.to_owned());
        }
    }
    scopes
}

/// Removes flows and codes that are over.
pub(super) async fn prune(db: &impl GenericClient, now: i64) -> Result<(), DatabaseError> {
    // The person who comes back late is told so for a day.
    let flows = r#"DELETE FROM "OAuthFlow" WHERE "expiresAtMillis" <= $1"#;
    let before = now - super::clock::DAY;
    store::execute(db, "remove old sign-ins with providers", flows, &[&before]).await?;
    let codes = r#"DELETE FROM "OAuthCode" WHERE "expiresAtMillis" <= $1"#;
    store::execute(db, "remove old authorization codes", codes, &[&now]).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_asked_for_once() {
        assert_eq!(scopes_of(" repo  email repo"), ["repo", "email"]);
        assert_eq!(scopes_of(""), [""; 0]);
    }
}
