//! Host ports: which ones a start needs, whether they are free, who has them.

use std::net::{Ipv4Addr, TcpListener};

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

/// Whether `port` can be bound on 127.0.0.1 right now.
///
/// The listener is closed at once; between this and QEMU's own bind another
/// process may take the port, and then QEMU's error says so.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Which of the endpoints' ports somebody has, and who.
pub(crate) fn taken(endpoints: &[crate::readiness::Endpoint]) -> Vec<Taken> {
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

/// A port that is free right now, chosen by the system.
pub(crate) fn any_free() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

/// The process that listens on `port`, where the system tells.
#[cfg(target_os = "linux")]
pub(crate) fn owner(port: u16) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .find_map(|table| listening_inode(&std::fs::read_to_string(table).ok()?, port))?;
    let wanted = format!("socket:[{inode}]");
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let name = process.file_name();
        let Some(pid) = name
            .to_str()
            .filter(|name| name.bytes().all(|b| b.is_ascii_digit()))
        else {
            continue;
        };
        // Other users' processes cannot be read; that is no error.
        let Ok(files) = std::fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let holds = |file: std::fs::DirEntry| {
            std::fs::read_link(file.path()).is_ok_and(|to| to.as_os_str() == wanted.as_str())
        };
        if files.flatten().any(holds) {
            let command = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (pid {pid})", command.trim()));
        }
    }
    None
}

/// The process that listens on `port`: not told on this system.
#[cfg(not(target_os = "linux"))]
pub(crate) fn owner(_: u16) -> Option<String> {
    None
}

/// Finds the inode of the socket that listens on `port` in a table of the
/// kernel's `/proc/net/tcp` form.
#[cfg(target_os = "linux")]
fn listening_inode(table: &str, port: u16) -> Option<String> {
    const LISTEN: &str = "0A";
    let suffix = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let matches = fields.get(1)?.ends_with(&suffix) && *fields.get(3)? == LISTEN;
        matches.then(|| fields.get(9).map(ToString::to_string))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_seen_with_its_owner() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(!is_free(port));
        #[cfg(target_os = "linux")]
        assert!(
            owner(port)
                .unwrap()
                .contains(&format!("(pid {})", std::process::id()))
        );
        drop(listener);
        assert!(is_free(port));
    }
}
