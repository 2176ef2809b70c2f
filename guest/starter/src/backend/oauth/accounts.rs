//! Accounts at providers that users have, and what the providers have granted for them.

use deadpool_postgres::GenericClient;
use serde_json::{Value, json};
use tokio_postgres::Row;

use super::scopes_of;
use crate::{
    backend::{config::Config, database::DatabaseError, error::ApiError, store},
    mock_oauth::Grant,
    random,
};

/// An account at a provider.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) id: String,
    pub(super) user_id: String,
    pub(super) provider_id: String,
    /// What the provider calls it.
    pub(super) subject: String,
    pub(super) email: Option<String>,
    pub(super) allow_sign_in: bool,
    pub(super) allow_connected_accounts: bool,
}

/// The query for [`Account::of`].
macro_rules! select_accounts {
    ($rest:literal) => {
        concat!(
            r#"SELECT "id", "userId", "providerId", "accountId", "email", "allowSignIn",
                 "allowConnectedAccounts" FROM "OAuthAccount" WHERE "projectId" = $1 "#,
            $rest
        )
    };
}

impl Account {
    fn of(row: &Row) -> Self {
        Self {
            id: row.get(0),
            user_id: row.get(1),
            provider_id: row.get(2),
            subject: row.get(3),
            email: row.get(4),
            allow_sign_in: row.get(5),
            allow_connected_accounts: row.get(6),
        }
    }

    /// What the user's own app sees, or the app's server: that sees what the provider calls the account, too.
    pub(super) fn view(&self, config: &Config, is_client: bool) -> Value {
        let kind = config.oauth_provider(&self.provider_id);
        let mut view = json!({
            "user_id": self.user_id,
            "id": self.id,
            "provider_config_id": self.provider_id,
            "type": kind.map_or_else(|| self.provider_id.clone(), |provider| provider.kind),
            "allow_sign_in": self.allow_sign_in,
            "allow_connected_accounts": self.allow_connected_accounts,
        });
        // An entry that is not there: the SDK's type has no `null`.
        if let Some(email) = &self.email {
            view["email"] = json!(email);
        }
        if !is_client {
            view["account_id"] = json!(self.subject);
        }
        view
    }
}

/// Makes others wait who are about to make or change accounts with the same name at the provider, until this
/// transaction ends.
pub(super) async fn lock(
    db: &impl GenericClient,
    project_id: &str,
    provider_id: &str,
    subject: &str,
) -> Result<(), DatabaseError> {
    store::execute(
        db,
        "wait for others who sign in with a provider",
        "SELECT pg_advisory_xact_lock(hashtextextended($1, 2))",
        &[&format!("{project_id} {provider_id} {subject}")],
    )
    .await?;
    Ok(())
}

/// The account that signs in with a provider's account.
pub(super) async fn for_sign_in(
    db: &impl GenericClient,
    project_id: &str,
    provider_id: &str,
    subject: &str,
) -> Result<Option<Account>, DatabaseError> {
    let row = store::row(
        db,
        "look up who signs in with a provider",
        select_accounts!(r#"AND "providerId" = $2 AND "accountId" = $3 AND "allowSignIn""#),
        &[&project_id, &provider_id, &subject],
    )
    .await?;
    Ok(row.as_ref().map(Account::of))
}

/// The accounts of a user, or of all; of one provider, if it is named. The oldest first.
pub(super) async fn list(
    db: &impl GenericClient,
    project_id: &str,
    user_id: Option<&str>,
    provider_id: Option<&str>,
) -> Result<Vec<Account>, DatabaseError> {
    let rows = store::rows(
        db,
        "list accounts at providers",
        select_accounts!(
            r#"AND ($2::text IS NULL OR "userId" = $2) AND ($3::text IS NULL OR "providerId" = $3)
               ORDER BY "createdAtMillis", "id""#
        ),
        &[&project_id, &user_id, &provider_id],
    )
    .await?;
    Ok(rows.iter().map(Account::of).collect())
}

/// An account of a user.
pub(super) async fn find(
    db: &impl GenericClient,
    project_id: &str,
    user_id: &str,
    id: &str,
) -> Result<Option<Account>, DatabaseError> {
    let row = store::row(
        db,
        "look up an account at a provider",
        select_accounts!(r#"AND "userId" = $2 AND "id" = $3"#),
        &[&project_id, &user_id, &id],
    )
    .await?;
    Ok(row.as_ref().map(Account::of))
}

/// Makes an account, whose ID is that of `account`.
pub(super) async fn insert(
    db: &impl GenericClient,
    project_id: &str,
    account: &Account,
    now: i64,
) -> Result<(), DatabaseError> {
    store::execute(
        db,
        "make an account at a provider",
        r#"INSERT INTO "OAuthAccount" ("projectId", "id", "userId", "providerId", "accountId", "email",
             "allowSignIn", "allowConnectedAccounts", "createdAtMillis")
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"#,
        &[
            &project_id,
            &account.id,
            &account.user_id,
            &account.provider_id,
            &account.subject,
            &account.email,
            &account.allow_sign_in,
            &account.allow_connected_accounts,
            &now,
        ],
    )
    .await?;
    Ok(())
}

/// Changes an account to what `account` says.
pub(super) async fn update(
    db: &impl GenericClient,
    project_id: &str,
    account: &Account,
) -> Result<(), DatabaseError> {
    store::execute(
        db,
        "change an account at a provider",
        r#"UPDATE "OAuthAccount" SET "accountId" = $3, "email" = $4, "allowSignIn" = $5,
             "allowConnectedAccounts" = $6 WHERE "projectId" = $1 AND "id" = $2"#,
        &[
            &project_id,
            &account.id,
            &account.subject,
            &account.email,
            &account.allow_sign_in,
            &account.allow_connected_accounts,
        ],
    )
    .await?;
    Ok(())
}

/// Removes an account of a user; whether there was one.
pub(super) async fn delete(
    db: &impl GenericClient,
    project_id: &str,
    user_id: &str,
    id: &str,
) -> Result<bool, DatabaseError> {
    let removed = store::execute(
        db,
        "remove an account at a provider",
        r#"DELETE FROM "OAuthAccount" WHERE "projectId" = $1 AND "userId" = $2 AND "id" = $3"#,
        &[&project_id, &user_id, &id],
    )
    .await?;
    Ok(removed == 1)
}

/// Keeps what a provider has granted for an account. A grant with the same scopes goes: this one is newer.
pub(super) async fn keep_grant(
    db: &impl GenericClient,
    project_id: &str,
    account_id: &str,
    grant: &Grant,
    now: i64,
) -> Result<(), ApiError> {
    let scopes = scopes_of(&grant.scope);
    store::execute(
        db,
        "remove an older grant of a provider",
        r#"DELETE FROM "OAuthGrant" WHERE "projectId" = $1 AND "oauthAccountId" = $2 AND "scopes" <@ $3"#,
        &[&project_id, &account_id, &scopes],
    )
    .await?;
    store::execute(
        db,
        "keep a grant of a provider",
        r#"INSERT INTO "OAuthGrant" ("projectId", "id", "oauthAccountId", "accessToken", "refreshToken",
             "scopes", "expiresAtMillis", "createdAtMillis") VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"#,
        &[
            &project_id,
            &random::uuid()?,
            &account_id,
            &grant.access_token,
            &grant.refresh_token,
            &scopes,
            &grant.expires_at_millis,
            &now,
        ],
    )
    .await?;
    Ok(())
}
