//! `credentials`: those of an app's project, printed or written to its `.env` file.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use emulator::clashes::{Clash, Given};
use emulator::credentials::{AppKind, AppVariable, Format, Names, ProjectCredentials};
use emulator::dotenv::{FileChange, Variable};
use serde::Serialize;

use super::{Context, config_file};
use crate::arguments::CredentialsArguments;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Detail, Render, tell};
use crate::render::style::CAUTION;
use crate::render::text::{paint, printable};

/// Prints them, or writes them to a file.
pub(super) async fn run(
    context: &Context<'_>,
    arguments: CredentialsArguments,
) -> Result<Exit, Failure> {
    if arguments.refresh {
        return refresh(context).await;
    }
    let config_file = config_file::of(arguments.config)?;
    let (format, names) = (arguments.format.into(), arguments.names.names.into());
    match arguments.write {
        None => give(context, &config_file, format, names).await,
        Some(file) => write(context, &config_file, format, names, &file).await,
    }
}

/// Prints them; with `--json` as an object, whatever the form.
async fn give(
    context: &Context<'_>,
    config_file: &Path,
    format: Format,
    names: Names,
) -> Result<Exit, Failure> {
    let format = match context.output.format {
        output::Format::Json => Format::Json,
        output::Format::Human => format,
    };
    let credentials = ask(context, config_file).await?;
    print(&credentials.text(format, names))?;
    if let Some(kind) = format.kind() {
        tell_clashes(config_file, &credentials.variables(kind, names));
    }
    Ok(Exit::Success)
}

/// Sets them in a `.env` file.
async fn write(
    context: &Context<'_>,
    config_file: &Path,
    format: Format,
    names: Names,
    file: &Path,
) -> Result<Exit, Failure> {
    let credentials = ask(context, config_file).await?;
    let change = context
        .emulator
        .write_env_file(config_file, &credentials, file, format, names)
        .map_err(emulator::Error::from)?;
    // JSON, which has no names for variables, was refused for a file.
    let variables = credentials.variables(format.kind().unwrap_or(AppKind::Plain), names);
    context.output.report(&Written {
        file: file.to_owned(),
        clashes: change.clashes.clone(),
        change,
        variables: variables.into_iter().map(|v| v.name).collect(),
    })?;
    Ok(Exit::Success)
}

/// Writes all files again that credentials were written to.
async fn refresh(context: &Context<'_>) -> Result<Exit, Failure> {
    let work = context.emulator.refresh_env_files(&context.progress);
    let report = context.guarded(Box::pin(work)).await?;
    context.output.report(&report)?;
    Ok(if report.has_failed() {
        Exit::Failed
    } else {
        Exit::Success
    })
}

fn to_set(variables: &[AppVariable]) -> Vec<Variable<'_>> {
    variables
        .iter()
        .map(|variable| Variable {
            name: &variable.name,
            value: variable.expose(),
        })
        .collect()
}

/// Warns of the app's `.env` files whose values contradict those that it is given in its environment.
pub(super) fn tell_clashes(config_file: &Path, given: &[AppVariable]) {
    let folder = emulator::projects::folder_of(config_file);
    let clashes = emulator::clashes::clashes(&to_set(given), Given::Environment(&folder));
    for clash in clashes {
        tell(&warning(&clash));
    }
}

fn warning(Clash { file, names }: &Clash) -> String {
    let file = printable(&file.display().to_string());
    format!(
        "{} {file} has other values for {}. The SDK stops where the HEXCLAVE_ and the STACK_ name of a variable \
         differ: remove them there, or give both names equal values with `credentials --names both --write {file}`.\n",
        paint(CAUTION, "warning:"),
        printable(&names.join(", ")),
    )
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
    clashes: Vec<Clash>,
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
        text.extend(self.clashes.iter().map(warning));
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
                    clashes: Vec::new(),
                },
                variables: vec!["STACK_PROJECT_ID".into()],
                clashes: Vec::new(),
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
