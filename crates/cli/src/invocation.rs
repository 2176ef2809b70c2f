//! Arguments as meant: what to do, on which instance, and in which format to report.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{ColorChoice, CommandFactory as _, FromArgMatches as _};
use clap_complete::Shell;
use emulator::credentials::AppKind;
use emulator::logs::LogSource;
use emulator::paths::InstanceName;
use emulator::preferences::Preference;
use emulator::prune::PruneRequest;
use emulator::pull::PullRequest;
use emulator::secrets::SecretName;
use images::github::Repo;
use images::source::Source;

use crate::arguments::{
    Arguments, CommandArguments, CredentialsFormat, FoldersArguments, ImagesArguments,
    PullArguments, PullSource, SecretsArguments, SettingsArguments, TokenArguments,
};
use crate::exit::Exit;
use crate::manual;
use crate::output::{self, Format, Output};

/// One run of the program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Invocation {
    pub request: Request,
    pub format: Format,
    /// Print each step to standard error.
    pub verbose: bool,
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Something with an instance.
    Operate {
        target: Target,
        operation: Operation,
    },
    /// Something about the program itself: reads no environment and no files.
    Document(Document),
}

/// Which instance, and which image if not the one that it used last.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub instance: InstanceName,
    /// Absolute.
    pub image: Option<PathBuf>,
}

/// What is done with an instance.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Start,
    Stop {
        session: SessionWish,
    },
    Status,
    Reset {
        consent: Consent,
    },
    Capture,
    Verify,
    Archive {
        to: PathBuf,
    },
    Restore {
        from: PathBuf,
    },
    Doctor {
        probe: ProbeWish,
    },
    Logs {
        source: LogSource,
        follow: bool,
        lines: usize,
    },
    Bench {
        runs: u16,
    },
    Releases {
        repository: Option<Repo>,
    },
    Pull(PullRequest),
    ImagesList,
    /// `None`: no image in particular.
    ImagesUse {
        image: Option<String>,
    },
    ImagesRemove {
        image: String,
    },
    ImagesPrune(PruneRequest),
    SettingsList,
    /// `None` goes back to the default.
    SettingsSet {
        name: Preference,
        value: Option<String>,
    },
    GithubToken(TokenRequest),
    Diagnostics {
        /// `None` makes a new file here.
        file: Option<PathBuf>,
    },
    SecretsList,
    SecretsShow {
        name: SecretName,
    },
    Credentials {
        config_file: PathBuf,
        form: CredentialsForm,
    },
    Run {
        config_file: PathBuf,
        program: OsString,
        arguments: Vec<OsString>,
    },
    FoldersList,
    FoldersRemove {
        folder: PathBuf,
    },
    SecretsRotate,
    SecretsForget,
}

/// What becomes of credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CredentialsForm {
    /// Printed as lines for a shell.
    Shell,
    /// Printed as lines of a `.env` file.
    Dotenv(AppKind),
    /// Printed as one JSON object.
    Json,
    /// Set in a `.env` file.
    Write { file: PathBuf, kind: AppKind },
}

/// What a stop does with the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionWish {
    Keep,
    Discard,
}

/// Whether the user has to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consent {
    Given,
    Ask,
}

/// Whether an earlier verdict about the accelerators is good enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProbeWish {
    Cached,
    Again,
}

/// What is done about the token for GitHub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenRequest {
    Show,
    Set,
    Forget,
}

/// A text about the program itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Document {
    Completions(Shell),
    /// The manual, to standard output or as one page a command into a folder.
    Manual {
        folder: Option<PathBuf>,
    },
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
    let Arguments { global, command } = arguments;
    let operation = match command {
        CommandArguments::Start => Operation::Start,
        CommandArguments::Stop { discard: false } => Operation::Stop {
            session: SessionWish::Keep,
        },
        CommandArguments::Stop { discard: true } => Operation::Stop {
            session: SessionWish::Discard,
        },
        CommandArguments::Status => Operation::Status,
        CommandArguments::Reset { yes: true } => Operation::Reset {
            consent: Consent::Given,
        },
        CommandArguments::Reset { yes: false } => Operation::Reset {
            consent: Consent::Ask,
        },
        CommandArguments::Capture => Operation::Capture,
        CommandArguments::Verify => Operation::Verify,
        CommandArguments::Archive { file } => Operation::Archive { to: file },
        CommandArguments::Restore { file } => Operation::Restore { from: file },
        CommandArguments::Doctor { probe_again: false } => Operation::Doctor {
            probe: ProbeWish::Cached,
        },
        CommandArguments::Doctor { probe_again: true } => Operation::Doctor {
            probe: ProbeWish::Again,
        },
        CommandArguments::Logs {
            qemu,
            app,
            follow,
            lines,
        } => {
            refuse_json(global.json, "logs")?;
            let source = match (qemu, app) {
                (true, _) => LogSource::Qemu,
                (false, true) => LogSource::App,
                (false, false) => LogSource::Serial,
            };
            Operation::Logs {
                source,
                follow,
                lines,
            }
        }
        CommandArguments::Releases { repo } => Operation::Releases { repository: repo },
        CommandArguments::Pull(arguments) => Operation::Pull(pull(arguments)?),
        CommandArguments::Images { command } => images(command),
        CommandArguments::Settings { command } => settings(command),
        CommandArguments::Diagnostics { file } => Operation::Diagnostics { file },
        CommandArguments::Bench { runs } => Operation::Bench { runs },
        CommandArguments::Secrets(SecretsArguments::List) => Operation::SecretsList,
        CommandArguments::Secrets(SecretsArguments::Show { name }) => {
            refuse_json(global.json, "secrets show")?;
            Operation::SecretsShow { name }
        }
        CommandArguments::Credentials {
            config,
            format,
            write,
        } => Operation::Credentials {
            config_file: config.config_file,
            form: credentials_form(format, write, global.json)?,
        },
        CommandArguments::Run { config, command } => {
            refuse_json(global.json, "run")?;
            let mut words = command.into_iter();
            Operation::Run {
                config_file: config.config_file,
                // clap requires at least one.
                program: words.next().unwrap_or_default(),
                arguments: words.collect(),
            }
        }
        CommandArguments::Folders(FoldersArguments::List) => Operation::FoldersList,
        CommandArguments::Folders(FoldersArguments::Remove { folder }) => {
            Operation::FoldersRemove { folder }
        }
        CommandArguments::Secrets(SecretsArguments::Rotate) => Operation::SecretsRotate,
        CommandArguments::Secrets(SecretsArguments::Forget) => Operation::SecretsForget,
        CommandArguments::Completions { shell } => {
            refuse_json(global.json, "completions")?;
            return Ok(document(Document::Completions(shell), global.verbose));
        }
        CommandArguments::Man { dir } => {
            refuse_json(global.json, "man")?;
            return Ok(document(Document::Manual { folder: dir }, global.verbose));
        }
    };
    let image = global.image.as_deref();
    let image = image
        .map(|path| absolute(path, "--image <FILE>"))
        .transpose()?;
    Ok(Invocation {
        request: Request::Operate {
            target: Target {
                instance: global.instance,
                image,
            },
            operation,
        },
        format: if global.json {
            Format::Json
        } else {
            Format::Human
        },
        verbose: global.verbose,
    })
}

fn credentials_form(
    format: CredentialsFormat,
    write: Option<PathBuf>,
    json: bool,
) -> Result<CredentialsForm, clap::Error> {
    let kind = match format {
        CredentialsFormat::Env | CredentialsFormat::Dotenv => Some(AppKind::Plain),
        CredentialsFormat::Next => Some(AppKind::Next),
        CredentialsFormat::Vite => Some(AppKind::Vite),
        CredentialsFormat::Expo => Some(AppKind::Expo),
        CredentialsFormat::Json => None,
    };
    Ok(match (write, kind) {
        (Some(file), Some(kind)) => CredentialsForm::Write { file, kind },
        (Some(_), None) => {
            let text = "the argument '--write <FILE>' cannot be used with '--format json': the file is a `.env` file";
            return Err(command().error(ErrorKind::ArgumentConflict, text));
        }
        (None, None) => CredentialsForm::Json,
        (None, Some(_)) if json => CredentialsForm::Json,
        (None, Some(_)) if format == CredentialsFormat::Env => CredentialsForm::Shell,
        (None, Some(kind)) => CredentialsForm::Dotenv(kind),
    })
}

fn document(document: Document, verbose: bool) -> Invocation {
    Invocation {
        request: Request::Document(document),
        format: Format::Human,
        verbose,
    }
}

/// Refuses `--json` for a command whose output is plain text.
fn refuse_json(json: bool, name: &str) -> Result<(), clap::Error> {
    if json {
        let text = format!(
            "the argument '--json' cannot be used with '{name}', whose output is plain text"
        );
        Err(command().error(ErrorKind::ArgumentConflict, text))
    } else {
        Ok(())
    }
}

fn pull(arguments: PullArguments) -> Result<PullRequest, clap::Error> {
    let PullArguments {
        source,
        repo,
        arch,
        skip_snapshot,
    } = arguments;
    let PullSource {
        branch,
        tag,
        pr,
        run,
        file,
    } = source;
    let file = file.as_deref();
    let file = file
        .map(|path| absolute(path, "--file <PATH>"))
        .transpose()?;
    // The parser allows at most one of them.
    let source = branch
        .map(|branch| Source::Rolling { branch })
        .or_else(|| tag.map(Source::Tag))
        .or_else(|| pr.map(Source::PullRequest))
        .or_else(|| run.map(Source::Run))
        .or_else(|| file.map(Source::File));
    Ok(PullRequest {
        source,
        repository: repo,
        arch,
        skip_snapshot,
    })
}

fn images(command: Option<ImagesArguments>) -> Operation {
    match command {
        None | Some(ImagesArguments::List) => Operation::ImagesList,
        Some(ImagesArguments::Use { name, .. }) => Operation::ImagesUse { image: name },
        Some(ImagesArguments::Remove { name }) => Operation::ImagesRemove { image: name },
        Some(ImagesArguments::Prune {
            all,
            limit,
            archive_after,
        }) => Operation::ImagesPrune(PruneRequest {
            all,
            limit_bytes: limit,
            archive_after_days: archive_after,
        }),
    }
}

fn settings(command: Option<SettingsArguments>) -> Operation {
    match command {
        None | Some(SettingsArguments::List) => Operation::SettingsList,
        Some(SettingsArguments::Set { name, value }) => Operation::SettingsSet {
            name,
            value: Some(value),
        },
        Some(SettingsArguments::GithubToken { command }) => Operation::GithubToken(match command {
            None | Some(TokenArguments::Show) => TokenRequest::Show,
            Some(TokenArguments::Set) => TokenRequest::Set,
            Some(TokenArguments::Forget) => TokenRequest::Forget,
        }),
        Some(SettingsArguments::Unset { name }) => Operation::SettingsSet { name, value: None },
    }
}

/// A path is remembered, so it must hold wherever the next command is run.
fn absolute(path: &Path, argument: &str) -> Result<PathBuf, clap::Error> {
    std::path::absolute(path).map_err(|error| {
        let text = format!(
            "invalid value '{}' for '{argument}': {error}",
            path.display()
        );
        command().error(ErrorKind::ValueValidation, text)
    })
}

impl Invocation {
    /// The place for its results.
    pub(crate) fn output(&self) -> Output {
        Output::new(self.format, self.verbose)
    }
}

#[cfg(test)]
mod tests;
