//! `settings.json`: the choices that outlive a shell, beside those that
//! [`crate::config::variables`] has for one. What a variable sets, a preference does
//! not change: [`crate::config::variables::Settings::with_preferences`].

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;

use record::{Durability, Record};
use serde::{Deserialize, Serialize};

pub use crate::config::choices::{Ahead, InstancePer};
use crate::config::error::ConfigError as Error;
use crate::config::network::NetworkChoice;
use crate::config::paths::{Home, make_private_folder};
use crate::config::variables::{PORT_RANGE, RAM_RANGE, VCPU_RANGE};

/// The warning for everybody who keeps the placeholder secrets.
pub const NO_ROTATION_WARNING: &str = "The image's placeholder secrets stay in use. They are public: anyone who \
     can reach the emulator's ports can use them.";

/// What the user has chosen for all instances.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Preferences {
    /// Most that images, snapshots and archives may take on disk, in bytes;
    /// what was not used for longest goes first. `None`: no limit.
    pub cache_limit_bytes: Option<u64>,
    /// Days after which a snapshot that nobody has used is compressed. `None`: never.
    pub archive_after_days: Option<u32>,
    /// Where images come from unless a pull says otherwise, as `owner/name`.
    pub repository: Option<String>,
    /// The branch whose newest image is pulled unless a pull says otherwise.
    pub branch: Option<String>,
    /// Guest memory in MiB. `None`: what the image wants.
    pub ram_mib: Option<u32>,
    /// Number of virtual CPUs.
    pub vcpus: Option<u16>,
    /// Host ports by the service's identifier, of the default instance; those
    /// of a further one lie as far from them as its other ports do.
    pub ports: BTreeMap<String, u16>,
    /// Keep the placeholder secrets; see [`NO_ROTATION_WARNING`].
    pub no_rotation: bool,
    /// How much of the next start is done ahead of it; `None`: [`Ahead::Disk`], but nothing in CI.
    pub ahead: Option<Ahead>,
    /// Whom the guest can connect to; `None`: [`NetworkChoice::ByImage`].
    pub network: Option<NetworkChoice>,
    /// Look for newer releases of this program; `None`: yes, but not in CI.
    pub updates: Option<bool>,
    /// Whose instance a command acts on that names none; `None`: [`InstancePer::None`].
    pub instance_per: Option<InstancePer>,
    /// Minutes after which a running machine is stopped if nothing uses it. `None`: never.
    pub stop_when_idle_min: Option<u32>,
    /// What is the desktop app's alone.
    pub app: AppPreferences,
    /// What a newer version has written: kept as it is.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, serde_json::Value>,
}

/// What the user has chosen for the desktop app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppPreferences {
    /// Start the emulator when the app is started.
    pub start_at_launch: bool,
    /// Tell on the desktop when the emulator is ready or has failed.
    pub notifications: bool,
    /// The first-run wizard was seen through.
    pub first_run_done: bool,
    /// What a newer version has written: kept as it is.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, serde_json::Value>,
}

impl Default for AppPreferences {
    fn default() -> Self {
        Self {
            start_at_launch: false,
            notifications: true,
            first_run_done: false,
            unknown: BTreeMap::new(),
        }
    }
}

impl Record for Preferences {
    const FORMAT: &'static str = "stack-emulator-settings";
    const VERSION: u32 = 1;
}

/// Minutes that a machine may be idle: at most a week.
const IDLE_RANGE: std::ops::RangeInclusive<u32> = 1..=10_080;
/// Begins the names of the ports' settings.
const PORT_PREFIX: &str = "port.";

/// One of [`Preferences`], by the name that users give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preference {
    /// [`Preferences::cache_limit_bytes`].
    CacheLimit,
    /// [`Preferences::archive_after_days`].
    ArchiveAfter,
    /// [`Preferences::repository`].
    Repository,
    /// [`Preferences::branch`].
    Branch,
    /// [`Preferences::ram_mib`].
    Ram,
    /// [`Preferences::vcpus`].
    Vcpus,
    /// [`Preferences::no_rotation`].
    NoRotation,
    /// [`Preferences::ahead`].
    Ahead,
    /// [`Preferences::network`].
    Network,
    /// [`Preferences::updates`].
    Updates,
    /// [`Preferences::instance_per`].
    InstancePer,
    /// [`Preferences::stop_when_idle_min`].
    StopWhenIdle,
    /// One of [`Preferences::ports`], by the service's identifier.
    Port(String),
}

/// A value that a setting cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid value {value:?} for setting `{}`: expected {expected}", name.name())]
pub struct InvalidPreference {
    /// The setting.
    pub name: Preference,
    /// What it was to be.
    pub value: String,
    /// What would be valid.
    pub expected: &'static str,
}

impl Preference {
    /// All that are the same for every image, in the order in which they are
    /// shown; the ports of its services come after them.
    pub const FIXED: [Self; 12] = [
        Self::CacheLimit,
        Self::ArchiveAfter,
        Self::Repository,
        Self::Branch,
        Self::Ram,
        Self::Vcpus,
        Self::NoRotation,
        Self::Ahead,
        Self::Network,
        Self::Updates,
        Self::InstancePer,
        Self::StopWhenIdle,
    ];

    /// The name that users give: `cache-limit`, `port.backend`.
    pub fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::CacheLimit => "cache-limit",
            Self::ArchiveAfter => "archive-after",
            Self::Repository => "repository",
            Self::Branch => "branch",
            Self::Ram => "ram",
            Self::Vcpus => "vcpus",
            Self::NoRotation => "no-rotation",
            Self::Ahead => "ahead",
            Self::Network => "network",
            Self::Updates => "updates",
            Self::InstancePer => "instance-per",
            Self::StopWhenIdle => "stop-when-idle",
            Self::Port(service) => return Cow::Owned(format!("{PORT_PREFIX}{service}")),
        })
    }

    /// The setting that users call `name`; that a service is one of the image's
    /// is not checked here.
    pub fn from_name(name: &str) -> Option<Self> {
        if let Some(service) = name.strip_prefix(PORT_PREFIX) {
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            let named = !service.is_empty() && service.bytes().all(plain);
            return named.then(|| Self::Port(service.to_owned()));
        }
        Self::FIXED
            .into_iter()
            .find(|preference| preference.name() == name)
    }
}

impl Preferences {
    /// The value of one setting as users write it; `None` if it is not set.
    pub fn get(&self, name: &Preference) -> Option<String> {
        match name {
            Preference::CacheLimit => self.cache_limit_bytes.map(size_text),
            Preference::ArchiveAfter => self.archive_after_days.map(|days| days.to_string()),
            Preference::Repository => self.repository.clone(),
            Preference::Branch => self.branch.clone(),
            Preference::Ram => self.ram_mib.map(|mib| size_text(u64::from(mib) << 20)),
            Preference::Vcpus => self.vcpus.map(|count| count.to_string()),
            Preference::NoRotation => self.no_rotation.then(|| "on".to_owned()),
            Preference::Ahead => self.ahead.map(|ahead| ahead.name().to_owned()),
            Preference::Network => self.network.map(|network| network.name().to_owned()),
            Preference::Updates => self
                .updates
                .map(|updates| if updates { "on" } else { "off" }.to_owned()),
            Preference::InstancePer => self.instance_per.map(|per| per.name().to_owned()),
            Preference::StopWhenIdle => self.stop_when_idle_min.map(|minutes| minutes.to_string()),
            Preference::Port(service) => self.ports.get(service).map(ToString::to_string),
        }
    }

    /// Sets one setting from what a user wrote; `None` unsets it.
    pub fn set(&mut self, name: &Preference, value: Option<&str>) -> Result<(), InvalidPreference> {
        let invalid = |expected| InvalidPreference {
            name: name.clone(),
            value: value.unwrap_or_default().to_owned(),
            expected,
        };
        match name {
            Preference::CacheLimit => {
                let parse =
                    |text| parse_size(text).ok_or_else(|| invalid("a size such as 20GB or 500MiB"));
                self.cache_limit_bytes = value.map(parse).transpose()?;
            }
            Preference::ArchiveAfter => {
                let days = |text: &str| text.parse().ok().filter(|days| (1..=3650).contains(days));
                let parse =
                    |text| days(text).ok_or_else(|| invalid("a number of days from 1 to 3650"));
                self.archive_after_days = value.map(parse).transpose()?;
            }
            Preference::Repository => {
                let parse = |text: &str| match text.parse::<images::github::Repo>() {
                    Ok(repository) => Ok(repository.to_string()),
                    Err(_) => Err(invalid("a repository as owner/name")),
                };
                self.repository = value.map(parse).transpose()?;
            }
            Preference::Branch => {
                let plain = |text: &&str| {
                    !text.is_empty()
                        && !text.contains(|c: char| c.is_whitespace() || c.is_control())
                };
                let parse = |text| {
                    Some(text)
                        .filter(plain)
                        .map(ToOwned::to_owned)
                        .ok_or_else(|| invalid("the name of a branch"))
                };
                self.branch = value.map(parse).transpose()?;
            }
            Preference::Ram => {
                let parse = |text| {
                    parse_mib(text)
                        .filter(|mib| RAM_RANGE.contains(&u64::from(*mib)))
                        .ok_or_else(|| {
                            invalid("a whole number of MiB from 256MiB to 1024GiB, such as 4GiB")
                        })
                };
                self.ram_mib = value.map(parse).transpose()?;
            }
            Preference::Vcpus => {
                let parse = |text: &str| {
                    let count = text.parse().ok();
                    count
                        .filter(|count| VCPU_RANGE.contains(&u64::from(*count)))
                        .ok_or_else(|| invalid("a number of CPUs from 1 to 64"))
                };
                self.vcpus = value.map(parse).transpose()?;
            }
            Preference::NoRotation => {
                self.no_rotation = match value {
                    Some("on" | "true" | "1") => true,
                    None | Some("off" | "false" | "0") => false,
                    Some(_) => return Err(invalid("on or off")),
                };
            }
            Preference::Ahead => {
                let parse =
                    |text| Ahead::from_name(text).ok_or_else(|| invalid("off, disk or memory"));
                self.ahead = value.map(parse).transpose()?;
            }
            Preference::Network => {
                let parse = |text| {
                    NetworkChoice::from_name(text)
                        .ok_or_else(|| invalid("by-image, closed or open"))
                };
                self.network = value.map(parse).transpose()?;
            }
            Preference::Updates => {
                let parse = |text| match text {
                    "on" | "true" | "1" => Ok(true),
                    "off" | "false" | "0" => Ok(false),
                    _ => Err(invalid("on or off")),
                };
                self.updates = value.map(parse).transpose()?;
            }
            Preference::InstancePer => {
                let parse =
                    |text| InstancePer::from_name(text).ok_or_else(|| invalid("folder or none"));
                self.instance_per = value.map(parse).transpose()?;
            }
            Preference::StopWhenIdle => {
                let minutes = |text: &str| text.parse().ok().filter(|n| IDLE_RANGE.contains(n));
                let parse = |text| {
                    minutes(text).ok_or_else(|| invalid("a number of minutes from 1 to 10080"))
                };
                self.stop_when_idle_min = value.map(parse).transpose()?;
            }
            Preference::Port(service) => match value {
                None => drop(self.ports.remove(service)),
                Some(text) => {
                    let port = text.parse().ok();
                    let port = port.filter(|port| PORT_RANGE.contains(&u64::from(*port)));
                    let port = port.ok_or_else(|| invalid("a port from 1024 to 65535"))?;
                    self.ports.insert(service.clone(), port);
                }
            },
        }
        Ok(())
    }

    /// Reads the settings of `home`; those that were never set are not set.
    pub fn read(home: &Home) -> Result<Self, Error> {
        match record::read_optional(&path(home)) {
            Ok(read) => Ok(read.unwrap_or_default()),
            Err(source) => Err(Error::Preferences { source }),
        }
    }

    /// Changes the settings of `home` by `change`; what another process changes
    /// meanwhile is kept. Nothing is written if `change` fails.
    pub fn update<E: From<Error>>(
        home: &Home,
        change: impl FnOnce(&mut Self) -> Result<(), E>,
    ) -> Result<Self, E> {
        make_private_folder(home.path()).map_err(Error::from)?;
        let lock = home.path().join("settings.lock");
        let failed = |source| Error::file("lock", &lock)(source);
        let held = File::create(&lock).map_err(failed)?;
        // Held for as long as it takes to write a small file.
        held.lock().map_err(failed)?;
        let mut preferences = Self::read(home)?;
        change(&mut preferences)?;
        preferences.write(home)?;
        Ok(preferences)
    }

    /// Writes the settings of `home`, whatever was there.
    pub fn write(&self, home: &Home) -> Result<(), Error> {
        make_private_folder(home.path())?;
        record::write(&path(home), self, Durability::PowerCut)
            .map_err(|source| Error::Preferences { source })
    }
}

/// Whole MiB from a size, or from a bare number as the variable has it.
fn parse_mib(text: &str) -> Option<u32> {
    if text.bytes().all(|digit| digit.is_ascii_digit()) {
        return text.parse().ok();
    }
    let bytes = parse_size(text).filter(|bytes| bytes.is_multiple_of(1 << 20))?;
    u32::try_from(bytes >> 20).ok()
}

fn path(home: &Home) -> PathBuf {
    home.path().join("settings.json")
}

/// Units of sizes, the longest spelling of each first.
const UNITS: [(&str, u64); 9] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

/// A size in bytes from a whole number and a unit, such as `20GB`.
pub fn parse_size(text: &str) -> Option<u64> {
    // So that a unit in other letters has the same number of bytes.
    let text = Some(text.trim()).filter(|text| text.is_ascii())?;
    let lower = text.to_ascii_lowercase();
    let (unit, factor) = UNITS
        .iter()
        .find(|(unit, _)| lower.ends_with(&unit.to_ascii_lowercase()))?;
    let number = text[..text.len() - unit.len()].trim_end();
    // `u64::from_str` would take a plus sign.
    number
        .bytes()
        .all(|digit| digit.is_ascii_digit())
        .then(|| number.parse::<u64>().ok()?.checked_mul(*factor))
        .flatten()
}

/// A size as users write it: in the largest unit that shows it exactly.
pub fn size_text(bytes: u64) -> String {
    let exact = |(_, factor): &&(&str, u64)| bytes >= *factor && bytes.is_multiple_of(*factor);
    let unit = UNITS.iter().filter(exact).max_by_key(|(_, factor)| *factor);
    match unit {
        Some((unit, factor)) => format!("{}{unit}", bytes / factor),
        None => format!("{bytes}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_size_is_read_as_it_is_shown(bytes: u64) {
            prop_assert_eq!(parse_size(&size_text(bytes)), Some(bytes));
        }

        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = parse_size(&text);
            let mut preferences = Preferences::default();
            let port = Preference::Port("backend".to_owned());
            for name in Preference::FIXED.into_iter().chain([port]) {
                let set = preferences.set(&name, Some(&text));
                if name != Preference::NoRotation {
                    prop_assert_eq!(preferences.get(&name).is_some(), set.is_ok());
                }
            }
        }
    }

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [
            ("20GB", Some(20_000_000_000)),
            ("20 gb", Some(20_000_000_000)),
            ("512MiB", Some(512 << 20)),
            ("7B", Some(7)),
            ("0B", Some(0)),
            ("7", None),
            ("GB", None),
            ("+7GB", None),
            ("-1GB", None),
            ("1.5GB", None),
            ("99999999999TB", None),
        ] {
            assert_eq!(parse_size(text), bytes, "{text}");
        }
    }

    #[test]
    fn what_is_set_is_kept_and_a_mistake_names_the_setting() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path().join("home"));
        let mut preferences = Preferences::read(&home).unwrap();
        assert_eq!(preferences, Preferences::default());
        preferences
            .set(&Preference::CacheLimit, Some("20GB"))
            .unwrap();
        preferences
            .set(&Preference::ArchiveAfter, Some("14"))
            .unwrap();
        preferences
            .set(&Preference::Repository, Some("hexclave/hexclave"))
            .unwrap();
        preferences.set(&Preference::Branch, Some("main")).unwrap();
        preferences.write(&home).unwrap();
        assert_eq!(Preferences::read(&home).unwrap(), preferences);
        preferences.set(&Preference::ArchiveAfter, None).unwrap();
        assert_eq!(preferences.archive_after_days, None);

        for (name, value) in [
            (Preference::CacheLimit, "lots"),
            (Preference::ArchiveAfter, "0"),
            (Preference::Repository, "nothing"),
            (Preference::Branch, "a b"),
            (Preference::Ram, "1.5GB"),
            (Preference::Ram, "64"),
            (Preference::Vcpus, "0"),
            (Preference::NoRotation, "maybe"),
            (Preference::Ahead, "always"),
            (Preference::Port("backend".into()), "80"),
        ] {
            let error = preferences.set(&name, Some(value)).unwrap_err().to_string();
            assert!(
                error.contains(name.name().as_ref()) && error.contains(value),
                "{error}"
            );
        }
    }

    #[test]
    fn memory_is_a_size_or_a_number_of_mib() {
        let mut preferences = Preferences::default();
        for (text, shown) in [("2048", "2GiB"), ("3GiB", "3GiB"), ("1536MiB", "1536MiB")] {
            preferences.set(&Preference::Ram, Some(text)).unwrap();
            assert_eq!(preferences.get(&Preference::Ram).as_deref(), Some(shown));
        }
    }

    #[test]
    fn names_lead_to_settings_and_back() {
        for name in ["ram", "vcpus", "no-rotation", "ahead", "port.mock-oauth"] {
            assert_eq!(Preference::from_name(name).unwrap().name(), name);
        }
        for name in ["", "port", "port.", "port.A", "colour"] {
            assert_eq!(Preference::from_name(name), None, "{name:?}");
        }
    }

    #[test]
    fn what_a_newer_version_wrote_is_kept() {
        let text = r#"{"branch": "dev", "theme": "dark", "app": {"corner": 3}}"#;
        let mut preferences: Preferences = serde_json::from_str(text).unwrap();
        assert!(preferences.app.notifications, "unset, so the default");
        preferences.app.first_run_done = true;
        let again = serde_json::to_value(&preferences).unwrap();
        assert_eq!(again["theme"], "dark");
        assert_eq!(again["app"]["corner"], 3);
        assert_eq!(again["app"]["first_run_done"], true);
    }

    #[test]
    fn changes_at_the_same_time_are_all_kept() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path().join("home"));
        std::thread::scope(|scope| {
            for n in 0..16 {
                let home = &home;
                scope.spawn(move || {
                    Preferences::update(home, |preferences| {
                        preferences.ports.insert(format!("service-{n}"), 2000 + n);
                        Ok::<_, Error>(())
                    })
                    .unwrap();
                });
            }
        });
        assert_eq!(Preferences::read(&home).unwrap().ports.len(), 16);
    }
}
