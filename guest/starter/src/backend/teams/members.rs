//! Who is in a team, and how they look there: `/team-memberships` and `/team-member-profiles`.

use axum::extract::Path;
use deadpool_postgres::GenericClient;
use serde_json::{Value, json};
use tokio_postgres::Row;

use super::rows::{find, is_member, join, leave, need_member, need_permission};
use crate::backend::{
    call::{Answer, Call},
    clock,
    config::Occasion,
    error::ApiError,
    store, users, wire,
};

/// `POST /team-memberships/{team_id}/{user_id}`: a server puts a user into a team.
pub(in crate::backend) async fn add(
    Path((team, user)): Path<(String, String)>,
    call: Call,
) -> Answer {
    call.need_server()?;
    let user_id = call.user_id(&user)?;
    let mut connection = call.connection().await?;
    let transaction = store::begin(&mut connection).await?;
    find(&transaction, &call.project.id, &team).await?;
    if users::find(&transaction, &call.project.id, &user_id)
        .await?
        .is_none()
    {
        return Err(ApiError::user_not_found());
    }
    let (project_id, config, now) = (&call.project.id, call.config(), clock::now_millis());
    let occasion = Occasion::TeamMember;
    if !join(
        &transaction,
        project_id,
        config,
        &team,
        &user_id,
        occasion,
        now,
    )
    .await?
    {
        return Err(ApiError::membership_already_exists());
    }
    store::commit(transaction).await?;
    Ok(wire::created(
        &json!({ "team_id": team, "user_id": user_id }),
    ))
}

/// `DELETE /team-memberships/{team_id}/{user_id}`: leaves a team, or takes somebody out of it.
pub(in crate::backend) async fn remove(
    Path((team, user)): Path<(String, String)>,
    call: Call,
) -> Answer {
    let user_id = call.user_id(&user)?;
    let mut connection = call.connection().await?;
    let transaction = store::begin(&mut connection).await?;
    if call.is_client() && user_id == call.claims()?.sub {
        find(&transaction, &call.project.id, &team).await?;
    } else {
        need_permission(&call, &transaction, &team, "$remove_members").await?;
    }
    if !leave(&transaction, &call.project.id, &team, &user_id).await? {
        return Err(ApiError::membership_not_found(&team, &user_id));
    }
    store::commit(transaction).await?;
    Ok(wire::success())
}

/// A member as the team sees them. What the team was not told otherwise is the user's own.
fn view(row: &Row) -> Value {
    let own = |at: usize| row.get::<_, Option<String>>(at).or_else(|| row.get(at + 2));
    json!({
        "team_id": row.get::<_, String>(0),
        "user_id": row.get::<_, String>(1),
        "display_name": own(2),
        "profile_image_url": own(3),
    })
}

const COLUMNS_AND_TABLES: &str = r#"SELECT m."teamId", m."userId", m."displayName", m."profileImageUrl",
    u."displayName", u."profileImageUrl" FROM "TeamMember" m
    JOIN "User" u ON u."projectId" = m."projectId" AND u."id" = m."userId" WHERE m."projectId" = $1"#;

/// The view for the call: servers see the whole user as well.
async fn seen(call: &Call, db: &impl GenericClient, row: &Row) -> Result<Value, ApiError> {
    let mut view = view(row);
    if !call.is_client() {
        let user = users::find(db, &call.project.id, row.get(1)).await?;
        view["user"] = user.as_ref().map_or(Value::Null, users::server_view);
    }
    Ok(view)
}

/// `GET /team-member-profiles`.
pub(in crate::backend) async fn list_profiles(call: Call) -> Answer {
    let query = call.query();
    let team_id = query.optional_text("team_id")?;
    let user_id = query
        .optional_text("user_id")?
        .map(|given| call.user_id(given))
        .transpose()?;
    query.finish()?;
    let db = call.connection().await?;
    if call.is_client() {
        let own = &call.claims()?.sub;
        let Some(team_id) = team_id else {
            return Err(ApiError::bad_request(
                "team_id is required in the client API",
            ));
        };
        find(&db, &call.project.id, team_id).await?;
        need_member(&db, &call.project.id, team_id, own).await?;
        if user_id.as_ref() != Some(own) {
            need_permission(&call, &db, team_id, "$read_members").await?;
        }
    } else if let Some(team_id) = team_id {
        find(&db, &call.project.id, team_id).await?;
    }
    let sql = format!(
        r#"{COLUMNS_AND_TABLES} AND ($2::text IS NULL OR m."teamId" = $2)
           AND ($3::text IS NULL OR m."userId" = $3) ORDER BY m."createdAtMillis", m."userId""#
    );
    let rows = store::rows(
        &db,
        "list member profiles",
        &sql,
        &[&call.project.id, &team_id, &user_id],
    )
    .await?;
    let mut items = Vec::with_capacity(rows.len());
    for row in &rows {
        items.push(seen(&call, &db, row).await?);
    }
    Ok(wire::list(&items))
}

async fn profile(
    db: &impl GenericClient,
    project_id: &str,
    team_id: &str,
    user_id: &str,
) -> Result<Row, ApiError> {
    let sql = format!(r#"{COLUMNS_AND_TABLES} AND m."teamId" = $2 AND m."userId" = $3"#);
    let parameters: store::Parameters<'_> = &[&project_id, &team_id, &user_id];
    store::row(db, "look up a member profile", &sql, parameters)
        .await?
        .ok_or_else(|| ApiError::membership_not_found(team_id, user_id))
}

/// `GET /team-member-profiles/{team_id}/{user_id}`.
pub(in crate::backend) async fn read_profile(
    Path((team, user)): Path<(String, String)>,
    call: Call,
) -> Answer {
    let user_id = call.user_id(&user)?;
    let db = call.connection().await?;
    if call.is_client() && user_id != call.claims()?.sub {
        need_permission(&call, &db, &team, "$read_members").await?;
    } else {
        find(&db, &call.project.id, &team).await?;
    }
    let row = profile(&db, &call.project.id, &team, &user_id).await?;
    Ok(wire::json(&seen(&call, &db, &row).await?))
}

/// `PATCH /team-member-profiles/{team_id}/{user_id}`.
pub(in crate::backend) async fn update_profile(
    Path((team, user)): Path<(String, String)>,
    call: Call,
) -> Answer {
    let user_id = call.own_user_id(Some(&user), "update the member profile of")?;
    let body = call.body();
    let display_name = body.patch_text("display_name")?;
    let profile_image_url = body.patch_text("profile_image_url")?;
    body.finish()?;
    let mut connection = call.connection().await?;
    let transaction = store::begin(&mut connection).await?;
    find(&transaction, &call.project.id, &team).await?;
    if !is_member(&transaction, &call.project.id, &team, &user_id).await? {
        return Err(ApiError::membership_not_found(&team, &user_id));
    }
    store::execute(
        &transaction,
        "change a member profile",
        r#"UPDATE "TeamMember" SET
             "displayName" = CASE WHEN $4 THEN $5 ELSE "displayName" END,
             "profileImageUrl" = CASE WHEN $6 THEN $7 ELSE "profileImageUrl" END
           WHERE "projectId" = $1 AND "teamId" = $2 AND "userId" = $3"#,
        &[
            &call.project.id,
            &team,
            &user_id,
            &display_name.is_change(),
            &display_name.value(),
            &profile_image_url.is_change(),
            &profile_image_url.value(),
        ],
    )
    .await?;
    let row = profile(&transaction, &call.project.id, &team, &user_id).await?;
    let view = seen(&call, &transaction, &row).await?;
    store::commit(transaction).await?;
    Ok(wire::json(&view))
}
