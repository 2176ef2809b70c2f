//! Who listens on a port.

use listeners::{Protocol, SocketState};

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

#[cfg(test)]
mod tests {
    use super::*;
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
}
