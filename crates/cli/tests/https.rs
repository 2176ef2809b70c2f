//! HTTPS as the program speaks it: whom it trusts, and what it says otherwise.
//!
//! On Linux, where `SSL_CERT_FILE` says whom to trust; macOS asks its keychain.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{Cli, Ended, ended};
use release_server::{Asset, Release, Scenario, Server};

const DISK: &str = "stack-emulator-amd64.qcow2";

/// A server with one release.
fn server(cli: &Cli) -> Server {
    let file = cli.home().join("disk");
    std::fs::write(&file, "a disk").unwrap();
    let asset = Asset {
        id: 1,
        name: DISK.into(),
        file,
        ..Asset::default()
    };
    let scenario = Scenario {
        repository: "stack-auth/stack-auth".into(),
        releases: vec![Release {
            tag: "emulator-dev-latest".into(),
            prerelease: true,
            published_at: "2026-01-01T00:00:00Z".into(),
            assets: vec![asset],
            ..Release::default()
        }],
        ..Scenario::default()
    };
    Server::start_tls(scenario, &["h2", "http/1.1"]).unwrap()
}

/// The releases of `server`, for a program that trusts the authority of `trusted` alone.
fn releases(cli: &Cli, server: &Server, trusted: &Server) -> Ended {
    let authority = cli.home().join("authority.pem");
    std::fs::write(&authority, trusted.authority().unwrap()).unwrap();
    let mut command = cli.command(&["releases", "--json"]);
    command
        .env("STACK_EMULATOR_GITHUB_API", server.api())
        .env("SSL_CERT_FILE", authority);
    ended(command.output().unwrap())
}

#[test]
fn it_trusts_the_authorities_of_the_file_that_is_named() {
    let cli = Cli::new();
    let server = server(&cli);
    let listed = releases(&cli, &server, &server);
    assert_eq!(listed.code, 0, "{}", listed.stdout);
    assert!(listed.stdout.contains("emulator-dev-latest"));
    assert!(
        server
            .requests()
            .iter()
            .all(|request| request.version == "HTTP/2.0")
    );
}

#[test]
fn a_certificate_that_is_not_accepted_is_an_error_with_host_reason_and_remedy() {
    let cli = Cli::new();
    let (server, other) = (server(&cli), server(&cli));
    let refused = releases(&cli, &server, &other);
    assert_ne!(refused.code, 0);
    let (code, message, hint) = refused.error();
    assert_eq!(code, "tls_certificate");
    assert!(
        message.contains("127.0.0.1") && message.contains("UnknownIssuer"),
        "{message}"
    );
    assert!(hint.unwrap().contains("SSL_CERT_FILE"));
    assert!(server.requests().is_empty());
}
