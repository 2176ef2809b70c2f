//! Permissions that users were given, in teams and in the project: `/team-permissions`,
//! `/project-permissions`, and what there is to give, which the config file says.

use std::collections::BTreeSet;

use axum::extract::Path;
use deadpool_postgres::GenericClient;
use serde_json::{Value, json};

use super::{
    call::{Answer, Call},
    config::Scope,
    database::DatabaseError,
    error::ApiError,
    store, teams, users, wire,
};

/// What a user was given in a team, without what comes with it.
pub(super) async fn granted_in_team(
    db: &impl GenericClient,
    project_id: &str,
    team_id: &str,
    user_id: &str,
) -> Result<Vec<String>, DatabaseError> {
    let rows = store::rows(
        db,
        "list a member's permissions",
        r#"SELECT "permissionId" FROM "TeamPermission"
           WHERE "projectId" = $1 AND "teamId" = $2 AND "userId" = $3"#,
        &[&project_id, &team_id, &user_id],
    )
    .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Gives a member a permission.
pub(super) async fn grant_in_team(
    db: &impl GenericClient,
    project_id: &str,
    team_id: &str,
    user_id: &str,
    permission: &str,
) -> Result<(), DatabaseError> {
    store::execute(
        db,
        "give a team permission",
        r#"INSERT INTO "TeamPermission" ("projectId", "teamId", "userId", "permissionId")
           VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"#,
        &[&project_id, &team_id, &user_id, &permission],
    )
    .await?;
    Ok(())
}

/// Gives a user a permission.
pub(super) async fn grant_in_project(
    db: &impl GenericClient,
    project_id: &str,
    user_id: &str,
    permission: &str,
) -> Result<(), DatabaseError> {
    store::execute(
        db,
        "give a project permission",
        r#"INSERT INTO "ProjectPermission" ("projectId", "userId", "permissionId")
           VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"#,
        &[&project_id, &user_id, &permission],
    )
    .await?;
    Ok(())
}

/// `GET /team-permissions`.
pub(super) async fn list_in_teams(call: Call) -> Answer {
    let query = call.query();
    let team_id = query.optional_text("team_id")?;
    let user_id = listed_user(&call, query.optional_text("user_id")?)?;
    let wanted = query.optional_text("permission_id")?;
    let is_recursive = query.flag("recursive")?.unwrap_or(false);
    query.finish()?;
    let db = call.connection().await?;
    let rows = store::rows(
        &db,
        "list team permissions",
        r#"SELECT "teamId", "userId", array_agg("permissionId") FROM "TeamPermission"
           WHERE "projectId" = $1 AND ($2::text IS NULL OR "teamId" = $2)
             AND ($3::text IS NULL OR "userId" = $3)
           GROUP BY "teamId", "userId" ORDER BY "teamId", "userId""#,
        &[&call.project.id, &team_id, &user_id],
    )
    .await?;
    let mut items = Vec::new();
    for row in &rows {
        let (team_id, user_id): (String, String) = (row.get(0), row.get(1));
        let granted: Vec<String> = row.get(2);
        for id in shown(&call, Scope::Team, granted, is_recursive, wanted) {
            items.push(json!({ "id": id, "team_id": team_id, "user_id": user_id }));
        }
    }
    Ok(wire::list(&items))
}

/// `GET /project-permissions`.
pub(super) async fn list_in_project(call: Call) -> Answer {
    let query = call.query();
    let user_id = listed_user(&call, query.optional_text("user_id")?)?;
    let wanted = query.optional_text("permission_id")?;
    let is_recursive = query.flag("recursive")?.unwrap_or(false);
    query.finish()?;
    let db = call.connection().await?;
    let rows = store::rows(
        &db,
        "list project permissions",
        r#"SELECT "userId", array_agg("permissionId") FROM "ProjectPermission"
           WHERE "projectId" = $1 AND ($2::text IS NULL OR "userId" = $2)
           GROUP BY "userId" ORDER BY "userId""#,
        &[&call.project.id, &user_id],
    )
    .await?;
    let mut items = Vec::new();
    for row in &rows {
        let (user_id, granted): (String, Vec<String>) = (row.get(0), row.get(1));
        for id in shown(&call, Scope::Project, granted, is_recursive, wanted) {
            items.push(json!({ "id": id, "user_id": user_id }));
        }
    }
    Ok(wire::list(&items))
}

/// Whose permissions a list has: an app may only ask for its own user's.
fn listed_user(call: &Call, given: Option<&str>) -> Result<Option<String>, ApiError> {
    if call.is_client() {
        return call.own_user_id(given, "list permissions for").map(Some);
    }
    given.map(|given| call.user_id(given)).transpose()
}

/// In the order of their names; of what the config file no longer knows, nothing.
fn shown(
    call: &Call,
    scope: Scope,
    granted: Vec<String>,
    is_recursive: bool,
    wanted: Option<&str>,
) -> BTreeSet<String> {
    let effective = call.config().effective(scope, granted.clone());
    let mut shown = if is_recursive {
        effective
    } else {
        granted
            .into_iter()
            .filter(|id| effective.contains(id))
            .collect()
    };
    if let Some(wanted) = wanted {
        shown.retain(|id| id == wanted);
    }
    shown
}

fn need_known(call: &Call, scope: Scope, id: &str) -> Result<(), ApiError> {
    let known = call.config().permissions(scope);
    if known.iter().any(|permission| permission.id == id) {
        return Ok(());
    }
    Err(ApiError::permission_not_found(id))
}

/// `POST /team-permissions/{team_id}/{user_id}/{permission_id}`.
pub(super) async fn grant_team(
    Path((team, user, id)): Path<(String, String, String)>,
    call: Call,
) -> Answer {
    call.need_server()?;
    let user_id = call.user_id(&user)?;
    need_known(&call, Scope::Team, &id)?;
    let db = call.connection().await?;
    teams::need_member(&db, &call.project.id, &team, &user_id).await?;
    grant_in_team(&db, &call.project.id, &team, &user_id, &id).await?;
    Ok(wire::created(
        &json!({ "id": id, "user_id": user_id, "team_id": team }),
    ))
}

/// `DELETE /team-permissions/{team_id}/{user_id}/{permission_id}`.
pub(super) async fn revoke_team(
    Path((team, user, id)): Path<(String, String, String)>,
    call: Call,
) -> Answer {
    call.need_server()?;
    let user_id = call.user_id(&user)?;
    let db = call.connection().await?;
    let revoked = store::execute(
        &db,
        "take away a team permission",
        r#"DELETE FROM "TeamPermission"
           WHERE "projectId" = $1 AND "teamId" = $2 AND "userId" = $3 AND "permissionId" = $4"#,
        &[&call.project.id, &team, &user_id, &id],
    )
    .await?;
    if revoked == 0 {
        return Err(ApiError::team_permission_not_found(&team, &user_id, &id));
    }
    Ok(wire::success())
}

/// `POST /project-permissions/{user_id}/{permission_id}`.
pub(super) async fn grant_project(Path((user, id)): Path<(String, String)>, call: Call) -> Answer {
    call.need_server()?;
    let user_id = call.user_id(&user)?;
    need_known(&call, Scope::Project, &id)?;
    let db = call.connection().await?;
    if users::find(&db, &call.project.id, &user_id)
        .await?
        .is_none()
    {
        return Err(ApiError::user_not_found());
    }
    grant_in_project(&db, &call.project.id, &user_id, &id).await?;
    Ok(wire::created(&json!({ "id": id, "user_id": user_id })))
}

/// `DELETE /project-permissions/{user_id}/{permission_id}`.
pub(super) async fn revoke_project(Path((user, id)): Path<(String, String)>, call: Call) -> Answer {
    call.need_server()?;
    let user_id = call.user_id(&user)?;
    let db = call.connection().await?;
    let revoked = store::execute(
        &db,
        "take away a project permission",
        r#"DELETE FROM "ProjectPermission"
           WHERE "projectId" = $1 AND "userId" = $2 AND "permissionId" = $3"#,
        &[&call.project.id, &user_id, &id],
    )
    .await?;
    if revoked == 0 {
        return Err(ApiError::permission_not_found(&id));
    }
    Ok(wire::success())
}

/// `GET /team-permission-definitions`.
pub(super) async fn team_definitions(call: Call) -> Answer {
    definitions(&call, Scope::Team)
}

/// `GET /project-permission-definitions`.
pub(super) async fn project_definitions(call: Call) -> Answer {
    definitions(&call, Scope::Project)
}

fn definitions(call: &Call, scope: Scope) -> Answer {
    call.need_server()?;
    let items: Vec<Value> = call
        .config()
        .permissions(scope)
        .into_iter()
        .map(|permission| {
            json!({
                "id": permission.id,
                "description": permission.description,
                "contained_permission_ids": permission.contained,
            })
        })
        .collect();
    Ok(wire::list(&items))
}
