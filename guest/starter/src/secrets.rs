//! `secrets.env`: the cron secret, and the publishable key that tells which rotation it belongs to.
//!
//! A rotation replaces this file and the keys in the database, two places that no file system or
//! database can change in one step. So the database decides: while a rotation is under way, or after
//! one was cut short, a second file lies beside the first ([`ROTATING_SUFFIX`]), and the one whose PCK
//! the database holds is in force. That makes the database's commit the one moment at which all four
//! secrets change.
//!
//! Server and admin keys are not in here: nobody reads them but the database.

use std::{
    io,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::{
    env_file::{self, EnvFileError},
    key::{Key, KeyError},
};

/// Variable of the publishable client key.
pub const PCK: &str = "STACK_SEED_INTERNAL_PROJECT_PUBLISHABLE_CLIENT_KEY";
/// Variable of the secret server key.
pub const SSK: &str = "STACK_SEED_INTERNAL_PROJECT_SECRET_SERVER_KEY";
/// Variable of the super secret admin key.
pub const SAK: &str = "STACK_SEED_INTERNAL_PROJECT_SUPER_SECRET_ADMIN_KEY";
/// Variable of the secret that cron endpoints demand.
pub const CRON: &str = "CRON_SECRET";

/// The file's name in the configuration folder.
pub const FILE_NAME: &str = "secrets.env";
/// What the other half of an unfinished rotation has behind its name.
pub const ROTATING_SUFFIX: &str = ".rotating";

/// What `secrets.env` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secrets {
    /// The publishable client key of the rotation that wrote the file.
    pub pck: Key,
    /// The secret for cron endpoints.
    pub cron: Key,
}

/// Why `secrets.env` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no list of `NAME=value`.
    #[error("{path} is not a list of secrets")]
    Format {
        /// The file.
        path: PathBuf,
        /// Why.
        source: EnvFileError,
    },
    /// A variable is not there.
    #[error("{path} has no {name}")]
    Missing {
        /// The file.
        path: PathBuf,
        /// The variable.
        name: &'static str,
    },
    /// A variable's value is no key.
    #[error("{name} in {path} is no secret")]
    Value {
        /// The file.
        path: PathBuf,
        /// The variable.
        name: &'static str,
        /// Why.
        source: KeyError,
    },
}

impl Secrets {
    /// Reads a `secrets.env`.
    ///
    /// # Errors
    /// [`SecretsError`] names the file and what is wrong with it.
    pub fn read(path: &Path) -> Result<Self, SecretsError> {
        let text = std::fs::read(path).map_err(|source| SecretsError::Read {
            path: path.to_owned(),
            source,
        })?;
        let text = Zeroizing::new(text);
        let entries = env_file::parse(&text).map_err(|source| SecretsError::Format {
            path: path.to_owned(),
            source,
        })?;
        let key = |name| {
            let value = env_file::find(&entries, name).ok_or(SecretsError::Missing {
                path: path.to_owned(),
                name,
            })?;
            Key::parse(value.as_bytes()).map_err(|source| SecretsError::Value {
                path: path.to_owned(),
                name,
                source,
            })
        };
        Ok(Self {
            pck: key(PCK)?,
            cron: key(CRON)?,
        })
    }

    /// Reads the file of an unfinished rotation, if there is one. One that was cut short while it was
    /// being written counts as none: the database cannot have committed what it announces.
    ///
    /// # Errors
    /// [`SecretsError::Read`] when it is there but unreadable.
    pub fn read_rotating(config_dir: &Path) -> Result<Option<Self>, SecretsError> {
        match Self::read(&rotating_path(config_dir)) {
            Ok(secrets) => Ok(Some(secrets)),
            Err(SecretsError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            Err(error @ SecretsError::Read { .. }) => Err(error),
            Err(
                SecretsError::Format { .. }
                | SecretsError::Missing { .. }
                | SecretsError::Value { .. },
            ) => Ok(None),
        }
    }

    /// The file's text.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!(
            "{PCK}={}\n{CRON}={}\n",
            self.pck.expose(),
            self.cron.expose()
        ))
    }
}

/// Path of `secrets.env`.
pub fn path(config_dir: &Path) -> PathBuf {
    config_dir.join(FILE_NAME)
}

/// Path of its other half while a rotation is unfinished.
pub fn rotating_path(config_dir: &Path) -> PathBuf {
    config_dir.join(format!("{FILE_NAME}{ROTATING_SUFFIX}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(digit: char) -> Key {
        Key::parse(digit.to_string().repeat(64).as_bytes()).unwrap()
    }

    #[test]
    fn written_text_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = Secrets {
            pck: key('1'),
            cron: key('2'),
        };
        std::fs::write(path(dir.path()), secrets.to_text().as_bytes()).unwrap();
        assert_eq!(Secrets::read(&path(dir.path())).unwrap(), secrets);
        assert_eq!(Secrets::read_rotating(dir.path()).unwrap(), None);
    }

    #[test]
    fn errors_never_show_a_value() {
        let dir = tempfile::tempdir().unwrap();
        let path = path(dir.path());
        std::fs::write(&path, format!("{PCK}=topsecret\n{CRON}=x\n")).unwrap();
        let error = Secrets::read(&path).unwrap_err().to_string();
        assert!(
            error.contains(PCK) && !error.contains("topsecret"),
            "{error}"
        );
    }

    #[test]
    fn a_half_written_announcement_counts_as_none() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(rotating_path(dir.path()), format!("{PCK}=0123")).unwrap();
        assert_eq!(Secrets::read_rotating(dir.path()).unwrap(), None);
    }
}
