//! Every environment variable that the engine reads, and nothing else does.
//!
//! The names are the contract's. An invalid value is an error that names the
//! variable and the value; nothing falls back to a default silently.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Folder that holds everything the emulator keeps; `~/.stack/emulator` if unset.
pub const HOME: &str = "STACK_EMULATOR_HOME";
/// Guest memory in MiB.
pub const RAM: &str = "EMULATOR_RAM";
/// Number of virtual CPUs.
pub const CPUS: &str = "EMULATOR_CPUS";
/// Limit in seconds for a guest to become ready.
pub const READY_TIMEOUT: &str = "EMULATOR_READY_TIMEOUT";
/// `1` boots cold, whatever snapshot there is.
pub const NO_SNAPSHOT: &str = "EMULATOR_NO_SNAPSHOT";
/// `1` keeps the placeholder secrets.
pub const NO_ROTATION: &str = "EMULATOR_NO_ROTATION";
/// `1` captures anew before a start.
pub const FORCE_CAPTURE: &str = "EMULATOR_FORCE_CAPTURE";
/// Guest architecture, `amd64` or `arm64`.
pub const ARCH: &str = "EMULATOR_ARCH";
/// Port prefix of the services inside the guest.
pub const PORT_PREFIX: &str = "PORT_PREFIX";
/// The same, as the apps that talk to the guest spell it.
pub const PUBLIC_PORT_PREFIX: &str = "NEXT_PUBLIC_STACK_PORT_PREFIX";
/// Path of the QEMU binary to use instead of the one on the `PATH`.
pub const QEMU: &str = "STACK_EMULATOR_QEMU";
/// Accelerator to use instead of the one that the probe finds.
pub const ACCELERATOR: &str = "STACK_EMULATOR_ACCELERATOR";
/// Token for GitHub, which a workflow's artifacts need.
pub const GITHUB_TOKEN: &str = "GITHUB_TOKEN";
/// Base of GitHub's REST API, for mirrors.
pub const GITHUB_API: &str = "STACK_EMULATOR_GITHUB_API";

const DEFAULT_RAM_MIB: u32 = 4096;
const DEFAULT_PORT_PREFIX: u16 = 81;
/// Cold boots of the real backend take up to two minutes under software
/// emulation; this leaves room for a busy machine.
const DEFAULT_READY_TIMEOUT: Duration = Duration::from_secs(300);
/// More virtual CPUs than this do not make a start faster, measured.
const MOST_DEFAULT_CPUS: usize = 4;

/// The environment, as the engine understands it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Folder that holds everything the emulator keeps.
    pub home: PathBuf,
    /// The user's home folder, if there is one: never shared with the guest.
    pub user_home: Option<PathBuf>,
    /// Guest memory in MiB.
    pub ram_mib: u32,
    /// Number of virtual CPUs.
    pub vcpus: u16,
    /// Limit for a guest to become ready.
    pub ready_timeout: Duration,
    /// Boot cold, whatever snapshot there is.
    pub no_snapshot: bool,
    /// Keep the placeholder secrets.
    pub no_rotation: bool,
    /// Capture anew before a start.
    pub force_capture: bool,
    /// Guest architecture.
    pub arch: qemu::Arch,
    /// Port prefix of the services inside the guest.
    pub port_prefix: u16,
    /// Host ports that the user set, by variable name.
    pub ports: BTreeMap<String, u16>,
    /// The QEMU binary to use instead of the one on the `PATH`.
    pub qemu: Option<PathBuf>,
    /// The accelerator to use instead of the one that the probe finds.
    pub accelerator: Option<qemu::Accelerator>,
    /// Token for GitHub.
    pub github_token: Option<images::Token>,
    /// Base of GitHub's REST API, if it is not GitHub's own.
    pub github_api: Option<images::Url>,
}

/// A variable whose value cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SettingsError {
    /// The value is not of the variable's kind.
    #[error("{variable}={value:?} is not {expected}; set it right or unset it")]
    Invalid {
        /// The variable.
        variable: String,
        /// Its value.
        value: String,
        /// What would be valid.
        expected: &'static str,
    },
    /// A secret is none; its value is not repeated here.
    #[error("{variable} is set to something that cannot be a token; set it right or unset it")]
    InvalidSecret {
        /// The variable.
        variable: &'static str,
    },
    /// No home folder to put the emulator's folder in.
    #[error("neither {HOME} nor HOME is set; set {HOME} to a folder of yours")]
    NoHome,
}

impl Settings {
    /// Reads the process environment.
    pub fn from_environment() -> Result<Self, SettingsError> {
        Self::from_variables(std::env::vars_os())
    }

    /// Reads the given variables.
    pub fn from_variables(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, SettingsError> {
        let variables: BTreeMap<String, OsString> = variables
            .into_iter()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .collect();
        let source = Variables(&variables);
        let home = match source.raw(HOME) {
            Some(home) => PathBuf::from(home),
            None => PathBuf::from(source.raw("HOME").ok_or(SettingsError::NoHome)?)
                .join(".stack/emulator"),
        };
        if !home.is_absolute() {
            return Err(source.invalid(HOME, "an absolute path"));
        }
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let default_vcpus = u16::try_from(cores.min(MOST_DEFAULT_CPUS)).unwrap_or(1);
        // The apps' own variable is heeded only where the general one is unset.
        let prefix = if source.raw(PORT_PREFIX).is_some() {
            PORT_PREFIX
        } else {
            PUBLIC_PORT_PREFIX
        };
        let mut ports = BTreeMap::new();
        for name in variables.keys() {
            if name.starts_with("EMULATOR_") && name.ends_with("_PORT") {
                let expected = "a port between 1024 and 65535";
                if let Some(port) = source.number(name, 1024..=65535, expected)? {
                    ports.insert(name.clone(), port);
                }
            }
        }
        Ok(Self {
            home,
            user_home: source.raw("HOME").map(PathBuf::from),
            ram_mib: source
                .number(
                    RAM,
                    256..=1_048_576,
                    "a number of MiB between 256 and 1048576",
                )?
                .unwrap_or(DEFAULT_RAM_MIB),
            vcpus: source
                .number(CPUS, 1..=64, "a number of CPUs between 1 and 64")?
                .unwrap_or(default_vcpus),
            ready_timeout: source
                .number(
                    READY_TIMEOUT,
                    1..=86_400,
                    "a number of seconds between 1 and 86400",
                )?
                .map_or(DEFAULT_READY_TIMEOUT, Duration::from_secs),
            no_snapshot: source.flag(NO_SNAPSHOT)?,
            no_rotation: source.flag(NO_ROTATION)?,
            force_capture: source.flag(FORCE_CAPTURE)?,
            arch: match source.raw(ARCH) {
                None => qemu::Arch::host().ok_or_else(|| {
                    source.invalid(ARCH, "set, and this machine is neither amd64 nor arm64")
                })?,
                Some(text) => text
                    .to_str()
                    .and_then(|text| text.parse().ok())
                    .ok_or_else(|| source.invalid(ARCH, "amd64 or arm64"))?,
            },
            port_prefix: source
                .number(prefix, 11..=654, "a port prefix between 11 and 654")?
                .unwrap_or(DEFAULT_PORT_PREFIX),
            ports,
            qemu: source.raw(QEMU).map(PathBuf::from),
            accelerator: match source.raw(ACCELERATOR) {
                None => None,
                Some(text) => Some(
                    text.to_str()
                        .and_then(|text| text.parse().ok())
                        .ok_or_else(|| source.invalid(ACCELERATOR, "kvm, hvf or tcg"))?,
                ),
            },
            github_token: match source.raw(GITHUB_TOKEN) {
                None => None,
                Some(text) => {
                    let token = text.to_str().map(ToOwned::to_owned);
                    let token = token.and_then(images::Token::new);
                    Some(token.ok_or(SettingsError::InvalidSecret {
                        variable: GITHUB_TOKEN,
                    })?)
                }
            },
            github_api: match source.raw(GITHUB_API) {
                None => None,
                Some(text) => Some(
                    text.to_str()
                        .and_then(|text| images::Url::parse(text).ok())
                        .filter(|url| matches!(url.scheme(), "http" | "https"))
                        .ok_or_else(|| source.invalid(GITHUB_API, "an http or https address"))?,
                ),
            },
        })
    }
}

struct Variables<'a>(&'a BTreeMap<String, OsString>);

impl Variables<'_> {
    /// An empty value counts as unset, as shells have no other way to say it
    /// for a single command.
    fn raw(&self, name: &str) -> Option<&OsString> {
        self.0.get(name).filter(|value| !value.is_empty())
    }

    fn invalid(&self, name: &str, expected: &'static str) -> SettingsError {
        let value = self
            .raw(name)
            .map_or_else(String::new, |value| value.to_string_lossy().into_owned());
        SettingsError::Invalid {
            variable: name.to_owned(),
            value,
            expected,
        }
    }

    fn number<T: TryFrom<u64>>(
        &self,
        name: &str,
        range: std::ops::RangeInclusive<u64>,
        expected: &'static str,
    ) -> Result<Option<T>, SettingsError> {
        let Some(value) = self.raw(name) else {
            return Ok(None);
        };
        value
            .to_str()
            .and_then(|text| text.parse().ok())
            .filter(|number| range.contains(number))
            .and_then(|number| T::try_from(number).ok())
            .map(Some)
            .ok_or_else(|| self.invalid(name, expected))
    }

    fn flag(&self, name: &str) -> Result<bool, SettingsError> {
        match self.raw(name).map(|value| value.to_str()) {
            None | Some(Some("0" | "false")) => Ok(false),
            Some(Some("1" | "true")) => Ok(true),
            Some(_) => Err(self.invalid(name, "0 or 1")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let home = [("HOME", "/home/ada")];
        Settings::from_variables(
            home.iter()
                .chain(pairs)
                .map(|(name, value)| (OsString::from(name), OsString::from(value))),
        )
    }

    #[test]
    fn defaults_are_the_contract_s() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.home, PathBuf::from("/home/ada/.stack/emulator"));
        assert_eq!((settings.ram_mib, settings.port_prefix), (4096, 81));
        assert!((1..=4).contains(&settings.vcpus));
        assert!(settings.ports.is_empty() && !settings.no_rotation);
    }

    #[test]
    fn every_invalid_value_is_named() {
        for (name, value) in [
            (RAM, "lots"),
            (RAM, "12"),
            (RAM, "-1"),
            (CPUS, "0"),
            (CPUS, "65"),
            (READY_TIMEOUT, "0"),
            (NO_SNAPSHOT, "yes please"),
            (NO_ROTATION, "2"),
            (FORCE_CAPTURE, "on"),
            (ARCH, "mips"),
            (PORT_PREFIX, "9999"),
            (PUBLIC_PORT_PREFIX, "x"),
            ("EMULATOR_BACKEND_PORT", "80"),
            ("EMULATOR_DASHBOARD_PORT", "65536"),
            (HOME, "relative"),
            (ACCELERATOR, "warp"),
            (GITHUB_API, "ftp://mirror"),
            (GITHUB_API, "mirror"),
        ] {
            let error = read(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(value), "{error}");
        }
    }

    #[test]
    fn a_token_is_in_no_message() {
        let error = read(&[(GITHUB_TOKEN, "sesame open")]).unwrap_err();
        assert!(error.to_string().contains(GITHUB_TOKEN), "{error}");
        assert!(!format!("{error} {error:?}").contains("sesame"));
        let settings = read(&[(GITHUB_TOKEN, "sesame")]).unwrap();
        assert!(settings.github_token.is_some());
        assert!(!format!("{settings:?}").contains("sesame"));
    }

    #[test]
    fn values_are_taken() {
        let settings = read(&[
            (RAM, "2048"),
            (CPUS, "3"),
            (NO_ROTATION, "1"),
            ("EMULATOR_BACKEND_PORT", "30001"),
            (PUBLIC_PORT_PREFIX, "92"),
            (READY_TIMEOUT, "7"),
            (NO_SNAPSHOT, ""),
        ])
        .unwrap();
        assert_eq!(
            (settings.ram_mib, settings.vcpus, settings.port_prefix),
            (2048, 3, 92)
        );
        assert_eq!(settings.ports["EMULATOR_BACKEND_PORT"], 30001);
        assert_eq!(settings.ready_timeout, Duration::from_secs(7));
        assert!(settings.no_rotation && !settings.no_snapshot);
    }

    #[test]
    fn the_general_port_prefix_wins() {
        assert_eq!(
            read(&[(PORT_PREFIX, "70"), (PUBLIC_PORT_PREFIX, "92")])
                .unwrap()
                .port_prefix,
            70
        );
    }
}
