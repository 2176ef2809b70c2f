//! Verification codes: made for one purpose, sent by mail, good once and for a week.
//!
//! A code has 45 characters. The first six are what a person may type; the rest is a nonce that the app
//! keeps, so that six characters are enough. Each try with a right nonce counts, and after twenty the code is
//! dead. The database keeps digests alone.

use deadpool_postgres::GenericClient;
use sha2::{Digest as _, Sha256};
use tokio_postgres::Row;

use super::{clock, database::DatabaseError, error::ApiError, store};
use crate::random;

/// How long a code is good.
const LIFETIME: i64 = 7 * clock::DAY;
/// Tries after which a code is dead.
const MAX_ATTEMPTS: i32 = 20;
/// Characters that are typed.
const TYPED: usize = 6;

/// What a code is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Signing in.
    SignIn,
    /// Setting a new password.
    PasswordReset,
    /// Verifying an address.
    Verification,
    /// Joining a team.
    Invitation,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::SignIn => "sign-in",
            Self::PasswordReset => "password-reset",
            Self::Verification => "verification",
            Self::Invitation => "invitation",
        }
    }
}

/// Whom and what a code is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Subject {
    /// Where it was sent.
    pub(super) email: String,
    /// The user, if there is one already.
    pub(super) user_id: Option<String>,
    /// The team to join.
    pub(super) team_id: Option<String>,
    /// The address to verify.
    pub(super) channel_id: Option<String>,
}

/// A code that was just made.
#[derive(Debug)]
pub(super) struct FreshCode {
    /// The ID of its row.
    pub(super) id: String,
    /// The whole code.
    pub(super) code: String,
}

impl FreshCode {
    /// The part that a person types.
    pub(super) fn typed(&self) -> &str {
        &self.code[..TYPED]
    }

    /// The part that the app keeps.
    pub(super) fn nonce(&self) -> &str {
        &self.code[TYPED..]
    }
}

/// A code of which somebody may be told.
#[derive(Debug)]
pub(super) struct OpenCode {
    /// The ID of its row.
    pub(super) id: String,
    /// When it ends.
    pub(super) expires_at_millis: i64,
    /// What it is about.
    pub(super) subject: Subject,
}

/// Makes a code.
pub(super) async fn make(
    db: &impl GenericClient,
    project_id: &str,
    purpose: Purpose,
    subject: &Subject,
) -> Result<FreshCode, ApiError> {
    let fresh = FreshCode {
        id: random::uuid()?,
        code: random::token("")?,
    };
    let now = clock::now_millis();
    store::execute(
        db,
        "make a code",
        r#"INSERT INTO "VerificationCode" ("projectId", "id", "purpose", "codeDigest", "nonceDigest",
             "email", "userId", "teamId", "channelId", "createdAtMillis", "expiresAtMillis")
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"#,
        &[
            &project_id,
            &fresh.id,
            &purpose.name(),
            &digest(&fresh.code),
            &digest(fresh.nonce()),
            &subject.email,
            &subject.user_id,
            &subject.team_id,
            &subject.channel_id,
            &now,
            &(now + LIFETIME),
        ],
    )
    .await?;
    Ok(fresh)
}

/// Looks a code up without using it. Counts as a try.
///
/// # Errors
/// The real backend's for a code that does not exist, is over, was used, or was tried too often.
pub(super) async fn check(
    db: &impl GenericClient,
    project_id: &str,
    purpose: Purpose,
    code: &str,
) -> Result<Subject, ApiError> {
    let found = find(db, project_id, purpose, code).await?;
    count_try(db, project_id, code).await?;
    let now = clock::now_millis();
    let found = found.ok_or_else(ApiError::code_not_found)?;
    let (expires_at, used_at, attempts): (i64, Option<i64>, i32) =
        (found.get(0), found.get(1), found.get(2));
    if expires_at <= now {
        return Err(ApiError::code_expired());
    }
    if used_at.is_some() {
        return Err(ApiError::code_already_used());
    }
    if attempts >= MAX_ATTEMPTS {
        return Err(ApiError::code_max_attempts());
    }
    Ok(Subject {
        email: found.get(3),
        user_id: found.get(4),
        team_id: found.get(5),
        channel_id: found.get(6),
    })
}

/// Uses a code up, if it is one. Of several requests at once exactly one succeeds: the statement changes the
/// row only while it is unused, and the others wait for it.
///
/// `db` is to be a transaction in which the code is redeemed as well; a try has to be counted before, by
/// [`check`] on a connection of its own, since it is not to be rolled back.
///
/// # Errors
/// `VERIFICATION_CODE_ALREADY_USED` for the others.
pub(super) async fn take(
    db: &impl GenericClient,
    project_id: &str,
    purpose: Purpose,
    code: &str,
) -> Result<(), ApiError> {
    let taken = store::execute(
        db,
        "use a code",
        r#"UPDATE "VerificationCode" SET "usedAtMillis" = $4
           WHERE "projectId" = $1 AND "codeDigest" = $2 AND "purpose" = $3 AND "usedAtMillis" IS NULL"#,
        &[&project_id, &digest(code), &purpose.name(), &clock::now_millis()],
    )
    .await?;
    if taken == 1 {
        Ok(())
    } else {
        Err(ApiError::code_already_used())
    }
}

/// The codes of a purpose that are still good, for a team or an address.
pub(super) async fn open(
    db: &impl GenericClient,
    project_id: &str,
    purpose: Purpose,
    team_id: Option<&str>,
    emails: Option<&[String]>,
) -> Result<Vec<OpenCode>, DatabaseError> {
    let rows = store::rows(
        db,
        "list codes",
        r#"SELECT "id", "expiresAtMillis", "email", "userId", "teamId", "channelId"
           FROM "VerificationCode"
           WHERE "projectId" = $1 AND "purpose" = $2 AND "usedAtMillis" IS NULL AND "expiresAtMillis" > $3
             AND ($4::text IS NULL OR "teamId" = $4) AND ($5::text[] IS NULL OR "email" = ANY ($5))
           ORDER BY "createdAtMillis", "id""#,
        &[
            &project_id,
            &purpose.name(),
            &clock::now_millis(),
            &team_id,
            &emails,
        ],
    )
    .await?;
    Ok(rows
        .iter()
        .map(|row| OpenCode {
            id: row.get(0),
            expires_at_millis: row.get(1),
            subject: Subject {
                email: row.get(2),
                user_id: row.get(3),
                team_id: row.get(4),
                channel_id: row.get(5),
            },
        })
        .collect())
}

/// Uses a code up by its ID; whether there was one.
pub(super) async fn take_by_id(
    db: &impl GenericClient,
    project_id: &str,
    purpose: Purpose,
    id: &str,
) -> Result<bool, DatabaseError> {
    let taken = store::execute(
        db,
        "use a code",
        r#"UPDATE "VerificationCode" SET "usedAtMillis" = $4
           WHERE "projectId" = $1 AND "id" = $2 AND "purpose" = $3 AND "usedAtMillis" IS NULL
             AND "expiresAtMillis" > $4"#,
        &[&project_id, &id, &purpose.name(), &clock::now_millis()],
    )
    .await?;
    Ok(taken == 1)
}

/// Takes a code back; whether there was one.
pub(super) async fn revoke(
    db: &impl GenericClient,
    project_id: &str,
    purpose: Purpose,
    id: &str,
    team_id: &str,
) -> Result<bool, DatabaseError> {
    let removed = store::execute(
        db,
        "take back a code",
        r#"DELETE FROM "VerificationCode"
           WHERE "projectId" = $1 AND "id" = $2 AND "purpose" = $3 AND "teamId" = $4
             AND "usedAtMillis" IS NULL"#,
        &[&project_id, &id, &purpose.name(), &team_id],
    )
    .await?;
    Ok(removed == 1)
}

async fn find(
    db: &impl GenericClient,
    project_id: &str,
    purpose: Purpose,
    code: &str,
) -> Result<Option<Row>, DatabaseError> {
    store::row(
        db,
        "look up a code",
        r#"SELECT "expiresAtMillis", "usedAtMillis", "attempts", "email", "userId", "teamId", "channelId"
           FROM "VerificationCode" WHERE "projectId" = $1 AND "codeDigest" = $2 AND "purpose" = $3"#,
        &[&project_id, &digest(code), &purpose.name()],
    )
    .await
}

/// Counts a try for the code with this nonce, right or not.
async fn count_try(
    db: &impl GenericClient,
    project_id: &str,
    code: &str,
) -> Result<(), DatabaseError> {
    let nonce: String = code.chars().skip(TYPED).collect();
    store::execute(
        db,
        "count a try of a code",
        r#"UPDATE "VerificationCode" SET "attempts" = "attempts" + 1
           WHERE "projectId" = $1 AND "nonceDigest" = $2"#,
        &[&project_id, &digest(&nonce)],
    )
    .await?;
    Ok(())
}

/// What the database keeps of something that opens an account. It is random and long, so a plain digest
/// gives nothing away.
pub(crate) fn digest(text: &str) -> Vec<u8> {
    Sha256::digest(text.as_bytes()).to_vec()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_code_is_what_is_typed_and_what_is_kept() {
        let fresh = FreshCode {
            id: String::new(),
            code: random::token("").unwrap(),
        };
        assert_eq!((fresh.typed().len(), fresh.nonce().len()), (6, 39));
        assert_eq!(format!("{}{}", fresh.typed(), fresh.nonce()), fresh.code);
    }

    #[test]
    fn no_two_of_many_codes_share_a_part() {
        let codes: Vec<String> = (0..2000).map(|_| random::token("").unwrap()).collect();
        let nonces: BTreeSet<&str> = codes.iter().map(|code| &code[TYPED..]).collect();
        assert_eq!(nonces.len(), codes.len());
        // All letters of the alphabet come up in the part that is typed.
        let letters: BTreeSet<char> = codes
            .iter()
            .flat_map(|code| code[..TYPED].chars())
            .collect();
        assert_eq!(letters.len(), 32);
    }
}
