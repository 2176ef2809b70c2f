//! Who listens on a port, who else answers by the name `localhost`, and whose a connection is.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

use listeners::{Listener, Protocol, SocketState};

use crate::system;

/// How long a listener on this host may take to accept a connection: the kernel does that for it.
const ACCEPTED: Duration = Duration::from_millis(100);
/// How many processes above an owner are looked at: a shell, a package manager, a runner of tasks.
const ANCESTORS: usize = 6;

/// A process that listens on a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The name of its program.
    pub name: String,
    /// Its process id.
    pub pid: u32,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

impl Owner {
    /// The command lines of the process and of those that have started it, nearest first. What the system keeps
    /// from this user is left out.
    pub fn commands(&self) -> Vec<Vec<String>> {
        let above = |pid: &u32| system::parent(*pid).filter(|parent| *parent > 1);
        std::iter::successors(Some(self.pid), above)
            .take(1 + ANCESTORS)
            .map(system::arguments)
            .filter(|arguments| !arguments.is_empty())
            .collect()
    }
}

/// The process that listens on the TCP port `port`; `None` if nobody does, or if it belongs to another user and the
/// system does not tell.
pub fn owner(port: u16) -> Option<Owner> {
    // One that listens on IPv6 alone is in nobody's way on 127.0.0.1, and may be there as well.
    let mut found = listening(port);
    found.sort_by_key(|listener| listener.socket.is_ipv6());
    found.into_iter().next().map(owner_of)
}

/// Whether somebody accepts connections to the TCP port `port` at `::1`.
pub fn answers_on_ipv6(port: u16) -> bool {
    let address = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    TcpStream::connect_timeout(&address, ACCEPTED).is_ok()
}

/// As [`owner`], of who listens on `::1` or on all addresses of IPv6.
pub fn owner_on_ipv6(port: u16) -> Option<Owner> {
    let found = listening(port).into_iter();
    let mut found = found.filter(|listener| listener.socket.is_ipv6());
    found.next().map(owner_of)
}

fn listening(port: u16) -> Vec<Listener> {
    let all = listeners::get_all().unwrap_or_default().into_iter();
    let listens = |listener: &Listener| {
        listener.socket.port() == port
            && listener.protocol == Protocol::TCP
            && listener.state == SocketState::Listen
    };
    all.filter(listens).collect()
}

fn owner_of(listener: Listener) -> Owner {
    Owner {
        name: listener.process.name,
        pid: listener.process.pid,
    }
}

/// The connections to ports of this host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Whether one is open.
    pub open: bool,
    /// Those that have ended and are still told of, by the ports of the client and of the server.
    pub ended: BTreeSet<(u16, u16)>,
}

/// Whether the system tells of a connection for some time after its end: Linux for a minute, of those that were not
/// broken off.
pub const TELLS_OF_ENDED_CONNECTIONS: bool = system::TELLS_OF_ENDED_CONNECTIONS;

/// The connections to the TCP ports `ports` on the loopback.
///
/// # Errors
/// The system does not tell.
pub fn connections(ports: &[u16]) -> io::Result<Connections> {
    system::connections(ports)
}

/// Whether the end `client` of a connection to `server`, both on this host, is a process of this user.
///
/// # Errors
/// The system does not tell.
pub fn client_is_this_user(client: SocketAddrV4, server: SocketAddrV4) -> io::Result<bool> {
    let user = system::user_of_connection(client, server)?;
    Ok(user == Some(rustix::process::geteuid().as_raw()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// This process, as `owner` tells of it. A program that another test starts has our sockets as well, until it runs
    /// in place of us, and may be told of as long.
    fn this_process(owner: impl Fn() -> Option<Owner>) -> Owner {
        for _ in 0..500 {
            let told = owner().filter(|told| told.pid == std::process::id());
            if let Some(told) = told {
                return told;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{:?} is not this process", owner());
    }

    #[test]
    fn the_owner_of_a_port_is_who_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let told = this_process(|| owner(port));
        let own = std::env::args().next().unwrap();
        assert_eq!(told.commands()[0][0], own);
        assert!(told.commands().len() > 1, "somebody runs the tests");

        let connection = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let port = connection.local_addr().unwrap().port();
        assert_eq!(owner(port), None, "connected is not listening");
    }

    #[test]
    fn a_listener_on_ipv6_is_told_from_one_on_ipv4() {
        let here = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = here.local_addr().unwrap().port();
        assert!(!answers_on_ipv6(port) && owner_on_ipv6(port).is_none());
        // A host may have no IPv6, or the port be somebody's there.
        let Ok(_there) = TcpListener::bind((Ipv6Addr::LOCALHOST, port)) else {
            return;
        };
        assert!(answers_on_ipv6(port));
        this_process(|| owner_on_ipv6(port));
    }

    fn v4(address: SocketAddr) -> SocketAddrV4 {
        match address {
            SocketAddr::V4(address) => address,
            SocketAddr::V6(_) => panic!("{address} is of IPv6"),
        }
    }

    #[test]
    fn a_connection_of_our_own_is_told_from_none() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connection = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, client) = listener.accept().unwrap();
        let (client, server) = (v4(client), v4(accepted.local_addr().unwrap()));
        assert!(client_is_this_user(client, server).unwrap());
        let nobody = SocketAddrV4::new(*client.ip(), 1);
        assert!(!client_is_this_user(nobody, server).unwrap());
        drop(connection);
    }
}
