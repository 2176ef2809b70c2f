//! Who listens on a port, and whose a connection is.

use std::io;
use std::net::SocketAddrV4;

use listeners::{Protocol, SocketState};

use crate::system;

/// The process that listens on the TCP port `port`, as `name (pid 123)`; `None` if nobody does, or
/// if it belongs to another user and the system does not tell.
pub fn owner(port: u16) -> Option<String> {
    let all = listeners::get_all().ok()?;
    let listener = all.into_iter().find(|listener| {
        listener.socket.port() == port
            && listener.protocol == Protocol::TCP
            && listener.state == SocketState::Listen
    })?;
    let process = listener.process;
    Some(format!("{} (pid {})", process.name, process.pid))
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
    use std::net::SocketAddr;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn the_owner_of_a_port_is_who_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let told = owner(port).unwrap();
        let ours = format!("(pid {})", std::process::id());
        assert!(told.ends_with(&ours), "{told}");

        let connection = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let port = connection.local_addr().unwrap().port();
        assert_eq!(owner(port), None, "connected is not listening");
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
