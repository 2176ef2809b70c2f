//! Host ports: whether they are free, and who has them.
//!
//! Ours are on 127.0.0.1 alone. The name `localhost` also stands for `::1`, which browsers try first: a server of
//! somebody else that listens there is what they show.

mod known;

use std::net::{Ipv4Addr, TcpListener};

use serde::{Deserialize, Serialize};

use super::readiness::Endpoint;

/// The host port of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
pub struct ServicePort {
    /// The service's identifier.
    pub service: String,
    /// The port on 127.0.0.1.
    pub port: u16,
}

impl From<Endpoint> for ServicePort {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            service: endpoint.id,
            port: endpoint.port,
        }
    }
}

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
        write!(f, "port {} ({}) is in use", self.port, self.service)?;
        match &self.owner {
            Some(owner) => write!(f, " by {owner}"),
            None => Ok(()),
        }
    }
}

/// A program that `localhost` leads to in place of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OtherListener {
    /// The service's identifier.
    pub service: String,
    /// The port, which that program has on `::1`.
    pub port: u16,
    /// Who it is, where the system tells: `name (pid 123)`.
    pub owner: Option<String>,
}

impl std::fmt::Display for OtherListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let owner = self.owner.as_deref().unwrap_or("another program");
        let Self { port, service, .. } = self;
        write!(
            f,
            "http://localhost:{port} ({service}) can lead to {owner}, which has the port on ::1"
        )
    }
}

/// Who has `port`, where the system tells: `name (pid 123)`, or a program by a name that its users know.
pub(crate) fn owner(port: u16) -> Option<String> {
    host::ports::owner(port).map(|owner| known::name(&owner))
}

/// The services that `localhost` need not lead to, because another program has their ports on `::1`.
///
/// Asks by connecting, which costs next to nothing where nobody listens.
pub(crate) fn taken_on_ipv6(endpoints: &[Endpoint]) -> Vec<OtherListener> {
    endpoints
        .iter()
        .filter(|endpoint| host::ports::answers_on_ipv6(endpoint.port))
        .map(|endpoint| OtherListener {
            service: endpoint.id.clone(),
            port: endpoint.port,
            owner: host::ports::owner_on_ipv6(endpoint.port).map(|owner| known::name(&owner)),
        })
        .collect()
}

/// Whether `port` can be bound on 127.0.0.1 right now.
///
/// The listener is closed at once; between this and QEMU's own bind another
/// process may take the port, see [`lost`].
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Which of the endpoints' ports somebody has, and who.
pub(crate) fn taken(endpoints: &[Endpoint]) -> Vec<Taken> {
    endpoints
        .iter()
        .filter(|endpoint| !is_free(endpoint.port))
        .map(|endpoint| Taken {
            port: endpoint.port,
            service: endpoint.id.clone(),
            owner: owner(endpoint.port),
        })
        .collect()
}

/// Which port of `endpoints` a QEMU that ended at once did not get, if that is why: somebody took it
/// between our look and QEMU's. `said` is the end of QEMU's output; that it names a port is told by the
/// form of the argument, which is ours, and not by QEMU's words.
pub(crate) fn lost(endpoints: &[Endpoint], said: &str) -> Vec<Taken> {
    let is_named =
        |endpoint: &Endpoint| said.contains(&format!("tcp:127.0.0.1:{}-", endpoint.port));
    let mut lost = taken(endpoints);
    if lost.is_empty() {
        // Given back meanwhile.
        let named = endpoints.iter().filter(|endpoint| is_named(endpoint));
        lost.extend(named.map(|endpoint| Taken {
            port: endpoint.port,
            service: endpoint.id.clone(),
            owner: None,
        }));
    }
    lost
}

/// A port that is free right now, chosen by the system.
pub(crate) fn any_free() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

#[cfg(test)]
mod tests {
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
    fn who_has_the_port_on_ipv6_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let endpoints = [Endpoint {
            id: "dashboard".to_owned(),
            name: "Dashboard".to_owned(),
            port,
            path: None,
            browsable: true,
        }];
        assert_eq!(taken_on_ipv6(&endpoints), []);
        // A host may have no IPv6.
        let Ok(_other) = TcpListener::bind((std::net::Ipv6Addr::LOCALHOST, port)) else {
            return;
        };
        let taken = taken_on_ipv6(&endpoints);
        assert_eq!(taken.len(), 1);
        let told = taken[0].to_string();
        let pid = format!("(pid {})", std::process::id());
        assert!(told.contains(&pid) && told.contains("dashboard"), "{told}");
    }

    #[test]
    fn a_port_that_qemu_did_not_get_is_named_with_who_has_it() {
        let endpoint = |id: &str, port| Endpoint {
            id: id.to_owned(),
            name: id.to_owned(),
            port,
            path: None,
            browsable: false,
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let free = any_free().unwrap();
        let endpoints = [endpoint("dashboard", free), endpoint("backend", port)];
        let said = format!(
            "-netdev …: Could not set up host forwarding rule 'tcp:127.0.0.1:{port}-:8102'"
        );
        let told = lost(&endpoints, &said);
        let owner = format!("(pid {})", std::process::id());
        assert_eq!((told.len(), told[0].service.as_str()), (1, "backend"));
        assert!(told[0].owner.as_ref().unwrap().ends_with(&owner));
        drop(listener);
        let told = lost(&endpoints, &said);
        assert_eq!((told.len(), told[0].port, &told[0].owner), (1, port, &None));
        assert_eq!(lost(&endpoints, "no such machine"), []);
    }
}
