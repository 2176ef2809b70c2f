//! The GitHub Action's steps, run as a runner does: with files for results, variables and `PATH`, one process a step.
//!
//! The command line is a script that notes how it was called; what the real one does is for other tests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use e2e::releases::{Scripted, fails, succeeds};
use release_server::{Scenario, Server};

/// Answers as the command line does, and notes its arguments in `$RUNNER_TEMP/calls`.
const PROGRAM: &str = r#"
[ -n "$RUNNER_TEMP" ] && echo "$*" >> "$RUNNER_TEMP/calls"
case "$1" in
releases) echo '{"releases": [
  {"tag": "emulator-other", "assets": [{"name": "stack-emulator-amd64.qcow2", "digest": "sha256:00"}]},
  {"tag": "emulator-dev-latest", "assets": [
    {"name": "stack-emulator-amd64.json", "digest": "sha256:11"},
    {"name": "stack-emulator-arm64.qcow2", "digest": "sha256:abcd"},
    {"name": "stack-emulator-amd64.qcow2", "digest": "sha256:abcd"}]}]}'; exit ;;
credentials) printf '%s\n' STACK_PROJECT_ID=p-1 STACK_SECRET_SERVER_KEY=hidden=1 STACK_API_URL=http://127.0.0.1:26701; exit ;;
esac"#;

/// A job on a runner.
struct Job {
    folder: tempfile::TempDir,
    server: Server,
    inputs: Vec<(&'static str, &'static str)>,
}

impl Job {
    fn new() -> Self {
        let scripted = Scripted::new("99.1.0", PROGRAM);
        let server = Server::start(Scenario {
            repository: "owner/name".into(),
            releases: vec![scripted.released(1)],
            ..Scenario::default()
        })
        .unwrap();
        let job = Self {
            folder: tempfile::tempdir().unwrap(),
            server,
            inputs: vec![],
        };
        // The server reads the files as long as they are asked for: only by this step.
        succeeds(&mut job.step("install"));
        job
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The lines of a file that a step writes to, or of the calls.
    fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn results(&self) -> BTreeMap<String, String> {
        let pair = |line: String| {
            let (name, value) = line.split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        };
        self.lines("output").into_iter().map(pair).collect()
    }

    /// A step with what those before it have set.
    fn step(&self, word: &str) -> Command {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let path = std::env::var_os("PATH").unwrap();
        let added = self.lines("path").into_iter().map(PathBuf::from);
        let folders: Vec<_> = added.chain(std::env::split_paths(&path)).collect();
        let variables = self.lines("env");
        let variables = variables.iter().filter_map(|line| line.split_once('='));
        let mut command = Command::new("bash");
        command
            .arg(root.join("packaging/action/steps.sh"))
            .arg(word)
            .env_clear()
            .envs(variables)
            .envs(self.inputs.iter().copied())
            .env("PATH", std::env::join_paths(folders).unwrap())
            .env("HOME", self.folder.path())
            .env("RUNNER_TEMP", self.folder.path())
            .env("GITHUB_OUTPUT", self.path("output"))
            .env("GITHUB_ENV", self.path("env"))
            .env("GITHUB_PATH", self.path("path"))
            .env("NO_PROXY", "127.0.0.1,::1,localhost")
            .env(
                "STACK_EMULATOR_DOWNLOADS",
                format!("{}owner/name/releases", self.server.api()),
            )
            .stdin(Stdio::null());
        command
    }
}

#[test]
fn the_command_line_is_there_for_the_steps_that_follow() {
    let job = Job::new();
    let folders = job.lines("path");
    assert!(Path::new(&folders[0]).join("stack-emulator").exists());
    assert!(
        !job.path(".local").exists(),
        "it is the job's, not the user's"
    );
    let home = &job.results()["home"];
    assert_eq!(job.lines("env"), [format!("STACK_EMULATOR_HOME={home}")]);
}

#[test]
fn the_cache_s_key_is_of_the_image_and_the_host() {
    let mut job = Job::new();
    succeeds(&mut job.step("key"));
    let key = job.results()["key"].clone();
    assert!(key.starts_with("stack-emulator-abcd-"), "{key}");
    succeeds(&mut job.step("key"));
    assert_eq!(job.results()["key"], key, "the same for the same");
    job.inputs = vec![("IMAGE_TAG", "emulator-none"), ("IMAGE_REPOSITORY", "a/b")];
    let said = fails(&mut job.step("key"), 1);
    assert!(said.contains("::error::no release emulator-none"), "{said}");
    assert!(
        job.lines("calls")
            .contains(&"releases --json --repo a/b".to_owned())
    );
}

#[test]
fn the_app_s_credentials_are_variables_and_its_secret_is_masked() {
    let mut job = Job::new();
    job.inputs = vec![("CONFIG_FILE", "app/stack.config.ts"), ("FORMAT", "next")];
    succeeds(&mut job.step("prepare"));
    let said = succeeds(&mut job.step("start"));
    assert!(said.contains("::add-mask::hidden=1\n"), "{said}");
    assert!(!said.contains("p-1"), "{said}");
    let variables = job.lines("env");
    for line in ["STACK_PROJECT_ID=p-1", "STACK_SECRET_SERVER_KEY=hidden=1"] {
        assert!(variables.iter().any(|found| found == line), "{variables:?}");
    }
    let calls = job.lines("calls");
    let calls: Vec<_> = calls
        .iter()
        .filter(|call| !call.starts_with("--version"))
        .collect();
    assert_eq!(
        calls,
        [
            "pull",
            "start",
            "credentials --config-file app/stack.config.ts --format next"
        ]
    );
}

#[test]
fn what_was_chosen_is_pulled_and_without_an_app_there_are_no_variables() {
    let mut job = Job::new();
    job.inputs = vec![("IMAGE_TAG", "emulator-x"), ("IMAGE_REPOSITORY", "a/b")];
    succeeds(&mut job.step("prepare"));
    succeeds(&mut job.step("start"));
    assert!(
        job.lines("calls")
            .contains(&"pull --tag emulator-x --repo a/b".to_owned())
    );
    assert_eq!(job.lines("env").len(), 1);
    succeeds(&mut job.step("save-logs"));
    let calls = job.lines("calls");
    assert!(
        calls.last().unwrap().starts_with("diagnostics "),
        "{calls:?}"
    );
    fails(&mut job.step("frobnicate"), 2);
}
