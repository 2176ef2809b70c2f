//! What of this host a guest may be given, and whether settings keep to it.

use images::Image;
use serde::Serialize;

use crate::config::preferences::Preferences;
use crate::config::variables::{RAM_RANGE, VCPU_RANGE};
use crate::instance::Emulator;
use crate::observe::error::ObserveError as Error;

/// What this host has, and what may be asked of it. Variables may ask for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
pub struct HostLimits {
    /// Memory of this host in MiB; `None` where the system does not tell.
    pub ram_mib: Option<u32>,
    /// Its processors, as far as this process may use them.
    pub cpus: u16,
    /// The least guest memory in MiB: what the chosen image asks for.
    pub min_ram_mib: u32,
    /// The most guest memory in MiB: what the host has, since a guest in
    /// swapped memory is of no use.
    pub max_ram_mib: u32,
    /// The most virtual CPUs: more than there are processors slow each other down.
    pub max_vcpus: u16,
}

impl Emulator {
    /// What this host has, and what may be asked of it for the chosen image.
    pub fn host_limits(&self) -> Result<HostLimits, Error> {
        let image = Image::open(&self.image_path()?).ok();
        let asked = image
            .and_then(|image| image.manifest)
            .map(|m| m.min_ram_mib);
        Ok(limits(
            host_ram_mib(),
            std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            asked,
        ))
    }

    /// Whether `preferences` would do, were they set: within this host's
    /// limits, and each service with a port of its own.
    pub fn check_preferences(&self, preferences: &Preferences) -> Result<(), Error> {
        let limits = self.host_limits()?;
        if let Some(asked) = preferences.ram_mib
            && !(limits.min_ram_mib..=limits.max_ram_mib).contains(&asked)
        {
            return Err(Error::Limit {
                asked: format!("{asked} MiB of memory"),
                limit: format!(
                    "between {} MiB for the image and {} MiB on this host are possible",
                    limits.min_ram_mib, limits.max_ram_mib
                ),
            });
        }
        if let Some(asked) = preferences.vcpus
            && asked > limits.max_vcpus
        {
            return Err(Error::Limit {
                asked: format!("{asked} virtual CPUs"),
                limit: format!("this host has {}", limits.max_vcpus),
            });
        }
        let services = self.services()?;
        for service in preferences.ports.keys() {
            if !services.iter().any(|known| known.id == *service) {
                return Err(Error::UnknownService {
                    service: service.clone(),
                    known: services.into_iter().map(|known| known.id).collect(),
                });
            }
        }
        let settings = self.settings.clone().with_preferences(preferences);
        let so_set = Self {
            settings,
            ..self.clone()
        };
        let offset = so_set.remembered()?.port_offset;
        so_set.endpoints_of(services, offset)?;
        Ok(())
    }
}

fn limits(ram_mib: Option<u32>, cpus: usize, asked: Option<u32>) -> HostLimits {
    let cpus = u16::try_from(cpus).unwrap_or(u16::MAX);
    let within = |range: &std::ops::RangeInclusive<u64>, value: u32| {
        let value = u64::from(value).clamp(*range.start(), *range.end());
        u32::try_from(value).unwrap_or(u32::MAX)
    };
    let most_vcpus = within(&VCPU_RANGE, u32::from(cpus));
    HostLimits {
        ram_mib,
        cpus,
        min_ram_mib: within(&RAM_RANGE, asked.unwrap_or(0)),
        max_ram_mib: within(&RAM_RANGE, ram_mib.unwrap_or(u32::MAX)),
        max_vcpus: u16::try_from(most_vcpus).unwrap_or(u16::MAX),
    }
}

fn host_ram_mib() -> Option<u32> {
    u32::try_from(host::memory::total()? >> 20).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::paths::InstanceName;
    use crate::config::variables::{HOME, Settings};

    #[test]
    fn limits_follow_the_host_and_the_image() {
        let found = limits(Some(8000), 2, Some(512));
        assert_eq!((found.min_ram_mib, found.max_ram_mib), (512, 8000));
        assert_eq!((found.cpus, found.max_vcpus), (2, 2));
        let found = limits(None, 500, None);
        assert_eq!((found.min_ram_mib, found.max_ram_mib), (256, 1_048_576));
        assert_eq!((found.cpus, found.max_vcpus), (500, 64));
    }

    #[test]
    fn the_host_has_memory() {
        assert!(host_ram_mib().unwrap() > 256);
    }

    #[test]
    fn preferences_that_cannot_work_are_refused_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let home = (HOME.into(), dir.path().as_os_str().to_owned());
        let settings = Settings::from_variables([home]).unwrap();
        let emulator = Emulator::new(settings, InstanceName::default(), None);
        let check = |change: &dyn Fn(&mut Preferences)| {
            let mut preferences = Preferences::default();
            change(&mut preferences);
            emulator.check_preferences(&preferences)
        };
        check(&|_| ()).unwrap();
        check(&|p| p.ports = BTreeMap::from([("backend".into(), 30001)])).unwrap();
        for (change, named) in [
            (
                (|p| p.ram_mib = Some(1_048_576)) as fn(&mut Preferences),
                "1048576 MiB",
            ),
            (|p| p.vcpus = Some(6000), "6000 virtual CPUs"),
            (
                |p| p.ports = BTreeMap::from([("bakend".into(), 30001)]),
                "bakend",
            ),
            (
                |p| p.ports = BTreeMap::from([("backend".into(), 26700)]),
                "26700",
            ),
        ] {
            let error = check(&change).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
