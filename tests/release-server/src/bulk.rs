//! Content by `sendfile(2)`, as web servers give it, and nothing else: for
//! measurements of a client on the same machine, where a server that takes a
//! processor for itself would be measured along with it.
//!
//! Answers `GET /storage/asset/<id>` with all of it, and ends the connection.
//! Knows neither ranges nor faults, and records nothing.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use tokio::net::TcpListener;

use crate::state::State;

/// Longest head of a request.
const MAX_HEAD: u64 = 16 << 10;

/// Serves for as long as the runtime does.
pub(crate) async fn serve(listener: TcpListener, state: Arc<State>) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let stream = stream.into_std()?;
        let state = state.clone();
        // The client sees how it ended.
        tokio::task::spawn_blocking(move || answer(&stream, &state));
    }
}

fn answer(stream: &TcpStream, state: &State) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    let mut lines = BufReader::new(stream.take(MAX_HEAD)).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    while lines
        .next()
        .transpose()?
        .is_some_and(|line| !line.is_empty())
    {}
    let id = first
        .strip_prefix("GET /storage/asset/")
        .and_then(|rest| rest.split([' ', '?']).next());
    let scenario = state.scenario();
    let Some(asset) = id.and_then(|id| scenario.asset(id)) else {
        return { stream }.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    };
    let file = File::open(&asset.file)?;
    let length = file.metadata()?.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    { stream }.write_all(head.as_bytes())?;
    send(&file, length, stream)
}

#[cfg(target_os = "linux")]
fn send(file: &File, length: u64, stream: &TcpStream) -> io::Result<()> {
    let mut sent = 0;
    while sent < length {
        let rest = usize::try_from(length - sent).unwrap_or(usize::MAX);
        if rustix::fs::sendfile(stream, file, Some(&mut sent), rest)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn send(file: &File, length: u64, stream: &TcpStream) -> io::Result<()> {
    io::copy(&mut file.take(length), &mut { stream }).map(drop)
}
