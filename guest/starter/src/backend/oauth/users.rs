//! Whom a provider's account belongs to: the user who has it, the one with its address, or a new one.

use deadpool_postgres::Transaction;

use super::{
    accounts::{self, Account},
    errors,
    flows::Flow,
};
use crate::{
    backend::{
        access::Project,
        config::MergeStrategy,
        error::ApiError,
        fields::Patch,
        users::{self, Change, NewUser},
    },
    mock_oauth::{Grant, Person},
    random,
};

/// Who comes in.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) user_id: String,
    pub(super) is_new_user: bool,
}

impl Entry {
    fn known(user_id: String) -> Self {
        Self {
            user_id,
            is_new_user: false,
        }
    }
}

/// Finds or makes the user who comes in by a flow, and keeps what the provider has granted.
pub(super) async fn enter(
    db: &Transaction<'_>,
    project: &Project,
    flow: &Flow,
    person: &Person,
    grant: &Grant,
    now: i64,
) -> Result<Entry, ApiError> {
    accounts::lock(db, &project.id, &flow.provider_id, &person.id).await?;
    let known = accounts::for_sign_in(db, &project.id, &flow.provider_id, &person.id).await?;
    let (account_id, entry) = match (known, flow.is_link) {
        (known, true) => link(db, project, flow, person, known, now).await?,
        (Some(account), false) => (account.id, Entry::known(account.user_id)),
        (None, false) => {
            let entry = owner(db, project, flow, person, now).await?;
            let account = connect(db, project, flow, person, &entry.user_id, now).await?;
            (account, entry)
        }
    };
    accounts::keep_grant(db, &project.id, &account_id, grant, now).await?;
    Ok(entry)
}

/// Connects a provider's account to the user who was signed in when the flow began.
async fn link(
    db: &Transaction<'_>,
    project: &Project,
    flow: &Flow,
    person: &Person,
    known: Option<Account>,
    now: i64,
) -> Result<(String, Entry), ApiError> {
    let user_id = flow.user_id.clone().unwrap_or_default();
    // They may have been deleted since.
    let user = users::find(db, &project.id, &user_id).await?;
    user.ok_or_else(ApiError::user_not_found)?;
    let account_id = match known {
        Some(account) if account.user_id != user_id => {
            return Err(errors::connected_to_another_user());
        }
        Some(account) => account.id,
        None => connect(db, project, flow, person, &user_id, now).await?,
    };
    Ok((account_id, Entry::known(user_id)))
}

/// Gives a user the provider's account; its ID. One that they have without signing in with it stays so.
async fn connect(
    db: &Transaction<'_>,
    project: &Project,
    flow: &Flow,
    person: &Person,
    user_id: &str,
    now: i64,
) -> Result<String, ApiError> {
    let provider = Some(flow.provider_id.as_str());
    let own = accounts::list(db, &project.id, Some(user_id), provider).await?;
    if let Some(mut account) = own.into_iter().find(|own| own.subject == person.id) {
        if !flow.is_link {
            account.allow_sign_in = true;
            accounts::update(db, &project.id, &account).await?;
        }
        return Ok(account.id);
    }
    let account = Account {
        id: random::uuid()?,
        user_id: user_id.to_owned(),
        provider_id: flow.provider_id.clone(),
        subject: person.id.clone(),
        email: Some(person.email.clone()),
        allow_sign_in: true,
        allow_connected_accounts: true,
    };
    accounts::insert(db, &project.id, &account, now).await?;
    Ok(account.id)
}

/// The user who signs in with the person's address, where the project's merge strategy says so; else a new one.
///
/// With the default, an account is only shared where both have verified the address: the user of the account,
/// and the provider. Otherwise whoever types somebody's address would get their account.
async fn owner(
    db: &Transaction<'_>,
    project: &Project,
    flow: &Flow,
    person: &Person,
    now: i64,
) -> Result<Entry, ApiError> {
    let email = person.email.as_str();
    let holder = users::find_by_sign_in_address(db, &project.id, email).await?;
    let is_taken = holder.is_some();
    match (project.config.account_merge_strategy(), holder) {
        (MergeStrategy::AllowDuplicates, _) | (_, None) => {}
        (MergeStrategy::LinkMethod, Some((_, false))) => {
            return Err(errors::channel_not_verified(email));
        }
        (MergeStrategy::LinkMethod, Some((user, true))) if person.email_verified => {
            return Ok(Entry::known(user.id));
        }
        (MergeStrategy::LinkMethod | MergeStrategy::RaiseError, Some(_)) => {
            return Err(ApiError::channel_used_by_someone_else(email));
        }
    }
    if !project.config.sign_up() {
        return Err(ApiError::sign_up_not_enabled());
    }
    // An anonymous user who was signed in becomes this one.
    let anonymous = match &flow.user_id {
        Some(id) => users::find(db, &project.id, id).await?,
        None => None,
    };
    let anonymous = anonymous.filter(|user| user.is_anonymous);
    let new = NewUser {
        was: anonymous.as_ref().map(|user| user.id.as_str()),
        email: Some(email),
        email_verified: person.email_verified,
        email_auth_enabled: !is_taken,
        ..NewUser::default()
    };
    let user_id = users::insert(db, &project.id, &project.config, &new, now).await?;
    if let Some(name) = &person.display_name {
        let change = Change {
            display_name: Patch::Set(name),
            ..Change::default()
        };
        users::update_row(db, &project.id, &user_id, &change).await?;
    }
    Ok(Entry {
        user_id,
        is_new_user: true,
    })
}
