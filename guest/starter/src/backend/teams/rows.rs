//! A team's row, who is in it, and what its members may do.

use deadpool_postgres::GenericClient;
use serde_json::{Value, json};
use tokio_postgres::Row;

use crate::backend::{
    call::Call,
    config::{Config, Occasion, Scope},
    database::DatabaseError,
    error::ApiError,
    permissions, store,
};

/// A team as the database has it.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::backend) struct Team {
    pub(in crate::backend) id: String,
    pub(in crate::backend) display_name: String,
    pub(in crate::backend) profile_image_url: Option<String>,
    pub(in crate::backend) client_metadata: Option<Value>,
    pub(in crate::backend) client_read_only_metadata: Option<Value>,
    pub(in crate::backend) server_metadata: Option<Value>,
    pub(in crate::backend) created_at_millis: i64,
}

/// The columns of [`Team::of`], in its order.
pub(super) const COLUMNS: &str = r#"t."id", t."displayName", t."profileImageUrl", t."clientMetadata",
    t."clientReadOnlyMetadata", t."serverMetadata", t."createdAtMillis""#;

impl Team {
    /// Takes a team from the columns of a row, which begin at `first`.
    pub(in crate::backend) fn of(row: &Row, first: usize) -> Self {
        Self {
            id: row.get(first),
            display_name: row.get(first + 1),
            profile_image_url: row.get(first + 2),
            client_metadata: row.get(first + 3),
            client_read_only_metadata: row.get(first + 4),
            server_metadata: row.get(first + 5),
            created_at_millis: row.get(first + 6),
        }
    }
}

/// What an app sees of a team.
pub(in crate::backend) fn client_view(team: &Team) -> Value {
    json!({
        "id": team.id,
        "display_name": team.display_name,
        "profile_image_url": team.profile_image_url,
        "client_metadata": team.client_metadata,
        "client_read_only_metadata": team.client_read_only_metadata,
    })
}

/// What the app's server sees: more.
pub(in crate::backend) fn server_view(team: &Team) -> Value {
    let mut view = client_view(team);
    view["server_metadata"] = json!(team.server_metadata);
    view["created_at_millis"] = json!(team.created_at_millis);
    view
}

/// The team with an ID.
///
/// # Errors
/// `TEAM_NOT_FOUND`.
pub(super) async fn find(
    db: &impl GenericClient,
    project_id: &str,
    id: &str,
) -> Result<Team, ApiError> {
    let sql = format!(r#"SELECT {COLUMNS} FROM "Team" t WHERE t."projectId" = $1 AND t."id" = $2"#);
    store::row(db, "look up a team", &sql, &[&project_id, &id])
        .await?
        .map(|row| Team::of(&row, 0))
        .ok_or_else(|| ApiError::team_not_found(id))
}

/// Whether a user is in a team.
pub(super) async fn is_member(
    db: &impl GenericClient,
    project_id: &str,
    team_id: &str,
    user_id: &str,
) -> Result<bool, DatabaseError> {
    let row = store::row(
        db,
        "look up a membership",
        r#"SELECT 1 FROM "TeamMember" WHERE "projectId" = $1 AND "teamId" = $2 AND "userId" = $3"#,
        &[&project_id, &team_id, &user_id],
    )
    .await?;
    Ok(row.is_some())
}

/// Refuses who is not in a team.
///
/// # Errors
/// `TEAM_MEMBERSHIP_NOT_FOUND`.
pub(in crate::backend) async fn need_member(
    db: &impl GenericClient,
    project_id: &str,
    team_id: &str,
    user_id: &str,
) -> Result<(), ApiError> {
    if is_member(db, project_id, team_id, user_id).await? {
        return Ok(());
    }
    Err(ApiError::membership_not_found(team_id, user_id))
}

/// Refuses an app whose user may not do something in a team. Servers may do everything, in teams that exist.
///
/// # Errors
/// `TEAM_NOT_FOUND`, `TEAM_MEMBERSHIP_NOT_FOUND`, `TEAM_PERMISSION_REQUIRED`.
pub(in crate::backend) async fn need_permission(
    call: &Call,
    db: &impl GenericClient,
    team_id: &str,
    permission: &str,
) -> Result<Team, ApiError> {
    let project_id = &call.project.id;
    let team = find(db, project_id, team_id).await?;
    if call.is_client() {
        let user_id = &call.claims()?.sub;
        need_member(db, project_id, team_id, user_id).await?;
        let granted = permissions::granted_in_team(db, project_id, team_id, user_id).await?;
        let effective = call.config().effective(Scope::Team, granted);
        if !effective.contains(permission) {
            return Err(ApiError::team_permission_required(
                team_id, user_id, permission,
            ));
        }
    }
    Ok(team)
}

/// Makes a user a member, with what members are given at `occasion`. `false` when they are one already.
pub(super) async fn join(
    db: &impl GenericClient,
    project_id: &str,
    config: &Config,
    team_id: &str,
    user_id: &str,
    occasion: Occasion,
    now_millis: i64,
) -> Result<bool, DatabaseError> {
    let joined = store::execute(
        db,
        "join a team",
        r#"INSERT INTO "TeamMember" ("projectId", "teamId", "userId", "createdAtMillis")
           VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"#,
        &[&project_id, &team_id, &user_id, &now_millis],
    )
    .await?;
    if joined == 0 {
        return Ok(false);
    }
    let given = config.given_at(occasion);
    let known = config.effective(Scope::Team, given.clone());
    for permission in given.intersection(&known) {
        permissions::grant_in_team(db, project_id, team_id, user_id, permission).await?;
    }
    Ok(true)
}

/// Takes a user out of a team; whether they were in it.
pub(super) async fn leave(
    db: &impl GenericClient,
    project_id: &str,
    team_id: &str,
    user_id: &str,
) -> Result<bool, DatabaseError> {
    store::execute(
        db,
        "deselect a team",
        r#"UPDATE "User" SET "selectedTeamId" = NULL
           WHERE "projectId" = $1 AND "id" = $3 AND "selectedTeamId" = $2"#,
        &[&project_id, &team_id, &user_id],
    )
    .await?;
    let left = store::execute(
        db,
        "leave a team",
        r#"DELETE FROM "TeamMember" WHERE "projectId" = $1 AND "teamId" = $2 AND "userId" = $3"#,
        &[&project_id, &team_id, &user_id],
    )
    .await?;
    Ok(left == 1)
}
