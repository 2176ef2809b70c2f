//! `credentials`: the keys of an app's project, printed or put into its `.env` file.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use emulator::credentials::{AppVariable, ProjectCredentials};
use emulator::dotenv::{self, Variable};
use serde::Serialize;
use serde_json::json;

use super::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::CredentialsForm;
use crate::output::{Detail, Render};
use crate::render::text::printable;

pub(super) async fn give(
    context: &Context<'_>,
    config_file: &Path,
    form: &CredentialsForm,
) -> Result<Exit, Failure> {
    let work = context.emulator.credentials(config_file, &context.progress);
    let credentials = context.guarded(Box::pin(work)).await?;
    match form {
        CredentialsForm::Shell => {
            // No value has a quote in it, or anything else that a shell knows.
            let line = |v: &AppVariable| format!("export {}='{}'\n", v.name, v.expose());
            let kind = emulator::credentials::AppKind::Plain;
            print(
                &credentials
                    .variables(kind)
                    .iter()
                    .map(line)
                    .collect::<String>(),
            )?;
        }
        CredentialsForm::Dotenv(kind) => {
            let line = |v: &AppVariable| format!("{}={}\n", v.name, v.expose());
            print(
                &credentials
                    .variables(*kind)
                    .iter()
                    .map(line)
                    .collect::<String>(),
            )?;
        }
        CredentialsForm::Json => print(&as_json(&credentials))?,
        CredentialsForm::Write { file, kind } => {
            let variables = credentials.variables(*kind);
            let set: Vec<Variable<'_>> = variables
                .iter()
                .map(|variable| Variable {
                    name: &variable.name,
                    value: variable.expose(),
                })
                .collect();
            dotenv::set_in_file(file, &set)?;
            context.output.report(&Written {
                file: file.clone(),
                variables: variables.into_iter().map(|v| v.name).collect(),
            })?;
        }
    }
    Ok(Exit::Success)
}

/// The fields have the names that the backend gives them.
fn as_json(credentials: &ProjectCredentials) -> String {
    let object = json!({
        "project_id": credentials.project_id,
        "publishable_client_key": credentials.publishable_client_key.expose(),
        "secret_server_key": credentials.secret_server_key.expose(),
        "super_secret_admin_key": credentials.super_secret_admin_key.expose(),
        "branch_config_override_string": credentials.branch_config_override_string,
        "api_url": credentials.api_url,
    });
    format!("{object}\n")
}

/// Standard output, at the user's explicit request, and nowhere else.
fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(Failure::Print)
}

/// What `credentials --write` reports: never a value.
#[derive(Debug, Serialize)]
struct Written {
    file: PathBuf,
    variables: Vec<String>,
}

impl Render for Written {
    fn render(&self, _: Detail) -> String {
        let file = printable(&self.file.display().to_string());
        let mut text = format!("Set in {file}:\n");
        for name in &self.variables {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {name}");
        }
        text
    }
}
