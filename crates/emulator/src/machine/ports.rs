//! Host ports: which ones a start needs, whether they are free, who has them.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};

use images::Image;
use images::manifest::Service;
use serde::Serialize;

use crate::config::variables::PORT_RANGE;
use crate::error::Error;
use crate::instance::Emulator;
use crate::machine::readiness::Endpoint;

/// A port that another process has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The port on 127.0.0.1.
    pub port: u16,
    /// The service that it is needed for.
    pub service: String,
    /// Who has it, where the system tells: `name (pid 123)`.
    pub owner: Option<String>,
}

impl std::fmt::Display for Taken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "port {} (for {}) is taken", self.port, self.service)?;
        match &self.owner {
            Some(owner) => write!(f, " by {owner}"),
            None => Ok(()),
        }
    }
}

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
                variable: service.port_env,
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
                (PortVerdict::Taken, host::ports::owner(*port))
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

impl Emulator {
    /// The services' ports on both sides.
    pub(crate) fn endpoints(
        &self,
        image: &Image,
        offset: u16,
    ) -> Result<(Vec<Endpoint>, BTreeMap<String, u16>), Error> {
        self.endpoints_of(image.services(self.settings.port_prefix), offset)
    }

    /// The ports of `services` on both sides.
    pub(crate) fn endpoints_of(
        &self,
        services: Vec<Service>,
        offset: u16,
    ) -> Result<(Vec<Endpoint>, BTreeMap<String, u16>), Error> {
        let prefix = self.settings.port_prefix;
        let mut endpoints: Vec<Endpoint> = Vec::new();
        let mut guest_ports = BTreeMap::new();
        for service in services {
            let Some(guest_port) = service.resolve_guest_port(prefix) else {
                return Err(Error::GuestPort {
                    service: service.id,
                    template: service.guest_port,
                    prefix,
                });
            };
            let (port, _) = self.host_port(&service, offset);
            if let Some(other) = endpoints.iter().find(|other| other.port == port) {
                return Err(Error::PortTwice {
                    first: other.id.clone(),
                    second: service.id,
                    port,
                });
            }
            guest_ports.insert(service.id.clone(), guest_port);
            endpoints.push(Endpoint {
                browsable: service.is_browsable(),
                id: service.id,
                name: service.name,
                port,
                path: service.path,
            });
        }
        Ok((endpoints, guest_ports))
    }

    /// The host port of `service`, and whether a variable sets it.
    pub(crate) fn host_port(&self, service: &Service, offset: u16) -> (u16, bool) {
        let variable = service.port_env.as_ref();
        if let Some(port) = variable.and_then(|name| self.settings.ports.get(name)) {
            return (*port, true);
        }
        let preferred = self.settings.preferred_ports.get(&service.id);
        let port = preferred.copied().unwrap_or(service.host_port);
        (port.saturating_add(offset), false)
    }
}

/// Whether `port` can be bound on 127.0.0.1 right now.
///
/// The listener is closed at once; between this and QEMU's own bind another
/// process may take the port, and then QEMU's error says so.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Which of the endpoints' ports somebody has, and who.
pub(crate) fn taken(endpoints: &[crate::machine::readiness::Endpoint]) -> Vec<Taken> {
    endpoints
        .iter()
        .filter(|endpoint| !is_free(endpoint.port))
        .map(|endpoint| Taken {
            port: endpoint.port,
            service: endpoint.id.clone(),
            owner: host::ports::owner(endpoint.port),
        })
        .collect()
}

/// A port that is free right now, chosen by the system.
pub(crate) fn any_free() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

#[cfg(test)]
mod tests {
    use super::PortVerdict::{Invalid, Taken};
    use super::*;

    #[test]
    fn a_listener_is_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(!is_free(port));
        drop(listener);
        assert!(is_free(port));
    }

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
