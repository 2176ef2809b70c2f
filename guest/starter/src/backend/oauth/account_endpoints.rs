//! `/oauth-providers`: accounts at providers, as users see and change their own and servers anybody's.

use axum::{extract::Path, http::StatusCode};
use deadpool_postgres::GenericClient;
use serde_json::Value;

use super::{
    accounts::{self, Account},
    errors,
};
use crate::{
    backend::{
        call::{Answer, Call},
        clock,
        error::ApiError,
        store, users, wire,
    },
    random,
};

/// `GET /oauth-providers`.
pub(in crate::backend) async fn list(call: Call) -> Answer {
    let query = call.query();
    let given = query.optional_text("user_id")?;
    query.finish()?;
    let user_id = if call.is_client() || given.is_some() {
        Some(call.own_user_id(given, "list OAuth providers for")?)
    } else {
        None
    };
    let db = call.connection().await?;
    if let Some(user_id) = &user_id {
        need_user(&call, &db, user_id).await?;
    }
    let found = accounts::list(&db, &call.project.id, user_id.as_deref(), None).await?;
    let items: Vec<Value> = found.iter().map(|account| view(&call, account)).collect();
    Ok(wire::list(&items))
}

fn view(call: &Call, account: &Account) -> Value {
    account.view(call.config(), call.is_client())
}

async fn need_user(call: &Call, db: &impl GenericClient, user_id: &str) -> Result<(), ApiError> {
    let user = users::find(db, &call.project.id, user_id).await?;
    user.map(|_| ()).ok_or_else(ApiError::user_not_found)
}

async fn need(
    call: &Call,
    db: &impl GenericClient,
    user_id: &str,
    id: &str,
) -> Result<Account, ApiError> {
    need_user(call, db, user_id).await?;
    let found = accounts::find(db, &call.project.id, user_id, id).await?;
    found.ok_or_else(|| not_found(user_id, id))
}

fn not_found(user_id: &str, id: &str) -> ApiError {
    ApiError::Plain(
        StatusCode::NOT_FOUND,
        format!("OAuth provider {id} for user {user_id} not found"),
    )
}

/// `GET /oauth-providers/{user_id}/{id}`.
pub(in crate::backend) async fn read(
    Path((user, id)): Path<(String, String)>,
    call: Call,
) -> Answer {
    let user_id = call.own_user_id(Some(&user), "read OAuth providers for")?;
    let db = call.connection().await?;
    let account = need(&call, &db, &user_id, &id).await?;
    Ok(wire::json(&view(&call, &account)))
}

/// `POST /oauth-providers`: a server gives a user an account.
pub(in crate::backend) async fn create(call: Call) -> Answer {
    call.need_server()?;
    let body = call.body();
    let account = Account {
        id: random::uuid()?,
        user_id: call.user_id(body.text("user_id")?)?,
        provider_id: body.text("provider_config_id")?.to_owned(),
        subject: body.text("account_id")?.to_owned(),
        email: body.patch_email("email")?.value(),
        allow_sign_in: body.flag("allow_sign_in")?.unwrap_or(false),
        allow_connected_accounts: body.flag("allow_connected_accounts")?.unwrap_or(false),
    };
    body.finish()?;
    if call.config().oauth_provider(&account.provider_id).is_none() {
        return Err(ApiError::Plain(
            StatusCode::NOT_FOUND,
            format!(
                "OAuth provider {} not found or not configured",
                account.provider_id
            ),
        ));
    }
    let mut connection = call.connection().await?;
    let transaction = store::begin(&mut connection).await?;
    need_user(&call, &transaction, &account.user_id).await?;
    need_room(&call, &transaction, &account).await?;
    accounts::insert(
        &transaction,
        &call.project.id,
        &account,
        clock::now_millis(),
    )
    .await?;
    store::commit(transaction).await?;
    Ok(wire::created(&view(&call, &account)))
}

/// `PATCH /oauth-providers/{user_id}/{id}`.
pub(in crate::backend) async fn update(
    Path((user, id)): Path<(String, String)>,
    call: Call,
) -> Answer {
    let user_id = call.own_user_id(Some(&user), "update OAuth providers for")?;
    let body = call.body();
    let allow_sign_in = body.flag("allow_sign_in")?;
    let allow_connected_accounts = body.flag("allow_connected_accounts")?;
    let (mut email, mut subject) = (None, None);
    if !call.is_client() {
        email = body.patch_email("email")?.value();
        subject = body.optional_text("account_id")?;
    }
    body.finish()?;
    let mut connection = call.connection().await?;
    let transaction = store::begin(&mut connection).await?;
    let before = need(&call, &transaction, &user_id, &id).await?;
    let account = Account {
        allow_sign_in: allow_sign_in.unwrap_or(before.allow_sign_in),
        allow_connected_accounts: allow_connected_accounts
            .unwrap_or(before.allow_connected_accounts),
        email: email.or(before.email),
        subject: subject.map_or(before.subject, str::to_owned),
        ..before
    };
    need_room(&call, &transaction, &account).await?;
    accounts::update(&transaction, &call.project.id, &account).await?;
    store::commit(transaction).await?;
    Ok(wire::json(&view(&call, &account)))
}

/// Refuses an account that the user has already, and one that signs in to somebody else's. Who is about to make
/// one is locked out until the transaction ends.
async fn need_room(
    call: &Call,
    db: &impl GenericClient,
    account: &Account,
) -> Result<(), ApiError> {
    let project_id = &call.project.id;
    accounts::lock(db, project_id, &account.provider_id, &account.subject).await?;
    let provider = Some(account.provider_id.as_str());
    let own = accounts::list(db, project_id, Some(&account.user_id), provider).await?;
    let is_twice = own
        .iter()
        .any(|other| other.id != account.id && other.subject == account.subject);
    if is_twice {
        return Err(ApiError::bad_request(
            "The same provider type with the same account ID already exists for this user.",
        ));
    }
    if !account.allow_sign_in {
        return Ok(());
    }
    let holder =
        accounts::for_sign_in(db, project_id, &account.provider_id, &account.subject).await?;
    match holder {
        Some(other) if other.id != account.id => Err(errors::account_used_for_sign_in()),
        Some(_) | None => Ok(()),
    }
}

/// `DELETE /oauth-providers/{user_id}/{id}`.
pub(in crate::backend) async fn delete(
    Path((user, id)): Path<(String, String)>,
    call: Call,
) -> Answer {
    let user_id = call.own_user_id(Some(&user), "delete OAuth providers for")?;
    let db = call.connection().await?;
    need_user(&call, &db, &user_id).await?;
    if !accounts::delete(&db, &call.project.id, &user_id, &id).await? {
        return Err(not_found(&user_id, &id));
    }
    Ok(wire::success())
}
