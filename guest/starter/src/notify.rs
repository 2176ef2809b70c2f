//! Tells systemd that a service is ready (`sd_notify(3)`), in one datagram.

use std::{
    env, io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

/// Reports readiness. Does nothing when systemd did not ask for it.
///
/// # Errors
/// When systemd asked but its socket does not take the message; the unit would time out.
pub fn ready() -> io::Result<()> {
    let Some(name) = env::var_os("NOTIFY_SOCKET") else {
        return Ok(());
    };
    // A leading `@` stands for the NUL of an abstract socket name.
    let address = match name.as_bytes() {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
        _ => SocketAddr::from_pathname(&name)?,
    };
    UnixDatagram::unbound()?
        .send_to_addr(b"READY=1", &address)
        .map(|_| ())
}
