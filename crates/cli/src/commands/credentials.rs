//! `credentials`: those of an app's project, printed or written to its `.env` file.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use emulator::credentials::{AppKind, Format, ProjectCredentials};
use emulator::dotenv::{FileChange, Variable};
use serde::Serialize;

use super::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Detail, Render};
use crate::render::text::printable;

/// Prints them; with `--json` as an object, whatever the form.
pub(super) async fn give(
    context: &Context<'_>,
    config_file: &Path,
    format: Format,
) -> Result<Exit, Failure> {
    let format = match context.output.format {
        output::Format::Json => Format::Json,
        output::Format::Human => format,
    };
    print(&ask(context, config_file).await?.text(format))?;
    Ok(Exit::Success)
}

/// Sets them in a `.env` file.
pub(super) async fn write(
    context: &Context<'_>,
    config_file: &Path,
    format: Format,
    file: &Path,
) -> Result<Exit, Failure> {
    // JSON, which has no names for variables, was refused for a file.
    let kind = format.kind().unwrap_or(AppKind::Plain);
    let variables = ask(context, config_file).await?.variables(kind);
    let set: Vec<Variable<'_>> = variables
        .iter()
        .map(|variable| Variable {
            name: &variable.name,
            value: variable.expose(),
        })
        .collect();
    let change = context
        .emulator
        .set_in_env_file(file, &set)
        .map_err(emulator::Error::from)?;
    context.output.report(&Written {
        file: file.to_owned(),
        change,
        variables: variables.into_iter().map(|v| v.name).collect(),
    })?;
    Ok(Exit::Success)
}

async fn ask(context: &Context<'_>, config_file: &Path) -> Result<ProjectCredentials, Failure> {
    let work = context.emulator.credentials(config_file, &context.progress);
    context.guarded(Box::pin(work)).await
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
    #[serde(skip)]
    change: FileChange,
    variables: Vec<String>,
}

impl Render for Written {
    fn render(&self, _: Detail) -> String {
        let file = printable(&self.file.display().to_string());
        let FileChange {
            created,
            added,
            changed,
            ..
        } = self.change;
        let mut text = match (created, added, changed) {
            (true, ..) => format!("Created {file} ({added} added).\n"),
            (false, 0, 0) => format!("{file} is already up to date.\n"),
            (false, ..) => format!("Updated {file} ({added} added, {changed} changed).\n"),
        };
        for name in &self.variables {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {name}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_told_by_what_changed() {
        let text = |created, added, changed| {
            let written = Written {
                file: ".env".into(),
                change: FileChange {
                    path: "/app/.env".into(),
                    created,
                    added,
                    changed,
                },
                variables: vec!["STACK_PROJECT_ID".into()],
            };
            written.render(Detail::Brief)
        };
        let names = "  STACK_PROJECT_ID\n";
        assert_eq!(
            text(true, 1, 0),
            format!("Created .env (1 added).\n{names}")
        );
        assert_eq!(
            text(false, 4, 1),
            format!("Updated .env (4 added, 1 changed).\n{names}")
        );
        assert_eq!(
            text(false, 0, 0),
            format!(".env is already up to date.\n{names}")
        );
    }
}
