//! `GET …/projects`: every project of this emulator, for the dashboard to choose from.

use serde_json::{Value, json};

use crate::backend::{
    call::{Answer, Call},
    store, wire,
};

/// For the server or admin key of `internal`, or a session of the dashboard; the emulator's own project comes last.
pub(in crate::backend) async fn list(call: Call) -> Answer {
    call.need_internal()?;
    call.query().finish()?;
    let db = call.connection().await?;
    let rows = store::rows(
        &db,
        "list projects",
        r#"SELECT p."id", p."displayName", l."absoluteFilePath",
             (extract(epoch FROM p."createdAt") * 1000)::bigint,
             (SELECT count(*) FROM "User" u WHERE u."projectId" = p."id" AND NOT u."isAnonymous"),
             (SELECT count(*) FROM "Team" t WHERE t."projectId" = p."id")
           FROM "Project" p LEFT JOIN "LocalEmulatorProject" l ON l."projectId" = p."id"
           ORDER BY l."absoluteFilePath" NULLS LAST, p."id""#,
        &[],
    )
    .await?;
    let items: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "id": row.get::<_, String>(0),
                "display_name": row.get::<_, String>(1),
                "absolute_file_path": row.get::<_, Option<String>>(2),
                "created_at_millis": row.get::<_, i64>(3),
                "user_count": row.get::<_, i64>(4),
                "team_count": row.get::<_, i64>(5),
            })
        })
        .collect();
    Ok(wire::list(&items))
}
