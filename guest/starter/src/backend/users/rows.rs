//! A user's row, with the primary address and the selected team.

use deadpool_postgres::GenericClient;
use serde_json::Value;
use tokio_postgres::Row;

use crate::{
    backend::{
        channels,
        config::{Config, Occasion, Scope},
        database::DatabaseError,
        error::ApiError,
        fields::Patch,
        permissions, store,
        teams::Team,
    },
    random,
};

/// A user as the database has it.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::backend) struct User {
    pub(in crate::backend) id: String,
    pub(in crate::backend) display_name: Option<String>,
    pub(in crate::backend) profile_image_url: Option<String>,
    pub(in crate::backend) client_metadata: Option<Value>,
    pub(in crate::backend) client_read_only_metadata: Option<Value>,
    pub(in crate::backend) server_metadata: Option<Value>,
    pub(in crate::backend) password_hash: Option<String>,
    pub(in crate::backend) otp_auth_enabled: bool,
    /// Whether they have not signed up yet.
    pub(in crate::backend) is_anonymous: bool,
    pub(in crate::backend) signed_up_at_millis: i64,
    pub(in crate::backend) last_active_at_millis: i64,
    pub(in crate::backend) primary_email: Option<String>,
    pub(in crate::backend) primary_email_verified: bool,
    pub(in crate::backend) primary_email_auth_enabled: bool,
    pub(in crate::backend) selected_team: Option<Team>,
    /// Their accounts at providers, as the API lists them.
    pub(in crate::backend) oauth_providers: Value,
}

/// A user to be made.
#[derive(Debug, Default)]
pub(in crate::backend) struct NewUser<'a> {
    pub(in crate::backend) email: Option<&'a str>,
    pub(in crate::backend) email_verified: bool,
    /// Whether the address is for signing in.
    pub(in crate::backend) email_auth_enabled: bool,
    pub(in crate::backend) password_hash: Option<&'a str>,
    pub(in crate::backend) otp_auth_enabled: bool,
    pub(in crate::backend) is_anonymous: bool,
    /// An anonymous user who becomes this one, with all that is theirs.
    pub(in crate::backend) was: Option<&'a str>,
}

/// What is to become of a user's own columns.
#[derive(Debug, Default)]
pub(in crate::backend) struct Change<'a> {
    pub(in crate::backend) display_name: Patch<&'a str>,
    pub(in crate::backend) profile_image_url: Patch<&'a str>,
    pub(in crate::backend) client_metadata: Patch<&'a Value>,
    pub(in crate::backend) client_read_only_metadata: Patch<&'a Value>,
    pub(in crate::backend) server_metadata: Patch<&'a Value>,
    pub(in crate::backend) selected_team_id: Patch<&'a str>,
    pub(in crate::backend) password_hash: Patch<&'a str>,
    pub(in crate::backend) otp_auth_enabled: Option<bool>,
}

/// The query for [`User::of`], with what follows `FROM`'s tables.
macro_rules! select_users {
    ($rest:literal) => {
        concat!(
            r#"SELECT u."id", u."displayName", u."profileImageUrl", u."clientMetadata",
                 u."clientReadOnlyMetadata", u."serverMetadata", u."passwordHash", u."otpAuthEnabled",
                 u."signedUpAtMillis", u."lastActiveAtMillis",
                 c."value", coalesce(c."isVerified", false), coalesce(c."usedForAuth", false),
                 t."id", t."displayName", t."profileImageUrl", t."clientMetadata",
                 t."clientReadOnlyMetadata", t."serverMetadata", t."createdAtMillis", u."isAnonymous",
                 coalesce((SELECT jsonb_agg(jsonb_build_object('id', o."providerId",
                     'account_id', o."accountId", 'email', o."email") ORDER BY o."createdAtMillis", o."id")
                   FROM "OAuthAccount" o
                   WHERE o."projectId" = u."projectId" AND o."userId" = u."id"), '[]')
               FROM "User" u
               LEFT JOIN "ContactChannel" c ON c."projectId" = u."projectId" AND c."userId" = u."id"
                 AND c."type" = 'email' AND c."isPrimary"
               LEFT JOIN "Team" t ON t."projectId" = u."projectId" AND t."id" = u."selectedTeamId" "#,
            $rest
        )
    };
}
pub(super) use select_users;

impl User {
    pub(super) fn of(row: &Row) -> Self {
        Self {
            id: row.get(0),
            display_name: row.get(1),
            profile_image_url: row.get(2),
            client_metadata: row.get(3),
            client_read_only_metadata: row.get(4),
            server_metadata: row.get(5),
            password_hash: row.get(6),
            otp_auth_enabled: row.get(7),
            is_anonymous: row.get(20),
            signed_up_at_millis: row.get(8),
            last_active_at_millis: row.get(9),
            primary_email: row.get(10),
            primary_email_verified: row.get(11),
            primary_email_auth_enabled: row.get(12),
            selected_team: row.get::<_, Option<String>>(13).map(|_| Team::of(row, 13)),
            oauth_providers: row.get(21),
        }
    }

    #[cfg(test)]
    pub(in crate::backend) fn for_tests(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            display_name: None,
            profile_image_url: None,
            client_metadata: None,
            client_read_only_metadata: None,
            server_metadata: None,
            password_hash: None,
            otp_auth_enabled: false,
            is_anonymous: false,
            signed_up_at_millis: 0,
            last_active_at_millis: 0,
            primary_email: None,
            primary_email_verified: false,
            primary_email_auth_enabled: false,
            selected_team: None,
            oauth_providers: Value::Array(Vec::new()),
        }
    }
}

/// The user with an ID.
pub(in crate::backend) async fn find(
    db: &impl GenericClient,
    project_id: &str,
    id: &str,
) -> Result<Option<User>, DatabaseError> {
    let row = store::row(
        db,
        "look up a user",
        select_users!(r#"WHERE u."projectId" = $1 AND u."id" = $2"#),
        &[&project_id, &id],
    )
    .await?;
    Ok(row.as_ref().map(User::of))
}

/// The IDs of all users who have signed up.
pub(in crate::backend) async fn all_ids(
    db: &impl GenericClient,
    project_id: &str,
) -> Result<Vec<String>, DatabaseError> {
    let rows = store::rows(
        db,
        "list users",
        r#"SELECT "id" FROM "User" WHERE "projectId" = $1 AND NOT "isAnonymous"
           ORDER BY "signedUpAtMillis", "id""#,
        &[&project_id],
    )
    .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// The user who signs in with an address, and whether it is verified.
pub(in crate::backend) async fn find_by_sign_in_address(
    db: &impl GenericClient,
    project_id: &str,
    email: &str,
) -> Result<Option<(User, bool)>, DatabaseError> {
    let row = store::row(
        db,
        "look up the user of an address",
        r#"SELECT "userId", "isVerified" FROM "ContactChannel"
           WHERE "projectId" = $1 AND "type" = 'email' AND "value" = $2 AND "usedForAuth""#,
        &[&project_id, &email],
    )
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let user = find(db, project_id, row.get(0)).await?;
    Ok(user.map(|user| (user, row.get(1))))
}

/// Makes a user, with what everybody is given who signs up.
///
/// # Errors
/// When the address is to be for signing in and already is for somebody else. The transaction that `db` is
/// has to be dropped then.
pub(in crate::backend) async fn insert(
    db: &impl GenericClient,
    project_id: &str,
    config: &Config,
    new: &NewUser<'_>,
    now_millis: i64,
) -> Result<String, ApiError> {
    let id = match new.was {
        Some(id) => id.to_owned(),
        None => random::uuid()?,
    };
    // Who is there already and is not anonymous is somebody else's account.
    let made = store::execute(
        db,
        "make a user",
        r#"INSERT INTO "User" AS u ("projectId", "id", "passwordHash", "otpAuthEnabled", "isAnonymous",
             "signedUpAtMillis", "lastActiveAtMillis")
           VALUES ($1, $2, $3, $4, $5, $6, $6)
           ON CONFLICT ("projectId", "id") DO UPDATE SET "passwordHash" = excluded."passwordHash",
             "otpAuthEnabled" = excluded."otpAuthEnabled", "isAnonymous" = excluded."isAnonymous",
             "signedUpAtMillis" = excluded."signedUpAtMillis"
           WHERE u."isAnonymous""#,
        &[
            &project_id,
            &id,
            &new.password_hash,
            &new.otp_auth_enabled,
            &new.is_anonymous,
            &now_millis,
        ],
    )
    .await?;
    if made == 0 {
        return Err(ApiError::user_not_found());
    }
    if let Some(email) = new.email {
        let channel = channels::NewChannel {
            value: email,
            is_primary: true,
            is_verified: new.email_verified,
            used_for_auth: new.email_auth_enabled,
        };
        channels::insert(db, project_id, &id, &channel, now_millis)
            .await?
            .ok_or_else(|| ApiError::user_email_already_exists(email, false))?;
    }
    let given = config.effective(Scope::Project, config.given_at(Occasion::SignUp));
    let direct = config.given_at(Occasion::SignUp);
    for permission in direct.intersection(&given) {
        permissions::grant_in_project(db, project_id, &id, permission).await?;
    }
    Ok(id)
}

/// Changes a user's own columns; `false` when there is no such user.
pub(in crate::backend) async fn update_row(
    db: &impl GenericClient,
    project_id: &str,
    id: &str,
    change: &Change<'_>,
) -> Result<bool, DatabaseError> {
    let changed = store::execute(
        db,
        "change a user",
        r#"UPDATE "User" SET
             "displayName" = CASE WHEN $3 THEN $4 ELSE "displayName" END,
             "profileImageUrl" = CASE WHEN $5 THEN $6 ELSE "profileImageUrl" END,
             "clientMetadata" = CASE WHEN $7 THEN $8 ELSE "clientMetadata" END,
             "clientReadOnlyMetadata" = CASE WHEN $9 THEN $10 ELSE "clientReadOnlyMetadata" END,
             "serverMetadata" = CASE WHEN $11 THEN $12 ELSE "serverMetadata" END,
             "selectedTeamId" = CASE WHEN $13 THEN $14 ELSE "selectedTeamId" END,
             "passwordHash" = CASE WHEN $15 THEN $16 ELSE "passwordHash" END,
             "otpAuthEnabled" = coalesce($17, "otpAuthEnabled")
           WHERE "projectId" = $1 AND "id" = $2"#,
        &[
            &project_id,
            &id,
            &change.display_name.is_change(),
            &change.display_name.value(),
            &change.profile_image_url.is_change(),
            &change.profile_image_url.value(),
            &change.client_metadata.is_change(),
            &change.client_metadata.value(),
            &change.client_read_only_metadata.is_change(),
            &change.client_read_only_metadata.value(),
            &change.server_metadata.is_change(),
            &change.server_metadata.value(),
            &change.selected_team_id.is_change(),
            &change.selected_team_id.value(),
            &change.password_hash.is_change(),
            &change.password_hash.value(),
            &change.otp_auth_enabled,
        ],
    )
    .await?;
    Ok(changed == 1)
}

/// Notes that a user is here.
pub(in crate::backend) async fn touch(
    db: &impl GenericClient,
    project_id: &str,
    id: &str,
    now_millis: i64,
) -> Result<(), DatabaseError> {
    store::execute(
        db,
        "note that a user is active",
        r#"UPDATE "User" SET "lastActiveAtMillis" = $3 WHERE "projectId" = $1 AND "id" = $2"#,
        &[&project_id, &id, &now_millis],
    )
    .await?;
    Ok(())
}
