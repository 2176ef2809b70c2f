//! Of which app a command is, and how its credentials are printed.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};
use emulator::credentials::Format;

/// Which app.
#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct ConfigArguments {
    /// Config file of the app
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, default_value = "stack.config.ts")]
    pub config_file: PathBuf,
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
