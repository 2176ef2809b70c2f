//! The host ports that a start would take, and whether others could be had.

use serde::Serialize;

use crate::config::variables::PORT_RANGE;
use crate::instance::Emulator;
use crate::instance::error::InstanceError as Error;
use crate::machine::ports::{is_free, owner};

/// The host port of a service, and what sets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
pub struct PortSetting {
    /// The service's identifier.
    pub service: String,
    /// Its name for people.
    pub name: String,
    /// The port that the next start would take.
    pub port: u16,
    /// The port without any setting.
    pub default: u16,
    /// The variable that can set it.
    pub variable: Option<String>,
    /// Whether that variable is set, so that a preference has no effect.
    pub overridden: bool,
}

/// What can be said of a port that somebody thinks of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
pub struct PortCheck {
    /// The service's identifier.
    pub service: String,
    /// The port.
    pub port: u16,
    /// Whether it could be had.
    pub verdict: PortVerdict,
    /// Who has it, where that can be told; or the other service that would.
    pub taken_by: Option<String>,
}

/// Whether a port could be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
#[serde(rename_all = "snake_case")]
pub enum PortVerdict {
    /// Nobody has it.
    Free,
    /// The running emulator has it.
    Ours,
    /// Another process has it.
    Taken,
    /// It is out of range, another service's as well, or of no service.
    Invalid,
}

impl Emulator {
    /// The services' host ports as the next start would take them.
    pub fn port_settings(&self) -> Result<Vec<PortSetting>, Error> {
        let offset = self.remembered()?.port_offset;
        let settings = self.services()?.into_iter().map(|service| {
            let (port, overridden) = self.host_port(&service, offset);
            PortSetting {
                port,
                default: service.host_port.saturating_add(offset),
                overridden,
                service: service.id,
                name: service.name,
                variable: service.port_env.map(|name| self.settings.name_in_use(name)),
            }
        });
        Ok(settings.collect())
    }

    /// Whether each service could have the port; services that are not among
    /// `wanted` keep theirs.
    pub fn check_ports(&self, wanted: &[(String, u16)]) -> Result<Vec<PortCheck>, Error> {
        let settings = self.port_settings()?;
        let ours = self.ports_in_use()?;
        let planned = |setting: &PortSetting| {
            let choice = wanted.iter().find(|(id, _)| *id == setting.service);
            choice.map_or(setting.port, |(_, port)| *port)
        };
        let check = |(service, port): &(String, u16)| {
            let other = settings
                .iter()
                .find(|other| other.service != *service && planned(other) == *port);
            let known = settings.iter().any(|setting| setting.service == *service);
            let (verdict, taken_by) = if let Some(other) = other {
                (PortVerdict::Invalid, Some(other.name.clone()))
            } else if !known || !PORT_RANGE.contains(&u64::from(*port)) {
                (PortVerdict::Invalid, None)
            } else if ours.contains(port) {
                (PortVerdict::Ours, None)
            } else if is_free(*port) {
                (PortVerdict::Free, None)
            } else {
                (PortVerdict::Taken, owner(*port))
            };
            PortCheck {
                service: service.clone(),
                port: *port,
                verdict,
                taken_by,
            }
        };
        Ok(wanted.iter().map(check).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::PortVerdict::{Invalid, Taken};
    use super::*;

    #[test]
    fn a_port_that_is_thought_of_is_judged() {
        use crate::config::variables::{HOME, Settings};
        let dir = tempfile::tempdir().unwrap();
        let variables = [
            (HOME.into(), dir.path().as_os_str().to_owned()),
            ("EMULATOR_INBUCKET_PORT".into(), "30003".into()),
        ];
        let settings = Settings::from_variables(variables).unwrap();
        let mut emulator = Emulator::new(
            settings,
            crate::config::paths::InstanceName::default(),
            None,
        );
        emulator
            .settings
            .preferred_ports
            .extend([("minio".to_owned(), 30002), ("inbucket".to_owned(), 30009)]);
        let told = emulator.port_settings().unwrap();
        let told: Vec<_> = told
            .iter()
            .map(|s| (s.port, s.default, s.overridden))
            .collect();
        assert_eq!(
            told[..4],
            [
                (26700, 26700, false),
                (26701, 26701, false),
                (30002, 26702, false),
                (30003, 26703, true)
            ]
        );

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = listener.local_addr().unwrap().port();
        let judge = |wanted: &[(&str, u16)]| {
            let wanted: Vec<_> = wanted
                .iter()
                .map(|(id, port)| ((*id).to_owned(), *port))
                .collect();
            let checks = emulator.check_ports(&wanted).unwrap();
            checks
                .into_iter()
                .map(|check| check.verdict)
                .collect::<Vec<_>>()
        };
        assert_eq!(judge(&[("backend", taken)]), [Taken]);
        assert_eq!(
            judge(&[("backend", 80), ("nobody", 30007)]),
            [Invalid, Invalid]
        );
        assert_eq!(judge(&[("backend", 30003)]), [Invalid], "the inbox has it");
        assert_eq!(
            judge(&[("backend", 30005), ("dashboard", 30005)]),
            [Invalid, Invalid]
        );
        // Two that change places collide with nobody.
        assert!(!judge(&[("backend", 26700), ("dashboard", 26701)]).contains(&Invalid));
        drop(listener);
        assert_ne!(judge(&[("backend", taken)]), [Invalid]);
    }
}
