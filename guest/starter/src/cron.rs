//! The cron runner: calls the backend's cron endpoints once a minute.
//!
//! The secret is read from its file for each call and wiped after it, so a rotation needs to tell this
//! process nothing. Between calls it sleeps on the monotonic clock: it uses no processor time, which
//! snapshots are waiting for, and a jump of the wall clock does not make it catch up.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use zeroize::Zeroizing;

use crate::{
    notify, report,
    secrets::{self, SecretsError},
    settings::Settings,
};

/// Pause between two rounds.
const INTERVAL: Duration = Duration::from_secs(60);
/// Pause before the one retry after a refusal: long enough for a rotation to end.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// How long one call may take.
const CALL_LIMIT: Duration = Duration::from_secs(30);
/// What is called each round.
const ENDPOINTS: [&str; 2] = [
    "/api/latest/internal/email-queue-step",
    "/api/latest/internal/local-emulator/prune-step",
];

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The secret is not to be had.
    #[error("cannot read the cron secret")]
    Secret(#[from] SecretsError),
    /// The backend cannot be reached, or went away.
    #[error("the call failed; is stack-backend running?")]
    Io(#[from] io::Error),
    /// The backend did not answer HTTP.
    #[error("the answer was not HTTP")]
    NotHttp,
    /// The backend answered something else than 200.
    #[error("the answer was status {0}")]
    Status(u16),
}

/// Calls for ever. Failures are logged; the next round tries again.
pub fn run(settings: &Settings) -> ! {
    if let Err(error) = notify::ready() {
        report::log("cannot report readiness", &error);
    }
    loop {
        for endpoint in ENDPOINTS {
            let mut result = call(settings, endpoint);
            if matches!(result, Err(CallError::Status(401))) {
                // The secret was read just before a rotation and used just after it.
                thread::sleep(RETRY_PAUSE);
                result = call(settings, endpoint);
            }
            if let Err(error) = result {
                report::log(endpoint, &error);
            }
        }
        thread::sleep(INTERVAL);
    }
}

fn call(settings: &Settings, endpoint: &str) -> Result<(), CallError> {
    let secret = secrets::read_cron(&settings.config_dir)?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, settings.ports.backend()));
    let mut stream = TcpStream::connect_timeout(&address, CALL_LIMIT)?;
    stream.set_read_timeout(Some(CALL_LIMIT))?;
    stream.set_write_timeout(Some(CALL_LIMIT))?;
    let request = Zeroizing::new(format!(
        "GET {endpoint} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
        secret.expose()
    ));
    stream.write_all(request.as_bytes())?;
    let mut head = [0; 64];
    let mut filled = 0;
    while filled < head.len() {
        match stream.read(&mut head[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    match status(&head[..filled]) {
        Some(200) => Ok(()),
        Some(other) => Err(CallError::Status(other)),
        None => Err(CallError::NotHttp),
    }
}

/// The status from the first line of an answer.
fn status(head: &[u8]) -> Option<u16> {
    let rest = head.strip_prefix(b"HTTP/1.")?;
    let digits = rest.get(2..5)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_found() {
        assert_eq!(status(b"HTTP/1.1 200 OK\r\n"), Some(200));
        assert_eq!(status(b"HTTP/1.0 401\r\n"), Some(401));
        assert_eq!(status(b"HTTP/1.1 "), None);
        assert_eq!(status(b"junk"), None);
        assert_eq!(status(b""), None);
    }
}
