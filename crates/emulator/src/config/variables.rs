//! Every environment variable that the engine reads, and nothing else does.
//!
//! The names are the contract's. An invalid value is an error that names the
//! variable and the value; nothing falls back to a default silently. It is the
//! error of the commands that it matters to: a user who wants to stop a machine or
//! look at it is told, and not kept from it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use images::Image;
use images::manifest::RAM_MIB_RANGE;

use super::twins;
use super::values::{OrNote as _, Variables};
use crate::config::network::NetworkChoice;
use crate::config::preferences::{Ahead, Preferences};
use crate::config::updates::Updates;

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
/// How much of the next start is done ahead of it, `off`, `disk` or `memory`.
pub const AHEAD: &str = "STACK_EMULATOR_AHEAD";
/// Whom the guest can connect to, `by-image`, `closed` or `open`.
pub const NETWORK: &str = "STACK_EMULATOR_NETWORK";
/// Where newer releases of this program are looked for, `owner/name`, or `off`.
pub const UPDATES: &str = "STACK_EMULATOR_UPDATES";
/// Set where nobody waits for a next start; by CI services.
pub(crate) const CI: &str = "CI";
/// `1` captures anew before a start.
pub const FORCE_CAPTURE: &str = "EMULATOR_FORCE_CAPTURE";
/// Guest architecture, `amd64` or `arm64`.
pub const ARCH: &str = "EMULATOR_ARCH";
/// Port prefix of the services inside the guest.
pub const PORT_PREFIX: &str = "PORT_PREFIX";
/// The same, as the apps that talk to the guest spell it.
pub const PUBLIC_PORT_PREFIX: &str = "NEXT_PUBLIC_STACK_PORT_PREFIX";
/// The newer name of that.
pub const HEXCLAVE_PUBLIC_PORT_PREFIX: &str = "NEXT_PUBLIC_HEXCLAVE_PORT_PREFIX";
/// Path of the QEMU binary to use instead of the one on the `PATH`.
pub const QEMU: &str = "STACK_EMULATOR_QEMU";
/// Accelerator to use instead of the one that the probe finds.
pub const ACCELERATOR: &str = "STACK_EMULATOR_ACCELERATOR";
/// Token for GitHub, which a workflow's artifacts need.
pub const GITHUB_TOKEN: &str = "GITHUB_TOKEN";
/// Folder of the user's sockets, which systems set. macOS has one for all that is temporary.
pub(crate) const RUNTIME_FOLDER: &str = if cfg!(target_os = "macos") {
    "TMPDIR"
} else {
    "XDG_RUNTIME_DIR"
};
/// Base of GitHub's REST API, for mirrors.
pub const GITHUB_API: &str = "STACK_EMULATOR_GITHUB_API";

/// What guest memory can be set to, in MiB.
pub(crate) const RAM_RANGE: RangeInclusive<u64> =
    *RAM_MIB_RANGE.start() as u64..=*RAM_MIB_RANGE.end() as u64;
/// What the number of virtual CPUs can be set to.
pub(crate) const VCPU_RANGE: RangeInclusive<u64> = 1..=64;
/// What a host port can be set to: those below need privileges.
pub(crate) const PORT_RANGE: RangeInclusive<u64> = 1024..=65535;

/// Guest memory in MiB for images that do not say what they want.
pub(crate) const DEFAULT_RAM_MIB: u32 = 4096;
const DEFAULT_PORT_PREFIX: u16 = 81;
/// Cold boots of the real backend take up to two minutes under software
/// emulation; this leaves room for a busy machine.
const DEFAULT_READY_TIMEOUT: Duration = Duration::from_secs(300);
/// More virtual CPUs than this do not make a start faster, measured.
const MOST_DEFAULT_CPUS: usize = 4;

/// What operations go by: the environment, and where that says nothing the
/// user's [`Preferences`].
#[derive(Clone, Debug)]
pub struct Settings {
    /// Folder that holds everything the emulator keeps.
    pub home: PathBuf,
    /// The user's home folder, if there is one: never shared with the guest.
    pub user_home: Option<PathBuf>,
    /// Guest memory in MiB; `None`: what the image wants, see [`Self::ram_for`].
    pub ram_mib: Option<u32>,
    /// Number of virtual CPUs.
    pub vcpus: u16,
    /// Limit for a guest to become ready.
    pub ready_timeout: Duration,
    /// Boot cold, whatever snapshot there is.
    pub no_snapshot: bool,
    /// Keep the placeholder secrets.
    pub no_rotation: bool,
    /// How much of the next start is done ahead of it.
    pub ahead: Ahead,
    /// That where the user prefers nothing.
    default_ahead: Ahead,
    /// Whom the guest can connect to.
    pub network: NetworkChoice,
    /// Where newer releases of this program are looked for.
    pub updates: Updates,
    /// That where the user prefers nothing.
    default_updates: Updates,
    /// Capture anew before a start.
    pub force_capture: bool,
    /// Guest architecture.
    pub arch: host::Arch,
    /// Port prefix of the services inside the guest.
    pub port_prefix: u16,
    /// Host ports that the environment sets, by the older of a variable's two names.
    pub ports: BTreeMap<String, u16>,
    /// Host ports that the user prefers, by the service's identifier.
    pub preferred_ports: BTreeMap<String, u16>,
    /// The variables that are set, of those that a preference could stand for.
    pub overrides: BTreeSet<String>,
    /// The variables whose values cannot be used. The defaults are in their places, for commands
    /// that they do not matter to; all others call [`Self::refuse_invalid`] first.
    pub invalid: Vec<SettingsError>,
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
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SettingsError {
    /// The value is not of the variable's kind.
    #[error("invalid {variable}={value:?}: expected {expected}; correct or unset it")]
    Invalid {
        /// The variable.
        variable: String,
        /// Its value.
        value: String,
        /// What would be valid.
        expected: &'static str,
    },
    /// A variable is set by both of its names, to different values.
    #[error(
        "{}={:?} and {}={:?} are one setting with two values; unset one of them",
        names[0], values[0], names[1], values[1]
    )]
    Differ {
        /// Its names, the newer first.
        names: [String; 2],
        /// Their values.
        values: [String; 2],
    },
    /// A secret's value is not valid, and is not repeated here.
    #[error("the value of {variable} is not a GitHub token; correct or unset it")]
    InvalidSecret {
        /// The variable.
        variable: &'static str,
    },
    /// No home folder to put the emulator's folder in.
    #[error("neither {HOME} nor HOME is set; set {HOME} to a folder")]
    NoHome,
}

impl Settings {
    /// Reads the process environment.
    pub fn from_environment() -> Result<Self, SettingsError> {
        Self::from_variables(std::env::vars_os())
    }

    /// Reads the given variables. An error only where there is no home folder by them.
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
        let mut invalid = Vec::new();
        let ports = twins::ports(&source, &mut invalid);
        let set = |name: &&str| source.raw(name).is_some();
        let default_ahead = match source.raw(CI) {
            Some(_) => Ahead::Off,
            None => Ahead::Disk,
        };
        let overrides = [RAM, CPUS, NO_ROTATION, AHEAD, NETWORK, UPDATES]
            .into_iter()
            .filter(set)
            .map(ToOwned::to_owned)
            .chain(twins::port_variables(&source, &ports))
            .collect();
        let default_updates = match source.raw(CI) {
            Some(_) => Updates::Off,
            None => Updates::OfThisRelease,
        };
        let invalid = &mut invalid;
        let settings = Self {
            overrides,
            preferred_ports: BTreeMap::new(),
            home,
            user_home: source.raw("HOME").map(PathBuf::from),
            ram_mib: source
                .number(RAM, RAM_RANGE, "a number of MiB from 256 to 1048576")
                .or_note(invalid),
            vcpus: source
                .number(CPUS, VCPU_RANGE, "a number of CPUs from 1 to 64")
                .or_note(invalid)
                .unwrap_or_else(default_vcpus),
            ready_timeout: source
                .number(
                    READY_TIMEOUT,
                    1..=86_400,
                    "a number of seconds from 1 to 86400",
                )
                .or_note(invalid)
                .map_or(DEFAULT_READY_TIMEOUT, Duration::from_secs),
            no_snapshot: source.flag(NO_SNAPSHOT).or_note(invalid),
            no_rotation: source.flag(NO_ROTATION).or_note(invalid),
            ahead: source
                .named(AHEAD, "off, disk or memory", Ahead::from_name)
                .or_note(invalid)
                .unwrap_or(default_ahead),
            default_ahead,
            network: source
                .named(
                    NETWORK,
                    "by-image, closed or open",
                    NetworkChoice::from_name,
                )
                .or_note(invalid)
                .unwrap_or_default(),
            updates: source
                .named(
                    UPDATES,
                    "off, or a repository as owner/name",
                    Updates::from_text,
                )
                .or_note(invalid)
                .unwrap_or_else(|| default_updates.clone()),
            default_updates,
            force_capture: source.flag(FORCE_CAPTURE).or_note(invalid),
            arch: match (
                source
                    .named(ARCH, "amd64 or arm64", |text| text.parse().ok())
                    .or_note(invalid),
                host::Arch::host(),
            ) {
                (Some(arch), _) | (None, Some(arch)) => arch,
                (None, None) => {
                    let expected = "set, and this machine is neither amd64 nor arm64";
                    return Err(source.invalid(ARCH, expected));
                }
            },
            port_prefix: twins::port_prefix(&source)
                .and_then(|name| source.number(name, 11..=654, "a port prefix from 11 to 654"))
                .or_note(invalid)
                .unwrap_or(DEFAULT_PORT_PREFIX),
            ports,
            qemu: source.raw(QEMU).map(PathBuf::from),
            accelerator: source
                .named(ACCELERATOR, "kvm, hvf or tcg", |text| text.parse().ok())
                .or_note(invalid),
            github_token: source
                .named(GITHUB_TOKEN, "", |text| images::Token::new(text.to_owned()))
                .map_err(|_| SettingsError::InvalidSecret {
                    variable: GITHUB_TOKEN,
                })
                .or_note(invalid),
            github_api: source
                .named(GITHUB_API, "an http or https address", |text| {
                    let url = images::Url::parse(text).ok();
                    url.filter(|url| matches!(url.scheme(), "http" | "https"))
                })
                .or_note(invalid),
            invalid: Vec::new(),
        };
        Ok(Self {
            invalid: std::mem::take(invalid),
            ..settings
        })
    }

    /// Refuses to go by these settings if a variable has a value that cannot be used.
    ///
    /// # Errors
    ///
    /// The first such variable.
    pub fn refuse_invalid(&self) -> Result<(), SettingsError> {
        self.invalid
            .first()
            .map_or(Ok(()), |error| Err(error.clone()))
    }

    /// The same with what the user prefers wherever the environment says
    /// nothing. May be called again with other preferences.
    #[must_use]
    pub fn with_preferences(mut self, preferences: &Preferences) -> Self {
        let free = |variable: &str| !self.overrides.contains(variable);
        let (ram, cpus, rotation) = (free(RAM), free(CPUS), free(NO_ROTATION));
        let (ahead, network, updates) = (free(AHEAD), free(NETWORK), free(UPDATES));
        if ram {
            self.ram_mib = preferences.ram_mib;
        }
        if cpus {
            self.vcpus = preferences.vcpus.unwrap_or_else(default_vcpus);
        }
        if rotation {
            self.no_rotation = preferences.no_rotation;
        }
        if ahead {
            self.ahead = preferences.ahead.unwrap_or(self.default_ahead);
        }
        if network {
            self.network = preferences.network.unwrap_or_default();
        }
        if updates {
            self.updates = match preferences.updates {
                Some(false) => Updates::Off,
                Some(true) | None => self.default_updates.clone(),
            };
        }
        // A variable goes before these where a service's port is chosen.
        self.preferred_ports.clone_from(&preferences.ports);
        self
    }

    /// Guest memory in MiB for a machine with `image`: what the user has set, else what the image
    /// wants.
    pub fn ram_for(&self, image: &Image) -> u32 {
        self.ram_mib.unwrap_or_else(|| usual_ram(image))
    }
}

/// Guest memory in MiB for `image` while the user sets none.
pub(crate) fn usual_ram(image: &Image) -> u32 {
    match &image.manifest {
        Some(manifest) => manifest
            .ram_mib
            .unwrap_or_else(|| manifest.min_ram_mib.max(DEFAULT_RAM_MIB)),
        None => DEFAULT_RAM_MIB,
    }
}

/// As many as the host has, up to where more do not help.
fn default_vcpus() -> u16 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u16::try_from(cores.min(MOST_DEFAULT_CPUS)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    /// An image whose manifest has `memory`, if it has one.
    fn image(memory: Option<&str>) -> Image {
        let manifest = memory.map(|memory| {
            let text = format!(
                r#"{{"format": "stack-emulator-image", "version": 1, "contract": 1, "name": "x",
                    "payload_version": "1", "arch": "amd64", {memory}, "min_vcpus": 1, "services": [],
                    "image": {{"file": "x.qcow2", "sha256": "{}", "bytes": 1, "virtual_bytes": 1}}}}"#,
                images::Sha256Digest::of(b"")
            );
            serde_json::from_str(&text).unwrap()
        });
        let file = tempfile::NamedTempFile::new().unwrap();
        Image {
            path: file.path().to_owned(),
            stamp: host::FileStamp::of(file.path()).unwrap(),
            virtual_bytes: 1,
            manifest,
            published_at: None,
        }
    }

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let home = [("HOME", "/home/ada")];
        Settings::from_variables(
            home.iter()
                .chain(pairs)
                .map(|(name, value)| (OsString::from(name), OsString::from(value))),
        )
        .and_then(|settings| settings.refuse_invalid().map(|()| settings))
    }

    #[test]
    fn what_cannot_be_used_is_noted_beside_the_rest() {
        let settings = Settings::from_variables(
            [
                ("HOME", "/home/ada"),
                ("EMULATOR_FOO_PORT", "lots"),
                ("EMULATOR_BACKEND_PORT", "30001"),
                (NO_ROTATION, "perhaps"),
                (RAM, "2048"),
            ]
            .map(|(name, value)| (name.into(), value.into())),
        )
        .unwrap();
        let noted: Vec<_> = settings.invalid.iter().map(ToString::to_string).collect();
        assert_eq!(noted.len(), 2, "{noted:?}");
        assert!(noted[0].contains("EMULATOR_FOO_PORT") && noted[1].contains(NO_ROTATION));
        assert_eq!(settings.ports.len(), 1);
        assert_eq!(
            (settings.ram_mib, settings.no_rotation),
            (Some(2048), false)
        );
        assert_eq!(settings.refuse_invalid(), Err(settings.invalid[0].clone()));
    }

    #[test]
    fn defaults_are_the_contract_s() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.home, PathBuf::from("/home/ada/.stack/emulator"));
        assert_eq!((settings.ram_mib, settings.port_prefix), (None, 81));
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
            (NETWORK, "shut"),
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
            (Some(2048), 3, 92)
        );
        assert_eq!(settings.ports["EMULATOR_BACKEND_PORT"], 30001);
        assert_eq!(settings.ready_timeout, Duration::from_secs(7));
        assert!(settings.no_rotation && !settings.no_snapshot);
    }

    #[test]
    fn a_variable_goes_before_a_preference_and_is_told() {
        let preferences = Preferences {
            ram_mib: Some(2048),
            vcpus: Some(2),
            no_rotation: true,
            ..Preferences::default()
        };
        let preferred = read(&[]).unwrap().with_preferences(&preferences);
        assert_eq!((preferred.ram_mib, preferred.vcpus), (Some(2048), 2));
        assert!(preferred.no_rotation && preferred.overrides.is_empty());
        let back = preferred.with_preferences(&Preferences::default());
        assert_eq!((back.ram_mib, back.no_rotation), (None, false));

        let named = [
            (RAM, "1024"),
            (NO_ROTATION, "0"),
            ("EMULATOR_X_PORT", "3000"),
        ];
        let settings = read(&named).unwrap().with_preferences(&preferences);
        assert_eq!((settings.ram_mib, settings.vcpus), (Some(1024), 2));
        assert!(!settings.no_rotation);
        let told: Vec<_> = settings.overrides.iter().map(String::as_str).collect();
        assert_eq!(told, [NO_ROTATION, RAM, "EMULATOR_X_PORT"]);
    }

    #[test]
    fn newer_releases_are_looked_for_unless_variable_setting_or_ci_are_against_it() {
        let of_user = |updates| Preferences {
            updates,
            ..Preferences::default()
        };
        let of = |pairs: &[(&str, &str)], updates| {
            let preferences = of_user(updates);
            read(pairs).unwrap().with_preferences(&preferences).updates
        };
        let named = Updates::In("a/b".parse().unwrap());
        assert_eq!(of(&[], None), Updates::OfThisRelease);
        assert_eq!(of(&[], Some(false)), Updates::Off);
        let (off, on) = (of_user(Some(false)), of_user(Some(true)));
        let settings = read(&[]).unwrap().with_preferences(&off);
        assert_eq!(
            settings.with_preferences(&on).updates,
            Updates::OfThisRelease
        );
        assert_eq!(of(&[(CI, "true")], Some(true)), Updates::Off);
        assert_eq!(of(&[(UPDATES, "off")], Some(true)), Updates::Off);
        assert_eq!(of(&[(UPDATES, "a/b"), (CI, "1")], Some(false)), named);
        assert!(read(&[(UPDATES, "on")]).is_err());
    }

    #[test]
    fn the_image_chooses_memory_where_the_user_does_not() {
        for (manifest, unset) in [
            // A published image, and one from before images could say it: sessions that were kept
            // with either have so much.
            (None, 4096),
            (Some(r#""min_ram_mib": 512"#), 4096),
            (Some(r#""min_ram_mib": 512, "ram_mib": 1024"#), 1024),
            (Some(r#""min_ram_mib": 6144"#), 6144),
        ] {
            let image = image(manifest);
            assert_eq!(read(&[]).unwrap().ram_for(&image), unset, "{manifest:?}");
            let set = read(&[(RAM, "2048")]).unwrap();
            assert_eq!(set.ram_for(&image), 2048, "{manifest:?}");
        }
    }

    #[test]
    fn the_outside_is_open_to_whom_image_or_user_open_it() {
        use crate::config::network::GuestNetwork::{Closed, Open};
        for (manifest, by_image) in [
            (None, Open),
            (Some(r#""min_ram_mib": 512"#), Closed),
            (Some(r#""min_ram_mib": 512, "network": "outside""#), Open),
        ] {
            let image = image(manifest);
            let network = |pairs: &[(&str, &str)], preferred| {
                let preferences = Preferences {
                    network: preferred,
                    ..Preferences::default()
                };
                let settings = read(pairs).unwrap().with_preferences(&preferences);
                settings.network.for_image(&image)
            };
            assert_eq!(network(&[], None), by_image, "{manifest:?}");
            assert_eq!(network(&[(NETWORK, "closed")], None), Closed);
            assert_eq!(network(&[(NETWORK, "open")], None), Open);
            assert_eq!(network(&[], Some(NetworkChoice::Closed)), Closed);
            let overridden = network(&[(NETWORK, "closed")], Some(NetworkChoice::Open));
            assert_eq!(overridden, Closed);
            let by_variable = network(&[(NETWORK, "by-image")], Some(NetworkChoice::Open));
            assert_eq!(by_variable, by_image);
        }
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
