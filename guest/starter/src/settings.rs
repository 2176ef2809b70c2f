//! Where everything is: paths, sockets and ports, with the defaults of the image.
//!
//! The environment variables exist so that tests can run the real binaries beside each other; the
//! units in the image set none of them.

use std::{
    env, io,
    path::{Path, PathBuf},
};

use crate::env_file::{self, EnvFileError};

/// Port prefix when the host gave none.
const DEFAULT_PORT_PREFIX: u16 = 81;
/// Port of the mail inbox. Published images have theirs there, too.
const INBOX_PORT: u16 = 9001;
/// Port on the host that leads to the backend, when the host gave none.
const DEFAULT_BACKEND_HOST_PORT: u16 = 26701;
/// Port on the host that leads to the mock OAuth provider, when the host gave none.
const DEFAULT_MOCK_OAUTH_HOST_PORT: u16 = 26704;

/// What a process of the stack needs to know about the machine it runs on.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Folder of `secrets.env`; also what rotations lock. `STACK_CONFIG_DIR`.
    pub config_dir: PathBuf,
    /// The built dashboard. `STACK_DASHBOARD_DIR`.
    pub dashboard_dir: PathBuf,
    /// The dashboard as it was built, with the placeholder in it. `STACK_DASHBOARD_BUILT_DIR`.
    pub dashboard_built_dir: PathBuf,
    /// The backend's control socket. `STACK_CONTROL_SOCKET`.
    pub control_socket: PathBuf,
    /// The page of the mail inbox. `STACK_INBOX_DIR`.
    pub inbox_dir: PathBuf,
    /// Port the mail inbox listens on. `STACK_INBOX_PORT`.
    pub inbox_port: u16,
    /// Root under which folders of the host are mounted. `STACK_HOST_ROOT`.
    pub host_root: PathBuf,
    /// How to reach Postgres, as a libpq connection string. `STACK_DATABASE`.
    pub database: String,
    /// Ports, from `runtime.env` (`STACK_RUNTIME_ENV`).
    pub ports: Ports,
    /// What the host said of ports since. `STACK_MOVED_PORTS_DIR`.
    pub moved_ports: MovedPorts,
}

/// The ports that the host told the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    prefix: u16,
    /// Where a browser on the host finds the backend.
    pub backend_on_host: u16,
    /// Where a browser on the host finds the mock OAuth provider.
    pub mock_oauth_on_host: u16,
}

impl Ports {
    /// Port the dashboard listens on: `<P>01`.
    pub fn dashboard(self) -> u16 {
        self.prefix * 100 + 1
    }

    /// Port the backend listens on: `<P>02`.
    pub fn backend(self) -> u16 {
        self.prefix * 100 + 2
    }

    /// Port the mock OAuth provider listens on: `<P>14`.
    pub fn mock_oauth(self) -> u16 {
        self.prefix * 100 + 14
    }

    /// Takes the ports from the text of a `runtime.env`.
    ///
    /// # Errors
    /// [`PortsError`] when a line or a value is wrong. A variable that is absent or empty means its
    /// default.
    pub fn parse(runtime_env: &[u8]) -> Result<Self, PortsError> {
        let entries = env_file::parse(runtime_env)?;
        let number = |name: &'static str, default, max: u16| match env_file::find(&entries, name) {
            None | Some("") => Ok(default),
            Some(value) => value
                .parse()
                .ok()
                .filter(|number| (1..=max).contains(number))
                .ok_or_else(|| PortsError::Value {
                    name,
                    value: value.to_owned(),
                    max,
                }),
        };
        Ok(Self {
            prefix: number("STACK_EMULATOR_PORT_PREFIX", DEFAULT_PORT_PREFIX, 655)?,
            backend_on_host: number(
                "STACK_EMULATOR_BACKEND_HOST_PORT",
                DEFAULT_BACKEND_HOST_PORT,
                u16::MAX,
            )?,
            mock_oauth_on_host: number(
                "STACK_EMULATOR_MOCK_OAUTH_HOST_PORT",
                DEFAULT_MOCK_OAUTH_HOST_PORT,
                u16::MAX,
            )?,
        })
    }
}

/// Ports on the host that are others than `runtime.env` says: a machine that was cloned has been told
/// those of its source. One small file for each service, in memory, since a boot reads `runtime.env`.
#[derive(Debug, Clone)]
pub struct MovedPorts(PathBuf);

impl MovedPorts {
    /// The port that leads to `service`, if it is another one now.
    pub fn of(&self, service: &str) -> Option<u16> {
        let text = std::fs::read_to_string(self.0.join(service)).ok()?;
        text.trim_end().parse().ok()
    }

    /// Notes that `port` leads to `service`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn note(&self, service: &str, port: u16) -> io::Result<()> {
        std::fs::create_dir_all(&self.0)?;
        // No name of a service ends like this. Whoever reads sees one port or the other.
        let beside = self.0.join(format!("{service}.new"));
        std::fs::write(&beside, format!("{port}\n"))?;
        std::fs::rename(&beside, self.0.join(service))
    }
}

/// Why the ports could not be taken from `runtime.env`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortsError {
    /// The file is not a list of `NAME=value`.
    #[error("the file is not a list of NAME=value")]
    File(#[from] EnvFileError),
    /// A value is not a number in range.
    #[error("{name} is {value:?}, but must be a number from 1 to {max}")]
    Value {
        /// The variable.
        name: &'static str,
        /// What it held; ports are not secret.
        value: String,
        /// The largest number allowed.
        max: u16,
    },
}

/// Why the settings could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// `runtime.env` is there but cannot be read.
    #[error("cannot read {path}; is the STACKCFG disk damaged?")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A variable of the environment is no port.
    #[error("{variable} is {value:?}, but must be a port")]
    Port {
        /// The variable.
        variable: &'static str,
        /// What it holds.
        value: String,
    },
    /// `runtime.env` makes no sense.
    #[error("{path} is not usable; restart the emulator so that the host writes it anew")]
    Ports {
        /// The file.
        path: PathBuf,
        /// Why.
        source: PortsError,
    },
}

impl Settings {
    /// Reads the environment and `runtime.env`. A missing `runtime.env` means the defaults, so that
    /// the image also runs without a STACKCFG disk.
    ///
    /// # Errors
    /// [`SettingsError`] when `runtime.env` is there but unreadable or wrong, or a variable is.
    pub fn load() -> Result<Self, SettingsError> {
        let path = path_from("STACK_RUNTIME_ENV", "/run/stack/config/runtime.env");
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(SettingsError::Read { path, source }),
        };
        let ports = Ports::parse(&text).map_err(|source| SettingsError::Ports { path, source })?;
        let inbox_port = port_from("STACK_INBOX_PORT", INBOX_PORT)?;
        Ok(Self {
            inbox_port,
            ..Self::with_ports(ports)
        })
    }

    /// The paths alone, with default ports: what rotation needs, which never looks at a port.
    pub fn paths_only() -> Self {
        Self::with_ports(Ports {
            prefix: DEFAULT_PORT_PREFIX,
            backend_on_host: DEFAULT_BACKEND_HOST_PORT,
            mock_oauth_on_host: DEFAULT_MOCK_OAUTH_HOST_PORT,
        })
    }

    fn with_ports(ports: Ports) -> Self {
        Self {
            config_dir: path_from("STACK_CONFIG_DIR", "/etc/stack"),
            dashboard_dir: path_from("STACK_DASHBOARD_DIR", "/opt/stack/dashboard"),
            dashboard_built_dir: path_from(
                "STACK_DASHBOARD_BUILT_DIR",
                "/usr/local/share/stack/dashboard",
            ),
            control_socket: path_from("STACK_CONTROL_SOCKET", "/run/stack-backend/control.sock"),
            inbox_dir: path_from("STACK_INBOX_DIR", "/opt/stack/inbox"),
            inbox_port: INBOX_PORT,
            host_root: path_from("STACK_HOST_ROOT", "/host"),
            database: env::var("STACK_DATABASE")
                .unwrap_or_else(|_| "host=/run/postgresql user=stack dbname=stack".to_owned()),
            ports,
            moved_ports: MovedPorts(path_from("STACK_MOVED_PORTS_DIR", "/run/stack/ports")),
        }
    }
}

fn path_from(variable: &str, default: &str) -> PathBuf {
    env::var_os(variable).map_or_else(|| Path::new(default).to_owned(), PathBuf::from)
}

fn port_from(variable: &'static str, default: u16) -> Result<u16, SettingsError> {
    let Some(value) = env::var_os(variable) else {
        return Ok(default);
    };
    let value = value.to_string_lossy();
    let port = value.parse().ok().filter(|port| *port != 0);
    port.ok_or_else(|| SettingsError::Port {
        variable,
        value: value.into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_hold_without_the_file() {
        let ports = Ports::parse(b"").unwrap();
        assert_eq!((ports.dashboard(), ports.backend()), (8101, 8102));
        assert_eq!(ports.backend_on_host, 26701);
        assert_eq!(
            (ports.mock_oauth(), ports.mock_oauth_on_host),
            (8114, 26704)
        );
    }

    #[test]
    fn values_of_the_host_win() {
        let ports = Ports::parse(
            b"STACK_EMULATOR_PORT_PREFIX=92\nSTACK_EMULATOR_BACKEND_HOST_PORT=4000\nSTACK_EMULATOR_VM_DIR_HOST=\n",
        )
        .unwrap();
        assert_eq!((ports.dashboard(), ports.backend()), (9201, 9202));
        assert_eq!(ports.backend_on_host, 4000);
    }

    #[test]
    fn the_last_word_of_the_host_counts() {
        let dir = tempfile::tempdir().unwrap();
        let ports = MovedPorts(dir.path().join("ports"));
        assert_eq!(ports.of("backend"), None);
        ports.note("backend", 26721).unwrap();
        ports.note("backend", 26741).unwrap();
        assert_eq!(
            (ports.of("backend"), ports.of("dashboard")),
            (Some(26741), None)
        );
    }

    #[test]
    fn a_wrong_value_is_named() {
        for (text, value) in [
            ("STACK_EMULATOR_PORT_PREFIX=656", "656"),
            ("STACK_EMULATOR_PORT_PREFIX=x", "x"),
            ("STACK_EMULATOR_PORT_PREFIX=0", "0"),
        ] {
            let error = Ports::parse(text.as_bytes()).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "STACK_EMULATOR_PORT_PREFIX is {value:?}, but must be a number from 1 to 655"
                )
            );
        }
    }
}
