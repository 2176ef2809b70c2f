//! The mails in the database, as the inbox shows them.

use tokio_postgres::Row;

use super::{Failure, envelope::Envelope};
use crate::backend::{
    database::{Database, DatabaseError},
    store,
};

/// What is told of a mail, in a list or by itself.
#[derive(Debug)]
pub(super) struct Mail {
    pub(super) envelope: Envelope,
    /// What its mailbox is called.
    pub(super) mailbox: String,
    /// Where its button leads, if the backend wrote it.
    pub(super) link: Option<String>,
    /// What the recipient types, or else the code in the link.
    pub(super) code: Option<String>,
    pub(super) seen: bool,
    pub(super) created_at_millis: i64,
    /// The same as RFC 3339 writes it.
    pub(super) date: String,
    /// Of its source, in bytes.
    pub(super) size: usize,
}

/// A mail's two forms.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) text: String,
    pub(super) html: String,
}

/// What [`Mail::of`] reads, from mails called `m`. Lengths are those of the source, whose lines end with two bytes.
macro_rules! columns {
    () => {
        r#"m."id", m."mailbox", m."recipient", m."subject", m."link", m."code", m."seen", m."createdAtMillis",
           to_char(to_timestamp(m."createdAtMillis" / 1000.0) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
           to_char(to_timestamp(m."createdAtMillis" / 1000.0) AT TIME ZONE 'UTC', 'Dy, DD Mon YYYY HH24:MI:SS "+0000"'),
           p."displayName",
           octet_length(regexp_replace(m."text", E'\r\n|\r|\n', E'\r\n', 'g')),
           octet_length(regexp_replace(m."html", E'\r\n|\r|\n', E'\r\n', 'g'))"#
    };
}

/// Whether a mail is in the mailbox `$1`, which is a name or an address.
macro_rules! in_mailbox {
    () => {
        r#""mailbox" = split_part(split_part(lower($1), '@', 1), '+', 1)"#
    };
}

/// Deletes the mails with a condition, and keeps their places in the order.
macro_rules! delete {
    ($condition:expr) => {
        concat!(
            r#"WITH "gone" AS (DELETE FROM "Mail" WHERE "#,
            $condition,
            r#" RETURNING "id", "number")
               INSERT INTO "DeletedMail" ("id", "number") SELECT "id", "number" FROM "gone""#
        )
    };
}

impl Mail {
    fn of(row: &Row) -> Self {
        let envelope = Envelope {
            id: row.get(0),
            recipient: row.get(2),
            subject: row.get(3),
            date: row.get(9),
            project: row.get(10),
        };
        let length = |column: usize| usize::try_from(row.get::<_, i32>(column)).unwrap_or_default();
        let size = envelope.size(length(11), length(12));
        Self {
            envelope,
            mailbox: row.get(1),
            link: row.get(4),
            code: row.get(5),
            seen: row.get(6),
            created_at_millis: row.get(7),
            date: row.get(8),
            size,
        }
    }
}

/// The newest mails of a mailbox, `limit` at most, oldest first.
pub(super) async fn in_mailbox(
    database: &Database,
    mailbox: &str,
    limit: i64,
) -> Result<Vec<Mail>, DatabaseError> {
    let db = database.connection().await?;
    let sql = concat!(
        "SELECT ",
        columns!(),
        r#" FROM "Mail" m JOIN "Project" p ON p."id" = m."projectId" WHERE m."#,
        in_mailbox!(),
        r#" ORDER BY m."number" DESC LIMIT $2"#
    );
    let rows = store::rows(&db, "list a mailbox", sql, &[&mailbox, &limit]).await?;
    Ok(rows.iter().rev().map(Mail::of).collect())
}

/// The newest mails with `search` in recipient or subject, `limit` at most, newest first.
pub(super) async fn newest(
    database: &Database,
    search: &str,
    limit: i64,
) -> Result<Vec<Mail>, DatabaseError> {
    let db = database.connection().await?;
    let sql = concat!(
        "SELECT ",
        columns!(),
        r#" FROM "Mail" m JOIN "Project" p ON p."id" = m."projectId"
            WHERE strpos(lower(m."recipient" || ' ' || m."subject"), lower($1)) > 0
            ORDER BY m."number" DESC LIMIT $2"#
    );
    let rows = store::rows(&db, "list mails", sql, &[&search, &limit]).await?;
    Ok(rows.iter().map(Mail::of).collect())
}

/// One mail of a mailbox; the ID `latest` means the newest.
pub(super) async fn one(
    database: &Database,
    mailbox: &str,
    id: &str,
) -> Result<(Mail, Body), Failure> {
    let db = database.connection().await?;
    let sql = concat!(
        "SELECT ",
        columns!(),
        r#", m."text", m."html" FROM "Mail" m JOIN "Project" p ON p."id" = m."projectId" WHERE m."#,
        in_mailbox!(),
        r#" AND $2 IN (m."id", 'latest') ORDER BY m."number" DESC LIMIT 1"#
    );
    let row = store::row(&db, "read a mail", sql, &[&mailbox, &id]).await?;
    let row = row.ok_or_else(|| missing(mailbox, id))?;
    let body = Body {
        text: row.get(13),
        html: row.get(14),
    };
    Ok((Mail::of(&row), body))
}

/// Marks a mail as seen.
pub(super) async fn mark_seen(database: &Database, mailbox: &str, id: &str) -> Result<(), Failure> {
    let db = database.connection().await?;
    let sql = concat!(
        r#"UPDATE "Mail" SET "seen" = TRUE WHERE "#,
        in_mailbox!(),
        r#" AND "id" = $2"#
    );
    let changed = store::execute(&db, "mark a mail as seen", sql, &[&mailbox, &id]).await?;
    (changed > 0)
        .then_some(())
        .ok_or_else(|| missing(mailbox, id))
}

/// Deletes a mail.
pub(super) async fn delete(database: &Database, mailbox: &str, id: &str) -> Result<(), Failure> {
    let db = database.connection().await?;
    let sql = delete!(concat!(in_mailbox!(), r#" AND "id" = $2"#));
    let deleted = store::execute(&db, "delete a mail", sql, &[&mailbox, &id]).await?;
    (deleted > 0)
        .then_some(())
        .ok_or_else(|| missing(mailbox, id))
}

/// Deletes the mails of a mailbox.
pub(super) async fn delete_mailbox(
    database: &Database,
    mailbox: &str,
) -> Result<(), DatabaseError> {
    let db = database.connection().await?;
    let sql = delete!(in_mailbox!());
    store::execute(&db, "empty a mailbox", sql, &[&mailbox]).await?;
    Ok(())
}

/// Deletes all mails.
pub(super) async fn delete_all(database: &Database) -> Result<(), DatabaseError> {
    let db = database.connection().await?;
    store::execute(&db, "delete all mails", delete!("TRUE"), &[]).await?;
    Ok(())
}

fn missing(mailbox: &str, id: &str) -> Failure {
    Failure::NotFound(format!(
        "There is no mail {id:?} in the mailbox {mailbox:?}."
    ))
}
