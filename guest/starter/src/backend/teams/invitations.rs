//! Invitations to a team, by mail: `/team-invitations`.

use axum::{extract::Path, http::StatusCode};
use deadpool_postgres::GenericClient;
use serde_json::{Value, json};

use super::rows::{find, join, need_permission};
use crate::backend::{
    call::{Answer, Call},
    channels, clock,
    codes::{self, OpenCode, Purpose, Subject},
    config::Occasion,
    error::ApiError,
    mail::{self, Content},
    store, wire,
};

/// `POST /team-invitations/send-code`.
pub(in crate::backend) async fn send_code(call: Call) -> Answer {
    let body = call.body();
    let email = body.email("email")?;
    let team_id = body.text("team_id")?;
    let callback = body.callback("callback_url", call.config())?;
    body.finish()?;
    let mut connection = call.connection().await?;
    let transaction = store::begin(&mut connection).await?;
    let team = need_permission(&call, &transaction, team_id, "$invite_members").await?;
    let subject = Subject {
        email: email.clone(),
        team_id: Some(team.id),
        ..Subject::default()
    };
    let purpose = Purpose::Invitation;
    let fresh = codes::make(&transaction, &call.project.id, purpose, &subject).await?;
    let link = mail::link_with_code(&callback, &fresh.code);
    let content = Content::Invitation {
        link: &link,
        team: &team.display_name,
    };
    mail::send(&transaction, &call.project, &email, &content).await?;
    store::commit(transaction).await?;
    Ok(wire::json(&json!({ "success": true, "id": fresh.id })))
}

/// `GET /team-invitations`: those of a team, or those that wait for the user who is signed in.
pub(in crate::backend) async fn list(call: Call) -> Answer {
    let query = call.query();
    let team_id = query.optional_text("team_id")?;
    let given = query.optional_text("user_id")?;
    query.finish()?;
    let db = call.connection().await?;
    let open = match (team_id, given) {
        (Some(team_id), _) => {
            need_permission(&call, &db, team_id, "$read_members").await?;
            codes::open(
                &db,
                &call.project.id,
                Purpose::Invitation,
                Some(team_id),
                None,
            )
            .await?
        }
        (None, Some(given)) => {
            let user_id = call.own_user_id(Some(given), "list team invitations for")?;
            let emails = channels::verified(&db, &call.project.id, &user_id).await?;
            codes::open(
                &db,
                &call.project.id,
                Purpose::Invitation,
                None,
                Some(&emails),
            )
            .await?
        }
        (None, None) => {
            return Err(ApiError::schema(
                call.endpoint(),
                "query.team_id must be defined",
            ));
        }
    };
    let mut items = Vec::with_capacity(open.len());
    for code in &open {
        items.push(view(&db, &call.project.id, code).await?);
    }
    Ok(wire::list(&items))
}

async fn view(
    db: &impl GenericClient,
    project_id: &str,
    code: &OpenCode,
) -> Result<Value, ApiError> {
    let team_id = code.subject.team_id.as_deref().unwrap_or_default();
    let team = find(db, project_id, team_id).await?;
    Ok(json!({
        "id": code.id,
        "team_id": team.id,
        "team_display_name": team.display_name,
        "expires_at_millis": code.expires_at_millis,
        "recipient_email": code.subject.email,
    }))
}

/// `DELETE /team-invitations/{id}`.
pub(in crate::backend) async fn revoke(Path(id): Path<String>, call: Call) -> Answer {
    let query = call.query();
    let team_id = query.text("team_id")?;
    query.finish()?;
    let db = call.connection().await?;
    need_permission(&call, &db, team_id, "$remove_members").await?;
    if !codes::revoke(&db, &call.project.id, Purpose::Invitation, &id, team_id).await? {
        return Err(not_found());
    }
    Ok(wire::success())
}

fn not_found() -> ApiError {
    ApiError::Plain(
        StatusCode::NOT_FOUND,
        "Team invitation not found.".to_owned(),
    )
}

/// `POST /team-invitations/accept/check-code`.
pub(in crate::backend) async fn check_code(call: Call) -> Answer {
    let body = call.body();
    let code = body.code()?;
    body.finish()?;
    let db = call.connection().await?;
    call.signed_in(&db).await?;
    codes::check(&db, &call.project.id, Purpose::Invitation, &code).await?;
    Ok(wire::json(&json!({ "is_code_valid": true })))
}

/// `POST /team-invitations/accept/details`.
pub(in crate::backend) async fn accept_details(call: Call) -> Answer {
    let body = call.body();
    let code = body.code()?;
    body.finish()?;
    let db = call.connection().await?;
    call.signed_in(&db).await?;
    let subject = codes::check(&db, &call.project.id, Purpose::Invitation, &code).await?;
    let team_id = subject.team_id.as_deref().unwrap_or_default();
    let team = find(&db, &call.project.id, team_id).await?;
    Ok(wire::json(
        &json!({ "team_id": team.id, "team_display_name": team.display_name }),
    ))
}

/// `POST /team-invitations/accept`: the user that is signed in joins.
pub(in crate::backend) async fn accept(call: Call) -> Answer {
    let body = call.body();
    let code = body.code()?;
    body.finish()?;
    let mut connection = call.connection().await?;
    let user = call.signed_in(&connection).await?;
    let purpose = Purpose::Invitation;
    let subject = codes::check(&connection, &call.project.id, purpose, &code).await?;
    let transaction = store::begin(&mut connection).await?;
    codes::take(&transaction, &call.project.id, purpose, &code).await?;
    enter(&call, &transaction, &subject, &user.id).await?;
    store::commit(transaction).await?;
    Ok(wire::json(&json!({})))
}

/// Who is in the team already stays in it.
async fn enter(
    call: &Call,
    db: &impl GenericClient,
    subject: &Subject,
    user_id: &str,
) -> Result<(), ApiError> {
    let team_id = subject.team_id.as_deref().unwrap_or_default();
    let (project_id, config) = (&call.project.id, call.config());
    let occasion = Occasion::TeamMember;
    join(
        db,
        project_id,
        config,
        team_id,
        user_id,
        occasion,
        clock::now_millis(),
    )
    .await?;
    Ok(())
}

/// `POST /team-invitations/{id}/accept`: without the code, by who has proved that the address is theirs.
pub(in crate::backend) async fn accept_by_id(Path(id): Path<String>, call: Call) -> Answer {
    let query = call.query();
    let user_id = call.own_user_id(query.optional_text("user_id")?, "accept invitations for")?;
    query.finish()?;
    let mut connection = call.connection().await?;
    let transaction = store::begin(&mut connection).await?;
    let purpose = Purpose::Invitation;
    let emails = channels::verified(&transaction, &call.project.id, &user_id).await?;
    let invitation = codes::open(&transaction, &call.project.id, purpose, None, None)
        .await?
        .into_iter()
        .find(|open| open.id == id)
        .ok_or_else(not_found)?;
    if !emails.contains(&invitation.subject.email) {
        return Err(ApiError::invitation_email_mismatch());
    }
    if !codes::take_by_id(&transaction, &call.project.id, purpose, &id).await? {
        return Err(ApiError::code_already_used());
    }
    enter(&call, &transaction, &invitation.subject, &user_id).await?;
    store::commit(transaction).await?;
    Ok(wire::json(&json!({})))
}
