//! Why something cannot be looked at, or a setting not be accepted.

use std::path::Path;

use failure::{Code, FileError, Remedy};
use record::RecordError;

use crate::config::error::ConfigError;
use crate::fault::by_way_of;
use crate::instance::error::InstanceError;
use crate::logs::LogError;
use crate::logs::watches::WatchError;
use crate::machine::error::MachineError;
use crate::state::error::StateError;

/// Why something cannot be looked at, or a setting not be accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObserveError {
    /// This host or the image does not allow that.
    #[error("cannot give the virtual machine {asked}: {limit}")]
    Limit {
        /// What was asked for.
        asked: String,
        /// What there is.
        limit: String,
    },
    /// The image has no service of that name.
    #[error("the image has no service {service:?}, only {}", known.join(", "))]
    UnknownService {
        /// What was asked for.
        service: String,
        /// The services' identifiers.
        known: Vec<String>,
    },
    /// Changes cannot be watched for.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// A log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The instance cannot be looked at.
    #[error(transparent)]
    Instance(#[from] InstanceError),
}

by_way_of!(
    ObserveError,
    Instance => images::ImageError,
    ConfigError,
    MachineError,
    StateError,
    host::IdentityError,
    RecordError,
    FileError,
);

impl ObserveError {
    /// A stable code for programs.
    pub fn code(&self) -> Code {
        match self {
            Self::Limit { .. } => Code::Setting,
            Self::UnknownService { .. } => Code::PortSetting,
            Self::Watch(_) => Code::Watch,
            Self::Log(error) => error.code(),
            Self::Instance(error) => error.code(),
        }
    }

    /// What to do about it, if anything helps.
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Limit { .. } | Self::UnknownService { .. } => None,
            Self::Watch(error) => error.remedy(),
            Self::Log(error) => error.remedy(),
            Self::Instance(error) => error.remedy(),
        }
    }

    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let failed = FileError::of(action, path);
        move |source| failed(source).into()
    }
}
