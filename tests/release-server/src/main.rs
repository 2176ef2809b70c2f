//! `release-server SCENARIO.json`: the server for tests that are not written in
//! Rust. Prints one line of JSON with its addresses, and ends when its standard
//! input does, so that it never outlives who started it.
//!
//! `POST /_control/faults`, `POST /_control/scenario`, `GET /_control/requests`
//! and `DELETE /_control/requests` steer it.

use std::io::{Error, Read as _, Write as _};

use release_server::{Scenario, Server};

fn main() -> std::io::Result<()> {
    let path = std::env::args_os()
        .nth(1)
        .ok_or_else(|| Error::other("usage: release-server SCENARIO.json"))?;
    let scenario: Scenario = serde_json::from_slice(&std::fs::read(path)?)?;
    let server = Server::start(scenario)?;
    let addresses = serde_json::json!({
        "api": server.api(),
        "storage": server.storage(),
        "bulk": server.bulk(),
    });
    let mut out = std::io::stdout().lock();
    writeln!(out, "{addresses}")?;
    out.flush()?;
    let mut ignored = [0; 1024];
    while std::io::stdin().read(&mut ignored)? > 0 {}
    Ok(())
}
