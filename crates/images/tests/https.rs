//! TLS, HTTP/2 and proxies, as they are set up by the environment of a process.
//!
//! On Linux, where `SSL_CERT_FILE` says whom to trust; macOS asks its keychain.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::process::Command;

use common::proxy::Proxy;
use common::{DISK_PATH, Failure, TOKEN, World, repo, tag};
use images::fetch::{FetchOptions, claim, fetch};
use images::github::{GitHub, Options};
use images::http::Retry;
use images::source::{Arch, resolve};
use images::{Token, Url};
use progress::Silent;
use release_server::{Fault, FaultKind, Recorded};
use serde_json::{Value, json};

/// Set for a process that is to list and pull: API, and staging folder.
const CHILD: [&str; 2] = ["IMAGES_TEST_HTTPS_API", "IMAGES_TEST_HTTPS_STAGING"];
const H2: &[&str] = &["h2", "http/1.1"];

/// Not a test but the other process of the tests, since a process can have only
/// one environment: this very program. Says what came of it in a line of JSON.
#[test]
fn the_process_that_lists_and_pulls() {
    let [Ok(api), Ok(staging)] = CHILD.map(std::env::var) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let done: Result<Value, Failure> = runtime.block_on(async {
        let options = Options {
            api: Some(Url::parse(&api).unwrap()),
            token: Token::new(TOKEN.into()),
            retry: Retry {
                base: std::time::Duration::from_millis(2),
                ..Retry::default()
            },
            ..Options::default()
        };
        let failed = |error| Failure::Resolve(images::source::ResolveError::Api(error));
        let github = GitHub::new(options).map_err(failed)?;
        let releases = github.emulator_releases(&repo()).await.map_err(failed)?;
        let resolved = resolve(&github, &repo(), &tag(), Arch::Amd64, &Silent).await?;
        let claim = claim(&resolved, staging.as_ref(), &Silent).await.unwrap();
        let options = FetchOptions::default();
        let fetched = fetch(&github, &resolved, &claim, options, &Silent).await?;
        Ok(json!({ "releases": releases.len(), "digest": fetched.digest }))
    });
    let said = done.unwrap_or_else(|error| json!({ "code": error.code(), "text": error.text() }));
    println!("\n{said}");
}

/// That process, which trusts the authority of `trusted` alone, with `variables`
/// and none of the caller's that matter here.
fn pull(world: &World, trusted: &World, variables: &[(&str, &str)]) -> Value {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_process_that_lists_and_pulls", "--nocapture"])
        .env_clear()
        .env(CHILD[0], world.server.api())
        .env(CHILD[1], world.staging())
        .env("SSL_CERT_FILE", trusted.authority())
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find(|line| line.starts_with('{'));
    serde_json::from_str(line.unwrap()).unwrap()
}

#[track_caller]
fn all_came(world: &World, said: &Value) {
    assert_eq!(
        *said,
        json!({ "releases": 1, "digest": world.digest() }),
        "{said}"
    );
    let requests = world.server.requests();
    for request in &requests {
        let stored = request.path.starts_with("/storage/");
        assert_ne!(request.has_token(), stored, "{request:?}");
    }
    assert!(requests.iter().any(|request| request.path == DISK_PATH));
}

/// Host and port, as a tunnel is asked for to it.
fn host(address: &str) -> String {
    let host = address.strip_prefix("https://").unwrap();
    host.trim_end_matches('/').to_owned()
}

#[test]
fn where_the_server_knows_it_http_2_is_spoken() {
    for (protocols, version) in [(H2, "HTTP/2.0"), (&["http/1.1"], "HTTP/1.1")] {
        let world = World::over_tls(protocols);
        all_came(&world, &pull(&world, &world, &[]));
        for request in world.server.requests() {
            assert_eq!(request.version, version, "{request:?}");
        }
    }
}

#[test]
fn a_connection_that_breaks_is_continued_over_http_2_too() {
    let world = World::over_tls(H2);
    world.server.set_faults(vec![Fault::times(
        1,
        DISK_PATH,
        FaultKind::Cut { after: 2_000_000 },
    )]);
    all_came(&world, &pull(&world, &world, &[]));
    let starts: Vec<_> = world.transfers().iter().map(|(from, _)| *from).collect();
    assert_eq!((starts.len(), starts[0]), (2, 0), "{starts:?}");
    // What was under way when it broke may be lost, but not more.
    assert!((1_000_000..2_000_000).contains(&starts[1]), "{starts:?}");
}

#[test]
fn an_authority_that_nobody_knows_is_an_error_with_a_remedy_at_the_first_try() {
    let (world, other, proxy) = (World::over_tls(H2), World::over_tls(H2), Proxy::start());
    for variables in [&[][..], &[("HTTPS_PROXY", proxy.address())]] {
        let said = pull(&world, &other, variables);
        assert_eq!(said["code"], "tls_certificate", "{said}");
        let text = said["text"].as_str().unwrap();
        for part in ["127.0.0.1", "UnknownIssuer", "TrustAuthority"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
    assert_eq!(proxy.hosts(), [host(world.server.api())]);
    assert!(world.server.requests().is_empty());
}

#[test]
fn without_any_authority_it_is_said_where_they_are_looked_for() {
    let world = World::over_tls(H2);
    let said = pull(&world, &world, &[("SSL_CERT_FILE", "/nowhere.pem")]);
    assert_eq!(said["code"], "tls_setup", "{said}");
    let text = said["text"].as_str().unwrap();
    assert!(text.contains("InstallCertificates"), "{text}");
}

#[test]
fn a_proxy_makes_tunnels_and_sees_no_token() {
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        let (world, proxy) = (World::over_tls(H2), Proxy::start());
        all_came(
            &world,
            &pull(&world, &world, &[(variable, proxy.address())]),
        );
        let (api, storage) = (host(world.server.api()), host(world.server.storage()));
        assert_eq!(proxy.hosts(), [api, storage], "{variable}");
        // It would have seen it if it had been there to see.
        assert!(proxy.has_seen("host: 127.0.0.1") && proxy.bytes() > 1_000);
        assert!(!proxy.has_seen(TOKEN) && !proxy.has_seen("authorization"));
        for request in world.server.requests() {
            assert_eq!(request.version, "HTTP/2.0", "{request:?}");
        }
    }
}

#[test]
fn no_proxy_leaves_hosts_out() {
    for variable in ["NO_PROXY", "no_proxy"] {
        let (world, proxy) = (World::over_tls(H2), Proxy::start());
        let variables = [
            ("HTTPS_PROXY", proxy.address()),
            (variable, "127.0.0.1,example.invalid"),
        ];
        all_came(&world, &pull(&world, &world, &variables));
        assert_eq!(proxy.hosts(), [host(world.server.storage())], "{variable}");
    }
}

#[test]
fn a_token_in_clear_is_for_the_loopback_and_for_no_proxy() {
    let (world, proxy) = (World::new(), Proxy::start());
    let tls = World::over_tls(H2);
    // The storage's requests hold none, and do go to the proxy, which refuses them.
    let said = pull(&world, &tls, &[("HTTP_PROXY", proxy.address())]);
    assert!(!proxy.has_seen(TOKEN) && !proxy.has_seen("authorization"));
    assert_eq!(said["code"], "github_status", "{said}");
    assert!(proxy.has_seen(DISK_PATH));
    assert!(world.server.requests().iter().all(Recorded::has_token));
}
