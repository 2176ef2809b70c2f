//! One run of the program: what to do, on which instance, and in which format to report.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{ColorChoice, CommandFactory as _, FromArgMatches as _};
use emulator::paths::InstanceName;

use crate::arguments::{
    Arguments, CredentialsArguments, CredentialsFormat, Operation, Request, SecretsArguments,
};
use crate::exit::Exit;
use crate::manual;
use crate::output::{self, Format, Output};

/// One run of the program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Invocation {
    pub request: Request,
    pub target: Target,
    pub format: Format,
    /// Print each step to standard error.
    pub verbose: bool,
}

/// Which instance, and which image if not the one that it used last.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The one that was named.
    pub instance: Option<InstanceName>,
    /// That of the folder of this project.
    pub here: bool,
    /// Absolute.
    pub image: Option<PathBuf>,
}

/// Arguments that lead to no invocation: a mistake, or a wish for help.
#[derive(Debug)]
pub(crate) struct Refused {
    error: clap::Error,
    format: Format,
}

impl Refused {
    /// Tells the user; help goes to standard output, mistakes do not.
    pub(crate) fn print(&self) -> Exit {
        let mistake = self.error.use_stderr();
        match (mistake, self.format) {
            (true, Format::Json) => output::print_usage_error(&self.error),
            (true, Format::Human) | (false, Format::Human | Format::Json) => {
                // A reader of the help that is gone has seen enough.
                drop(self.error.print());
            }
        }
        if mistake { Exit::Usage } else { Exit::Success }
    }
}

/// The clap command, with all that its help says.
pub(crate) fn command() -> clap::Command {
    Arguments::command().after_long_help(manual::after_help())
}

/// Reads the command line and applies its choice of colors to this process.
pub(crate) fn read(typed: impl IntoIterator<Item = OsString>) -> Result<Invocation, Refused> {
    let typed: Vec<OsString> = typed.into_iter().collect();
    let refused = |error| Refused {
        error,
        format: intended_format(&typed),
    };
    let matches = command().try_get_matches_from(&typed).map_err(refused)?;
    let arguments = Arguments::from_arg_matches(&matches).map_err(refused)?;
    let color = match arguments.global.color {
        ColorChoice::Auto => anstream::ColorChoice::Auto,
        ColorChoice::Always => anstream::ColorChoice::Always,
        ColorChoice::Never => anstream::ColorChoice::Never,
    };
    color.write_global();
    resolve(arguments).map_err(refused)
}

/// The format that was asked for on a command line that could not be read.
fn intended_format(typed: &[OsString]) -> Format {
    let mut options = typed
        .iter()
        .skip(1)
        .take_while(|argument| *argument != OsStr::new("--"));
    if options.any(|argument| argument == OsStr::new("--json")) {
        Format::Json
    } else {
        Format::Human
    }
}

fn resolve(arguments: Arguments) -> Result<Invocation, clap::Error> {
    let Arguments { global, request } = arguments;
    refuse_conflicts(&request, global.json)?;
    Ok(Invocation {
        request,
        target: Target {
            instance: global.instance,
            here: global.here,
            image: global.image,
        },
        format: if global.json {
            Format::Json
        } else {
            Format::Human
        },
        verbose: global.verbose,
    })
}

/// Refuses what the parser cannot know to exclude each other.
fn refuse_conflicts(request: &Request, json: bool) -> Result<(), clap::Error> {
    let refused = |text: &str| Err(command().error(ErrorKind::ArgumentConflict, text));
    let plain_text = match request {
        Request::Completions { .. } => "completions",
        Request::Man { .. } => "man",
        Request::Operate(Operation::Logs { .. }) => "logs",
        Request::Operate(Operation::Run(_)) => "run",
        Request::Operate(Operation::Secrets(SecretsArguments::Show { .. })) => "secrets show",
        Request::Operate(Operation::Credentials(CredentialsArguments {
            format: CredentialsFormat::Json,
            write: Some(_),
            ..
        })) => {
            return refused(
                "the argument '--write <FILE>' cannot be used with '--format json': the file is a `.env` file",
            );
        }
        Request::Operate(_) => return Ok(()),
    };
    if json {
        return refused(&format!(
            "the argument '--json' cannot be used with '{plain_text}', whose output is plain text"
        ));
    }
    Ok(())
}

impl Invocation {
    /// The place for its results.
    pub(crate) fn output(&self) -> Output {
        Output::new(self.format, self.verbose)
    }
}

#[cfg(test)]
mod tests;
