//! The people that were made up on the page. An address is one person, with every client.

use deadpool_postgres::GenericClient;
use tokio_postgres::Row;

use crate::{
    backend::{codes::digest, database::DatabaseError, error::ApiError, store},
    random,
};

/// How many of them the page offers.
const OFFERED: i64 = 6;

/// Somebody, as the provider tells of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Person {
    /// What the provider calls them (`sub`).
    pub(crate) id: String,
    /// Their address.
    pub(crate) email: String,
    /// Whether the provider says that the address is theirs.
    pub(crate) email_verified: bool,
    /// Their name.
    pub(crate) display_name: Option<String>,
}

impl Person {
    fn of(row: &Row) -> Self {
        Self {
            id: row.get(0),
            email: row.get(1),
            email_verified: row.get(2),
            display_name: row.get(3),
        }
    }
}

/// The person with an address, who is made or changed so that the rest is as given.
pub(super) async fn put(
    db: &impl GenericClient,
    email: &str,
    email_verified: bool,
    display_name: Option<&str>,
    now: i64,
) -> Result<String, ApiError> {
    let row = store::row(
        db,
        "note a person of the mock provider",
        r#"INSERT INTO "MockOAuthPerson" ("id", "email", "isVerified", "displayName", "usedAtMillis")
           VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT ("email") DO UPDATE SET "isVerified" = excluded."isVerified",
             "displayName" = excluded."displayName", "usedAtMillis" = excluded."usedAtMillis"
           RETURNING "id""#,
        &[
            &random::uuid()?,
            &email,
            &email_verified,
            &display_name,
            &now,
        ],
    )
    .await?;
    Ok(row.map(|row| row.get(0)).unwrap_or_default())
}

/// Notes that a person is used again; whether there is one.
pub(super) async fn touch(
    db: &impl GenericClient,
    id: &str,
    now: i64,
) -> Result<bool, DatabaseError> {
    let changed = store::execute(
        db,
        "use a person of the mock provider",
        r#"UPDATE "MockOAuthPerson" SET "usedAtMillis" = $2 WHERE "id" = $1"#,
        &[&id, &now],
    )
    .await?;
    Ok(changed == 1)
}

/// Those who were used last, the latest first.
pub(super) async fn latest(db: &impl GenericClient) -> Result<Vec<Person>, DatabaseError> {
    let rows = store::rows(
        db,
        "list people of the mock provider",
        r#"SELECT "id", "email", "isVerified", "displayName" FROM "MockOAuthPerson"
           ORDER BY "usedAtMillis" DESC, "id" LIMIT $1"#,
        &[&OFFERED],
    )
    .await?;
    Ok(rows.iter().map(Person::of).collect())
}

/// Whom an access token is for.
pub(crate) async fn of_access_token(
    db: &impl GenericClient,
    token: &str,
    now: i64,
) -> Result<Option<Person>, DatabaseError> {
    let row = store::row(
        db,
        "look up a token of the mock provider",
        r#"SELECT p."id", p."email", p."isVerified", p."displayName" FROM "MockOAuthToken" t
           JOIN "MockOAuthPerson" p ON p."id" = t."personId"
           WHERE t."digest" = $1 AND t."kind" = 'access' AND t."expiresAtMillis" > $2"#,
        &[&digest(token), &now],
    )
    .await?;
    Ok(row.as_ref().map(Person::of))
}
