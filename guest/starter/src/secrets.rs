//! The four secrets of a start, and `secrets.env`, which says one of them to the cron runner.
//!
//! The database holds all four, and what it has committed is in force. The file follows it: a rotation
//! writes it, and recovery writes it again ([`crate::rotation`]). Server and admin keys are not in there,
//! since nobody would read them.

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
const FILE_NAME: &str = "secrets.env";

/// The four secrets, which only ever change together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secrets {
    /// Publishable client key.
    pub pck: Key,
    /// Secret server key.
    pub ssk: Key,
    /// Super secret admin key.
    pub sak: Key,
    /// Cron secret.
    pub cron: Key,
}

/// Why the cron secret cannot be read from `secrets.env`.
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
    /// The cron secret is not in there.
    #[error("{path} has no {CRON}")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The value is no key.
    #[error("{CRON} in {path} is no secret")]
    Value {
        /// The file.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
}

/// Path of `secrets.env`.
pub fn path(config_dir: &Path) -> PathBuf {
    config_dir.join(FILE_NAME)
}

/// The text of `secrets.env`: what programs in the guest may need to call the backend.
pub fn file_text(secrets: &Secrets) -> Zeroizing<String> {
    Zeroizing::new(format!(
        "{PCK}={}\n{CRON}={}\n",
        secrets.pck.expose(),
        secrets.cron.expose()
    ))
}

/// Reads the cron secret of the moment.
///
/// # Errors
/// [`SecretsError`] names the file and what is wrong with it, without any value.
pub fn read_cron(config_dir: &Path) -> Result<Key, SecretsError> {
    let path = path(config_dir);
    let text = match std::fs::read(&path) {
        Ok(text) => Zeroizing::new(text),
        Err(source) => return Err(SecretsError::Read { path, source }),
    };
    let entries = match env_file::parse(&text) {
        Ok(entries) => entries,
        Err(source) => return Err(SecretsError::Format { path, source }),
    };
    let Some(value) = env_file::find(&entries, CRON) else {
        return Err(SecretsError::Missing { path });
    };
    Key::parse(value.as_bytes()).map_err(|source| SecretsError::Value { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_text_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let key = |digit: &str| Key::parse(digit.repeat(64).as_bytes()).unwrap();
        let secrets = Secrets {
            pck: key("1"),
            ssk: key("2"),
            sak: key("3"),
            cron: key("4"),
        };
        let text = file_text(&secrets);
        assert!(!text.contains(secrets.ssk.expose()) && !text.contains(secrets.sak.expose()));
        std::fs::write(path(dir.path()), text.as_bytes()).unwrap();
        assert_eq!(read_cron(dir.path()).unwrap(), secrets.cron);
    }

    #[test]
    fn errors_never_show_a_value() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["CRON_SECRET=topsecret\n", "topsecret", "CRON=topsecret\n"] {
            std::fs::write(path(dir.path()), text).unwrap();
            let error = crate::report::chain(&read_cron(dir.path()).unwrap_err());
            assert!(
                error.contains("secrets.env") && !error.contains("topsecret"),
                "{error}"
            );
        }
    }
}
