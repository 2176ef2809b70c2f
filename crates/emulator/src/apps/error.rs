//! Why an app does not get its credentials, its users, its mails or the dashboard.

use std::path::Path;

use failure::{Code, FileError, Remedy};
use record::RecordError;

use super::credentials::CredentialsError;
use super::dashboard::DashboardError;
use super::dotenv::DotenvError;
use super::mail::MailError;
use super::users::UsersError;
use crate::config::paths::FolderError;
use crate::fault::by_way_of;
use crate::instance::error::InstanceError;
use crate::logs::watches::WatchError;
use crate::machine::error::MachineError;
use crate::machine::folders::ShareError;
use crate::vault::VaultError;

/// Why an app does not get its credentials, its users, its mails or the dashboard.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppsError {
    /// The backend gave no credentials.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The backend showed no mails.
    #[error(transparent)]
    Mail(#[from] MailError),
    /// A `.env` file could not be changed.
    #[error(transparent)]
    Dotenv(#[from] DotenvError),
    /// Nothing was done with a user.
    #[error(transparent)]
    Users(#[from] UsersError),
    /// The dashboard cannot be opened.
    #[error(transparent)]
    Dashboard(#[from] DashboardError),
    /// A config file cannot be followed.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// The instance refused or failed.
    #[error(transparent)]
    Instance(#[from] InstanceError),
}

by_way_of!(
    AppsError,
    Instance => ShareError,
    FolderError,
    MachineError,
    VaultError,
    RecordError,
    FileError,
);

impl AppsError {
    /// A stable code for programs.
    pub fn code(&self) -> Code {
        match self {
            Self::Credentials(error) => error.code(),
            Self::Mail(error) => error.code(),
            Self::Dotenv(_) => Code::EnvFile,
            Self::Watch(_) => Code::Watch,
            Self::Users(error) => error.code(),
            Self::Dashboard(error) => error.code(),
            Self::Instance(error) => error.code(),
        }
    }

    /// What to do about it, if anything helps.
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Credentials(error) => error.remedy(),
            Self::Mail(error) => error.remedy(),
            Self::Dotenv(_) => None,
            Self::Watch(error) => error.remedy(),
            Self::Users(error) => error.remedy(),
            Self::Dashboard(error) => error.remedy(),
            Self::Instance(error) => error.remedy(),
        }
    }

    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let failed = FileError::of(action, path);
        move |source| failed(source).into()
    }
}
