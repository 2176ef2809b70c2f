//! `/internal/local-emulator/mails`: the mails that the backend would have sent, for the developer of an app.
//!
//! Mails hold codes that sign a user in, of every project. They are shown for the server key of project `internal`
//! alone, and to no page of a browser (see [`own_endpoints`](super::own_endpoints)).

use axum::extract::Path;
use serde_json::{Value, json};
use tokio_postgres::Row;

use super::{
    call::{Answer, Call},
    error::ApiError,
    store, wire,
};

/// Mails in a list that asks for no number.
const USUAL: i64 = 100;
/// Most mails in a list.
const MOST: i64 = 1000;

/// `GET …/mails`: newest first, without what is in them. `to` leaves those to one address, `project_id` those of one
/// project, `after` those that are newer than a mail, `limit` as many.
pub(super) async fn list(call: Call) -> Answer {
    call.need_internal()?;
    let query = call.query();
    let to = query.optional_text("to")?;
    let project_id = query.optional_text("project_id")?;
    let after = query.optional_text("after")?;
    let limit = query.number("limit")?.unwrap_or(USUAL);
    query.finish()?;
    if !(1..=MOST).contains(&limit) {
        return Err(ApiError::schema(
            call.endpoint(),
            &format!("query.limit must be from 1 to {MOST}"),
        ));
    }
    let db = call.connection().await?;
    let after: i64 = match after {
        None => 0,
        Some(id) => {
            let sql = r#"SELECT "number" FROM "Mail" WHERE "id" = $1
                         UNION ALL SELECT "number" FROM "DeletedMail" WHERE "id" = $1"#;
            let row = store::row(&db, "find a mail", sql, &[&id]).await?;
            row.ok_or_else(ApiError::mail_not_found)?.get(0)
        }
    };
    // Some apps give addresses in capitals; who looks for one may not.
    let rows = store::rows(
        &db,
        "list mails",
        r#"SELECT "id", "projectId", "recipient", "subject", "link", "code", "createdAtMillis" FROM "Mail"
           WHERE "number" > $1 AND ($2::text IS NULL OR lower("recipient") = lower($2))
             AND ($4::text IS NULL OR "projectId" = $4)
           ORDER BY "number" DESC LIMIT $3"#,
        &[&after, &to, &limit, &project_id],
    )
    .await?;
    let items: Vec<Value> = rows.iter().map(summary).collect();
    Ok(wire::list(&items))
}

/// `GET …/mails/{id}`: one with its text and its HTML.
pub(super) async fn read(Path(id): Path<String>, call: Call) -> Answer {
    call.need_internal()?;
    call.query().finish()?;
    let db = call.connection().await?;
    let row = store::row(
        &db,
        "read a mail",
        r#"SELECT "id", "projectId", "recipient", "subject", "link", "code", "createdAtMillis", "text", "html"
           FROM "Mail" WHERE "id" = $1"#,
        &[&id],
    )
    .await?
    .ok_or_else(ApiError::mail_not_found)?;
    let mut mail = summary(&row);
    mail["text"] = Value::String(row.get(7));
    mail["html"] = Value::String(row.get(8));
    Ok(wire::json(&mail))
}

/// What a list tells of a mail, from the first seven columns.
fn summary(row: &Row) -> Value {
    json!({
        "id": row.get::<_, String>(0),
        "project_id": row.get::<_, String>(1),
        "to": row.get::<_, String>(2),
        "subject": row.get::<_, String>(3),
        "link": row.get::<_, Option<String>>(4),
        "code": row.get::<_, Option<String>>(5),
        "created_at_millis": row.get::<_, i64>(6),
    })
}
