//! The ports of an image's services, on the host and in the guest.

use std::collections::BTreeMap;

use images::Image;
use images::manifest::{Service, published_services};

use super::Emulator;
use crate::instance::error::InstanceError as Error;
use crate::machine::readiness::Endpoint;
use crate::state::instance_record::InstanceRecord;

impl Emulator {
    /// The services of the image that an instance with this record uses, or the contract's if there
    /// is no image that can be read.
    pub(crate) fn services_by(&self, remembered: &InstanceRecord) -> Vec<Service> {
        let prefix = self.settings.port_prefix;
        match Image::open(&self.image_to_use(remembered)) {
            Ok(image) => image.services(prefix),
            Err(_) => published_services(),
        }
    }

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
            let (port, _) = self.host_port(&service, offset);
            let Some(guest_port) = service.resolve_guest_port(prefix, port) else {
                return Err(Error::GuestPort {
                    service: service.id,
                    template: service.guest_port,
                    prefix,
                });
            };
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
        let variable = service.port_env.as_deref();
        if let Some(port) = variable.and_then(|name| self.settings.port_by(name)) {
            return (port, true);
        }
        let preferred = self.settings.preferred_ports.get(&service.id);
        let port = preferred.copied().unwrap_or(service.host_port);
        (port.saturating_add(offset), false)
    }
}
