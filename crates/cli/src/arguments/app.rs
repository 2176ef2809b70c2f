//! Of which app a command is, and how its credentials are given.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};
use emulator::credentials::{Format, Names};

/// Which app.
#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct ConfigArguments {
    /// Config file of the app; hexclave.config.ts or else stack.config.ts by default
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config_file: Option<PathBuf>,
}

/// How an app's credentials are given.
#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct CredentialsArguments {
    #[command(flatten)]
    pub config: ConfigArguments,
    /// Output format; `next`, `vite` and `expo` are `dotenv` with that framework's variable names
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = CredentialsFormat::Dotenv)]
    pub format: CredentialsFormat,
    #[command(flatten)]
    pub names: NamesArguments,
    /// Set the variables in this file and leave the rest of it unchanged
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub write: Option<PathBuf>,
    /// Write all files again that `--write` or the app has written, with the present credentials
    #[arg(
        long,
        conflicts_with_all = ["config_file", "format", "names", "write"],
        long_help = "Write all files again that `--write` or the app has written, with the present credentials, for \
            example after a reset. Leaves a file as it is that was moved, replaced, or holds other credentials by now."
    )]
    pub refresh: bool,
}

/// What is run with an app's credentials.
#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub config: ConfigArguments,
    #[command(flatten)]
    pub names: NamesArguments,
    /// Print what the emulator makes of each change of the config file
    #[arg(long)]
    pub watch: bool,
    /// Program to run, and its arguments
    #[arg(last = true, required = true, value_name = "PROGRAM", value_hint = ValueHint::CommandWithArguments)]
    pub command: Vec<OsString>,
}

/// Which names an app's variables have.
#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct NamesArguments {
    /// Names of the variables; the SDK takes both if they are equal
    #[arg(long, value_enum, value_name = "NAMES", default_value_t = VariableNames::Both)]
    pub names: VariableNames,
}

/// The names of variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum VariableNames {
    /// `HEXCLAVE_…`, of newer versions of the SDK
    New,
    /// `STACK_…`, of older ones
    Old,
    /// Both, with equal values
    Both,
}

impl From<VariableNames> for Names {
    fn from(names: VariableNames) -> Self {
        match names {
            VariableNames::New => Self::New,
            VariableNames::Old => Self::Old,
            VariableNames::Both => Self::Both,
        }
    }
}

/// How credentials are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CredentialsFormat {
    /// Shell lines: `export NAME='value'`
    Env,
    /// `.env` lines: `NAME=value`
    Dotenv,
    /// `dotenv` with the prefix `NEXT_PUBLIC_`, except for the secret server key
    Next,
    /// `dotenv` with the prefix `VITE_`
    Vite,
    /// `dotenv` with the prefix `EXPO_PUBLIC_`
    Expo,
    /// JSON object, with the super secret admin key and the config file's settings
    Json,
}

impl From<CredentialsFormat> for Format {
    fn from(format: CredentialsFormat) -> Self {
        match format {
            CredentialsFormat::Env => Self::Env,
            CredentialsFormat::Dotenv => Self::Dotenv,
            CredentialsFormat::Next => Self::Next,
            CredentialsFormat::Vite => Self::Vite,
            CredentialsFormat::Expo => Self::Expo,
            CredentialsFormat::Json => Self::Json,
        }
    }
}
