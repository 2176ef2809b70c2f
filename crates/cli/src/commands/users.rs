//! `users`: accounts of an app, for who develops it.

use emulator::users::{NewUser, Password, User, Users, UsersError};
use serde::Serialize;

use super::{Context, config_file, hidden};
use crate::arguments::{ConfigArguments, UsersArguments};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Detail, Render};
use crate::render::text::one_line;
use crate::render::users::{UserList, facts};

pub(super) async fn run(
    context: &Context<'_>,
    config: ConfigArguments,
    arguments: UsersArguments,
) -> Result<Exit, Failure> {
    let config_file = config_file::of(config)?;
    // Before anything is waited for: a terminal is asked at once.
    let password = match &arguments {
        UsersArguments::Add {
            password_stdin: true,
            ..
        } => {
            let line = context
                .abandonable(Box::pin(hidden::line("Password")))
                .await?;
            Some(Password::chosen(line.ok_or(Failure::NoPassword)?))
        }
        UsersArguments::Add {
            no_password: false, ..
        } => Some(Password::generate().map_err(engine)?),
        UsersArguments::Add { .. }
        | UsersArguments::List { .. }
        | UsersArguments::Delete { .. } => None,
    };
    let open = context.emulator.users(&config_file, &context.progress);
    let users = context.guarded(Box::pin(open)).await?;
    let work = act(context, &users, arguments, password);
    context.abandonable(Box::pin(work)).await
}

async fn act(
    context: &Context<'_>,
    users: &Users,
    arguments: UsersArguments,
    password: Option<Password>,
) -> Result<Exit, Failure> {
    match arguments {
        UsersArguments::Add {
            email,
            name,
            password_stdin,
            no_password: _,
            unverified,
        } => {
            let new = NewUser {
                email: &email,
                is_verified: !unverified,
                display_name: name.as_deref(),
                password: password.as_ref(),
            };
            let user = users.add(&new).await.map_err(engine)?;
            // One that was typed is known to who typed it.
            let password = password
                .filter(|_| !password_stdin)
                .map(|password| password.expose().to_owned());
            context.output.report(&Created { user, password })?;
        }
        UsersArguments::List { query, limit } => {
            let users = users.list(query.as_deref(), limit).await.map_err(engine)?;
            context.output.report(&UserList { users })?;
        }
        UsersArguments::Delete { user } => {
            let user = users.delete(&user).await.map_err(engine)?;
            context.output.report(&Deleted { user })?;
        }
    }
    Ok(Exit::Success)
}

fn engine(error: UsersError) -> Failure {
    emulator::AppsError::from(error).into()
}

/// What `users add` reports, at the user's explicit request with the password that was made.
#[derive(Serialize)]
struct Created {
    user: User,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
}

impl Render for Created {
    fn render(&self, _: Detail) -> String {
        let mut facts = facts(&self.user);
        if let Some(password) = &self.password {
            facts.add("Password", password.clone());
        }
        format!("Created the user.\n\n{}", facts.render())
    }
}

/// What `users delete` reports.
#[derive(Debug, Serialize)]
struct Deleted {
    user: User,
}

impl Render for Deleted {
    fn render(&self, _: Detail) -> String {
        let User {
            id, primary_email, ..
        } = &self.user;
        let name = primary_email.as_ref().unwrap_or(id);
        format!("Deleted {}.\n", one_line(name))
    }
}
