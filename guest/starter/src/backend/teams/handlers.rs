//! `/teams` and `/teams/{team_id}`.

use axum::extract::Path;
use serde_json::Value;

use super::rows::{self, COLUMNS, Team, client_view, find, need_permission, server_view};
use crate::{
    backend::{
        call::{Answer, Call},
        clock,
        config::Occasion,
        error::ApiError,
        fields::{Fields, Patch},
        store, users, wire,
    },
    random,
};

fn seen(call: &Call, team: &Team) -> Value {
    if call.is_client() {
        client_view(team)
    } else {
        server_view(team)
    }
}

/// `GET /teams`.
pub(in crate::backend) async fn list(call: Call) -> Answer {
    let query = call.query();
    let given = query.optional_text("user_id")?;
    query.finish()?;
    let user_id = if call.is_client() {
        // Without a user there is none to list for, which the SDK tells from a lack of rights.
        call.user_id("me")?;
        Some(call.own_user_id(given, "list teams for")?)
    } else {
        given.map(|given| call.user_id(given)).transpose()?
    };
    let db = call.connection().await?;
    let sql = format!(
        r#"SELECT {COLUMNS} FROM "Team" t WHERE t."projectId" = $1 AND ($2::text IS NULL OR EXISTS (
             SELECT 1 FROM "TeamMember" m
             WHERE m."projectId" = t."projectId" AND m."teamId" = t."id" AND m."userId" = $2))
           ORDER BY t."createdAtMillis", t."id""#
    );
    let rows = store::rows(&db, "list teams", &sql, &[&call.project.id, &user_id]).await?;
    let items: Vec<Value> = rows
        .iter()
        .map(|row| seen(&call, &Team::of(row, 0)))
        .collect();
    Ok(wire::list(&items))
}

/// `GET /teams/{team_id}`.
pub(in crate::backend) async fn read(Path(id): Path<String>, call: Call) -> Answer {
    let db = call.connection().await?;
    if call.is_client() {
        rows::need_member(&db, &call.project.id, &id, &call.claims()?.sub).await?;
    }
    let team = find(&db, &call.project.id, &id).await?;
    Ok(wire::json(&seen(&call, &team)))
}

/// What a body says of a team's columns; `None` leaves one as it is.
struct Change<'a> {
    display_name: Option<&'a str>,
    profile_image_url: Patch<&'a str>,
    client_metadata: Patch<&'a Value>,
    client_read_only_metadata: Patch<&'a Value>,
    server_metadata: Patch<&'a Value>,
}

impl<'a> Change<'a> {
    fn read(call: &Call, body: &Fields<'a>) -> Result<Self, ApiError> {
        let mut change = Self {
            display_name: body.optional_text("display_name")?,
            profile_image_url: body.patch_text("profile_image_url")?,
            client_metadata: body.metadata("client_metadata")?,
            client_read_only_metadata: Patch::Keep,
            server_metadata: Patch::Keep,
        };
        if !call.is_client() {
            change.client_read_only_metadata = body.metadata("client_read_only_metadata")?;
            change.server_metadata = body.metadata("server_metadata")?;
        }
        Ok(change)
    }
}

/// `POST /teams`.
pub(in crate::backend) async fn create(call: Call) -> Answer {
    let query = call.query();
    let add_current = query.flag("add_current_user")?.unwrap_or(false);
    query.finish()?;
    let body = call.body();
    let creator = body
        .optional_text("creator_user_id")?
        .map(|given| call.user_id(given))
        .transpose()?;
    let display_name = body.text("display_name")?;
    let change = Change::read(&call, &body)?;
    body.finish()?;
    let creator = if call.is_client() {
        let own = &call.claims()?.sub;
        if !call.config().client_team_creation() {
            return Err(ApiError::forbidden(
                "Client team creation is disabled for this project",
            ));
        }
        if creator.is_some_and(|creator| creator != *own) {
            return Err(ApiError::forbidden(
                "You cannot create a team as a user that is not yourself. Make sure you set the creator_user_id to 'me'.",
            ));
        }
        Some(own.clone())
    } else if add_current {
        Some(call.claims()?.sub.clone())
    } else {
        creator
    };

    let id = random::uuid()?;
    let now = clock::now_millis();
    let mut connection = call.connection().await?;
    let transaction = store::begin(&mut connection).await?;
    store::execute(
        &transaction,
        "make a team",
        r#"INSERT INTO "Team" ("projectId", "id", "displayName", "profileImageUrl", "clientMetadata",
             "clientReadOnlyMetadata", "serverMetadata", "createdAtMillis")
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"#,
        &[
            &call.project.id,
            &id,
            &display_name,
            &change.profile_image_url.value(),
            &change.client_metadata.value(),
            &change.client_read_only_metadata.value(),
            &change.server_metadata.value(),
            &now,
        ],
    )
    .await?;
    if let Some(user_id) = creator {
        if users::find(&transaction, &call.project.id, &user_id)
            .await?
            .is_none()
        {
            return Err(ApiError::user_not_found());
        }
        let occasion = Occasion::TeamCreator;
        let (project_id, config) = (&call.project.id, call.config());
        rows::join(
            &transaction,
            project_id,
            config,
            &id,
            &user_id,
            occasion,
            now,
        )
        .await?;
    }
    let team = find(&transaction, &call.project.id, &id).await?;
    store::commit(transaction).await?;
    Ok(wire::created(&seen(&call, &team)))
}

/// `PATCH /teams/{team_id}`.
pub(in crate::backend) async fn update(Path(id): Path<String>, call: Call) -> Answer {
    let body = call.body();
    let change = Change::read(&call, &body)?;
    body.finish()?;
    let mut connection = call.connection().await?;
    let transaction = store::begin(&mut connection).await?;
    need_permission(&call, &transaction, &id, "$update_team").await?;
    store::execute(
        &transaction,
        "change a team",
        r#"UPDATE "Team" SET
             "displayName" = coalesce($3, "displayName"),
             "profileImageUrl" = CASE WHEN $4 THEN $5 ELSE "profileImageUrl" END,
             "clientMetadata" = CASE WHEN $6 THEN $7 ELSE "clientMetadata" END,
             "clientReadOnlyMetadata" = CASE WHEN $8 THEN $9 ELSE "clientReadOnlyMetadata" END,
             "serverMetadata" = CASE WHEN $10 THEN $11 ELSE "serverMetadata" END
           WHERE "projectId" = $1 AND "id" = $2"#,
        &[
            &call.project.id,
            &id,
            &change.display_name,
            &change.profile_image_url.is_change(),
            &change.profile_image_url.value(),
            &change.client_metadata.is_change(),
            &change.client_metadata.value(),
            &change.client_read_only_metadata.is_change(),
            &change.client_read_only_metadata.value(),
            &change.server_metadata.is_change(),
            &change.server_metadata.value(),
        ],
    )
    .await?;
    let team = find(&transaction, &call.project.id, &id).await?;
    store::commit(transaction).await?;
    Ok(wire::json(&seen(&call, &team)))
}

/// `DELETE /teams/{team_id}`.
pub(in crate::backend) async fn delete(Path(id): Path<String>, call: Call) -> Answer {
    let mut connection = call.connection().await?;
    let transaction = store::begin(&mut connection).await?;
    need_permission(&call, &transaction, &id, "$delete_team").await?;
    store::execute(
        &transaction,
        "deselect a team",
        r#"UPDATE "User" SET "selectedTeamId" = NULL WHERE "projectId" = $1 AND "selectedTeamId" = $2"#,
        &[&call.project.id, &id],
    )
    .await?;
    store::execute(
        &transaction,
        "delete a team",
        r#"DELETE FROM "Team" WHERE "projectId" = $1 AND "id" = $2"#,
        &[&call.project.id, &id],
    )
    .await?;
    store::commit(transaction).await?;
    Ok(wire::success())
}
