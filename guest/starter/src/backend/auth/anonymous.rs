//! `POST /auth/anonymous/sign-up`: an account without an address, which becomes another when its user signs up.

use serde_json::json;

use super::sessions;
use crate::backend::{
    call::{Answer, Call},
    clock,
    error::ApiError,
    store,
    users::{self, NewUser},
    wire,
};

pub(in crate::backend) async fn sign_up(call: Call) -> Answer {
    call.body().finish()?;
    let mut connection = call.connection().await?;
    let transaction = store::begin(&mut connection).await?;
    let new = NewUser {
        is_anonymous: true,
        ..NewUser::default()
    };
    let now = clock::now_millis();
    let id = users::insert(&transaction, &call.project.id, call.config(), &new, now).await?;
    let user = users::find(&transaction, &call.project.id, &id)
        .await?
        .ok_or_else(ApiError::user_not_found)?;
    let shared = call.shared();
    let tokens = sessions::begin(shared, &transaction, &call.project, &user, None, false).await?;
    store::commit(transaction).await?;
    Ok(wire::json(&json!({
        "access_token": tokens.access,
        "refresh_token": tokens.refresh,
        "user_id": user.id,
    })))
}
