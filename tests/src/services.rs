//! The services of the starter image, each with a host port of its own.

use std::sync::OnceLock;

use images::manifest::Service;
use serde::Deserialize;

/// Names the host ports of the services, in the order of the payload: `26700,26701`.
pub const PORTS: &str = "STACK_EMULATOR_TEST_PORTS";

/// The payload that the starter image is made of.
const PAYLOAD: &str = include_str!("../../guest/payload/payload.toml");

/// The services with their host ports in every world: free ones, so that the tests can run beside whatever else
/// there is, and always the same.
pub fn ports() -> impl Iterator<Item = (&'static Service, u16)> {
    #[derive(Deserialize)]
    struct Payload {
        services: Vec<Service>,
    }
    static CHOSEN: OnceLock<Vec<(Service, u16)>> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| {
        let payload: Payload = toml::from_str(PAYLOAD).expect("a payload");
        let services = payload.services;
        let ports: Vec<u16> = match std::env::var(PORTS) {
            Ok(text) => {
                let ports = text.split(',');
                ports.map(|port| port.parse().expect("a port")).collect()
            }
            Err(_) => free_ports(services.len()),
        };
        assert_eq!(ports.len(), services.len(), "{PORTS}: one for each service");
        services.into_iter().zip(ports).collect()
    });
    chosen.iter().map(|(service, port)| (service, *port))
}

/// The host port of the service called `id`, in every world.
pub fn port(id: &str) -> u16 {
    let found = ports().find(|(service, _)| service.id == id);
    found.expect("a service of the starter image").1
}

/// The variables that set the ports.
pub(crate) fn variables() -> impl Iterator<Item = (String, String)> {
    ports().map(|(service, port)| {
        let variable = service.port_env.clone();
        (variable.expect("a variable"), port.to_string())
    })
}

/// Ports below those that the system gives to connections: one of them could come between two starts.
fn free_ports(count: usize) -> Vec<u16> {
    // Elsewhere than those of a program that looks for some at the same time.
    let first = 10_000 + (std::process::id() % 1000) as u16 * 20;
    // All at once: one that is given back may be given out again.
    let listeners: Vec<_> = (first..32_000)
        .filter_map(|port| std::net::TcpListener::bind(("127.0.0.1", port)).ok())
        .take(count)
        .collect();
    assert_eq!(listeners.len(), count, "no port from {first} on is free");
    let port = |listener: &std::net::TcpListener| listener.local_addr().expect("an address").port();
    listeners.iter().map(port).collect()
}
