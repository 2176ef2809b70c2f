//! Host ports for the services of the default image, away from those of an emulator in use.

use std::path::Path;

use anyhow::Result;
use images::manifest::Service;

use crate::image;

/// The services in the order of the payload, on which every list of ports relies.
pub(crate) fn services(root: &Path) -> Result<Vec<Service>> {
    image::default_services(root)
}

/// The variables that give the services the ports from `first` on.
pub(crate) fn variables(services: &[Service], first: u16) -> Vec<(String, String)> {
    services
        .iter()
        .zip(first..)
        .filter_map(|(service, port)| Some((service.port_env.clone()?, port.to_string())))
        .collect()
}

/// Ports as the end-to-end tests take them.
pub(crate) fn list(ports: impl IntoIterator<Item = u16>) -> String {
    let ports: Vec<String> = ports.into_iter().map(|port| port.to_string()).collect();
    ports.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_has_a_port_of_its_own() {
        let root = crate::workspace::root().unwrap();
        let services = services(&root).unwrap();
        let variables = variables(&services, 36600);
        assert_eq!(
            variables.len(),
            services.len(),
            "one of them has no variable for its port"
        );
        assert_eq!(
            variables[0],
            ("EMULATOR_DASHBOARD_PORT".into(), "36600".into())
        );
        assert_eq!(
            variables[1],
            ("EMULATOR_BACKEND_PORT".into(), "36601".into())
        );
        assert_eq!(list([1, 2]), "1,2");
    }
}
