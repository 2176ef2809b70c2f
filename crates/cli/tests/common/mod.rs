//! The built program in a home folder of the test's own.

// Each test binary uses a part of this.
#![allow(dead_code, unreachable_pub)]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A home folder of the test's own, and the program in it.
pub struct Cli {
    dir: TempDir,
}

/// How the program ended, with what it said.
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Cli {
    pub fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub fn home(&self) -> &Path {
        self.dir.path()
    }

    /// The program with `arguments`, in an environment that holds nothing of the caller's.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stack-emulator"));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.home())
            .env("XDG_RUNTIME_DIR", self.home())
            .env("NO_PROXY", "127.0.0.1")
            .env("STACK_EMULATOR_HOME", self.home().join("größe 1"))
            // Trying KVM takes seconds on hosts where it hangs.
            .env("STACK_EMULATOR_ACCELERATOR", "tcg")
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ended {
        ended(self.command(arguments).output().unwrap())
    }

    pub fn run_with(&self, arguments: &[&str], name: &str, value: &str) -> Ended {
        ended(self.command(arguments).env(name, value).output().unwrap())
    }
}

/// What came of a program that has ended.
pub fn ended(output: Output) -> Ended {
    Ended {
        code: output.status.code().expect("the program was not killed"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Ended {
    /// Standard output, which must be one JSON object on one line.
    pub fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "{}", self.stdout);
        let value: Value = serde_json::from_str(&self.stdout).unwrap();
        assert!(value.is_object(), "{value}");
        value
    }

    /// The error's code, message and hint.
    pub fn error(&self) -> (String, String, Option<String>) {
        let json = self.json();
        let text = |name: &str| json["error"][name].as_str().map(ToOwned::to_owned);
        assert_eq!(
            json["error"].as_object().unwrap().len(),
            3,
            "code, message and hint: {json}"
        );
        (
            text("code").unwrap(),
            text("message").unwrap(),
            text("hint"),
        )
    }
}
