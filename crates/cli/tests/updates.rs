//! The notice of a newer release, as a user sees it: at a terminal, once a day, and never in anybody's way.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::process::{Command, Stdio};

use common::{Cli, ended};
use release_server::{Fault, FaultKind, Release, Scenario, Server};

const REPOSITORY: &str = "owner/name";
const ASKED: &str = "/repos/owner/name/releases/latest";

fn server(tag: &str) -> Server {
    Server::start(Scenario {
        repository: "owner/name".into(),
        releases: vec![Release {
            tag: tag.into(),
            published_at: "2026-01-01T00:00:00Z".into(),
            ..Release::default()
        }],
        ..Scenario::default()
    })
    .unwrap()
}

/// A home that is in use.
fn used() -> Cli {
    let cli = Cli::new();
    let set = cli.run(&["settings", "set", "branch", "main"]);
    assert_eq!(set.code, 0, "{}", set.stderr);
    cli
}

/// What `doctor` prints at a terminal of its own, as util-linux's `script` makes one. What it finds is of no account.
fn at_terminal(cli: &Cli, server: &Server, updates: &str) -> String {
    let program = cli.command(&[]);
    let mut script = Command::new("script");
    script
        .args(["--quiet", "--command"])
        .arg(format!("'{}' doctor", program.get_program().display()))
        .arg("/dev/null")
        .env_clear()
        .envs(
            program
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .env("STACK_EMULATOR_GITHUB_API", server.api())
        .env("STACK_EMULATOR_UPDATES", updates)
        .stdin(Stdio::null());
    let output = script.output().expect("util-linux's `script` is there");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("QEMU"),
        "that is no report of `doctor`: {text}"
    );
    text
}

fn times_asked(server: &Server) -> usize {
    let requests = server.requests();
    requests
        .iter()
        .filter(|request| request.path == ASKED)
        .count()
}

/// What is known of newer releases; without it, it is as if the day were over.
fn forget(cli: &Cli) {
    let kept = cli.home().join("größe 1/cache/updates.json");
    std::fs::remove_file(kept).unwrap();
}

/// What the command prints that tells. On a busy machine an answer may be too late for one.
fn told(cli: &Cli, server: &Server) -> String {
    for _ in 0..20 {
        let said = at_terminal(cli, server, REPOSITORY);
        if said.contains("is available") {
            return said;
        }
        forget(cli);
    }
    panic!("nobody was told of the newer release");
}

#[test]
fn it_is_told_at_a_terminal_and_not_again() {
    let (cli, server) = (used(), server("v99.0.0"));
    let said = told(&cli, &server);
    assert!(
        said.contains("Stack Emulator 99.0.0 is available"),
        "{said}"
    );
    assert!(said.contains("settings set updates off"), "{said}");
    assert!(server.requests().iter().all(|request| !request.has_token()));
    server.forget_requests();
    let again = at_terminal(&cli, &server, REPOSITORY);
    assert!(!again.contains("is available"), "{again}");
    assert_eq!(times_asked(&server), 0, "once a day");
}

/// GitHub counts no question whose answer it need not give again.
#[test]
fn what_was_answered_before_is_asked_for_by_its_etag() {
    let (cli, server) = (used(), server("v99.0.0"));
    told(&cli, &server);
    server.forget_requests();
    forget(&cli);
    told(&cli, &server);
    let requests = server.requests();
    let mut asked = requests.iter().filter(|request| request.path == ASKED);
    assert!(asked.all(|request| request.headers.contains_key("if-none-match")));
    assert!(times_asked(&server) > 0);
}

#[test]
fn the_same_release_is_no_news() {
    let version = env!("CARGO_PKG_VERSION");
    let (cli, server) = (used(), server(&format!("v{version}")));
    let said: String = (0..2)
        .map(|_| at_terminal(&cli, &server, REPOSITORY))
        .collect();
    assert!(!said.contains("is available"), "{said}");
}

#[test]
fn where_nobody_wants_to_know_nobody_asks() {
    let (cli, server) = (used(), server("v99.0.0"));
    at_terminal(&cli, &server, "off");
    // And not at a terminal.
    let mut command = cli.command(&["doctor"]);
    command
        .env("STACK_EMULATOR_GITHUB_API", server.api())
        .env("STACK_EMULATOR_UPDATES", REPOSITORY);
    let said = ended(command.output().unwrap());
    assert!(!said.stderr.contains("is available"), "{}", said.stderr);
    assert_eq!(times_asked(&server), 0);
    let wrong = cli.run_with(&["doctor"], "STACK_EMULATOR_UPDATES", "nothing");
    assert_eq!(wrong.code, 2);
    assert!(
        wrong.stderr.contains("STACK_EMULATOR_UPDATES"),
        "{}",
        wrong.stderr
    );
}

#[test]
fn a_server_that_does_not_answer_is_left_alone() {
    let (cli, server) = (used(), server("v99.0.0"));
    server.set_faults(vec![Fault::always(
        ASKED,
        FaultKind::Status {
            status: 500,
            headers: vec![],
        },
    )]);
    let said: String = (0..2)
        .map(|_| at_terminal(&cli, &server, REPOSITORY))
        .collect();
    assert!(!said.contains("is available"), "{said}");
    assert!(
        times_asked(&server) <= 1,
        "once a day, whatever comes of it"
    );
}
