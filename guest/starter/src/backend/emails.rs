//! `POST /emails/send-email`: a server writes to its users. What it wrote is in the outbox like all else.

use serde_json::{Value, json};

use super::{
    call::{Answer, Call},
    error::ApiError,
    mail::{self, Letter},
    store, users, wire,
};

pub(super) async fn send(call: Call) -> Answer {
    call.need_server()?;
    let body = call.body();
    let user_ids = body.texts("user_ids")?;
    let all_users = body.flag("all_users")?.unwrap_or(false);
    let html = body.optional_text("html")?;
    let subject = body.optional_text("subject")?;
    for name in ["template_id", "draft_id", "scheduled_at_millis"] {
        if body.is_there(name) {
            return Err(ApiError::part_not_in_starter(call.endpoint(), name));
        }
    }
    for name in ["theme_id", "notification_category_name", "variables"] {
        body.ignore(name);
    }
    body.finish()?;
    let html =
        html.ok_or_else(|| ApiError::schema(call.endpoint(), "body.html must be defined"))?;
    if user_ids.is_some() == all_users {
        return Err(ApiError::schema(
            call.endpoint(),
            "exactly one of body.user_ids and body.all_users must be given",
        ));
    }

    let mut connection = call.connection().await?;
    let transaction = store::begin(&mut connection).await?;
    let ids = match user_ids {
        Some(ids) => ids,
        None => users::all_ids(&transaction, &call.project.id).await?,
    };
    let letter = Letter {
        subject: subject.unwrap_or(&call.project.display_name).to_owned(),
        text: mail::text_of(html),
        html: html.to_owned(),
        link: None,
        code: None,
    };
    let mut results: Vec<Value> = Vec::with_capacity(ids.len());
    for id in &ids {
        let user = users::find(&transaction, &call.project.id, id)
            .await?
            .ok_or_else(|| ApiError::user_id_does_not_exist(id))?;
        // Who has no address gets no mail, and is in the answer all the same.
        if let Some(email) = &user.primary_email {
            mail::write(&transaction, &call.project, email, &letter).await?;
        }
        results.push(json!({ "user_id": user.id, "user_email": user.primary_email }));
    }
    store::commit(transaction).await?;
    Ok(wire::json(&json!({ "results": results })))
}
