//! The command line under measurement, in a home folder of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use qemu::ProcessIdentity;
use serde_json::Value;

use crate::cargo::cargo;
use crate::ports;
use crate::stages::run as run_command;

/// Host ports begin here: below those that the system gives to connections, of which one could have ours.
const PORTS: u16 = 16_600;

/// One run of one command.
pub(super) struct Sample {
    /// From starting the process to its end, in milliseconds.
    pub wall_ms: f64,
    /// What it reported.
    pub report: Value,
}

impl Sample {
    /// Milliseconds of the phase called `name`; 0 if there was none.
    pub(super) fn phase(&self, name: &str) -> f64 {
        super::phases(&self.report)
            .filter(|(phase, _)| *phase == name)
            .map(|(_, ms)| ms)
            .sum()
    }

    pub(super) fn phase_names(&self) -> impl Iterator<Item = &str> {
        super::phases(&self.report).map(|(name, _)| name)
    }
}

/// `stack-emulator`, built for release.
pub(super) struct Program {
    path: PathBuf,
    home: PathBuf,
    image: PathBuf,
    /// One of its own for each service, by variable.
    ports: Vec<(String, String)>,
}

impl Program {
    /// Builds it, and empties its home.
    pub(super) fn build(root: &Path, home: &Path, image: &Path) -> Result<Self> {
        run_command(cargo(root, "build").args(["--release", "--package", "stack-emulator"]))?;
        let path = crate::workspace::target_dir(root).join("release/stack-emulator");
        let program = Self {
            path,
            home: home.to_owned(),
            image: image.to_owned(),
            ports: ports::variables(&ports::services(root)?, PORTS),
        };
        if home.exists() {
            program.run(&["stop", "--discard"], &[])?;
            std::fs::remove_dir_all(home)
                .with_context(|| format!("cannot remove {}", home.display()))?;
        }
        Ok(program)
    }

    /// Runs one command with `--json`.
    pub(super) fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Result<Sample> {
        self.run_to(arguments, variables, &[0])
    }

    /// `status`, which has an exit code of its own for an emulator that does not run.
    pub(super) fn status(&self, variables: &[(&str, &str)]) -> Result<Value> {
        Ok(self.run_to(&["status"], variables, &[0, 3])?.report)
    }

    fn run_to(
        &self,
        arguments: &[&str],
        variables: &[(&str, &str)],
        expected: &[i32],
    ) -> Result<Sample> {
        let begun = Instant::now();
        let output = Command::new(&self.path)
            .arg("--image")
            .arg(&self.image)
            .arg("--json")
            .args(arguments)
            .env("STACK_EMULATOR_HOME", &self.home)
            // Away from the default ports, so that it can run beside an emulator in use.
            .envs(self.ports.iter().cloned())
            // Nothing is to be at work that is not measured.
            .env("STACK_EMULATOR_AHEAD", "off")
            .envs(variables.iter().copied())
            .output()
            .with_context(|| format!("cannot run {}", self.path.display()))?;
        let wall_ms = begun.elapsed().as_secs_f64() * 1e3;
        let code = output.status.code();
        if !code.is_some_and(|code| expected.contains(&code)) {
            bail!(
                "`stack-emulator {}` failed: {}{}",
                arguments.join(" "),
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        let report = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("`stack-emulator {}` printed no JSON", arguments.join(" ")))?;
        Ok(Sample { wall_ms, report })
    }

    pub(super) fn repeat(
        &self,
        runs: usize,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Result<Vec<Sample>> {
        (0..runs).map(|_| self.run(arguments, variables)).collect()
    }

    /// The variables that give the services other ports, from `first` on.
    pub(super) fn ports_from(&self, first: u16) -> Vec<(String, String)> {
        let names = self.ports.iter().map(|(name, _)| name.clone());
        names.zip((first..).map(|port| port.to_string())).collect()
    }

    /// The program itself.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Folder of the current snapshot.
    pub(super) fn snapshot_folder(&self) -> PathBuf {
        self.instance().join("snapshots/current")
    }

    /// The processes that are at work in the home: QEMU and what stands beside it.
    pub(super) fn processes(&self) -> Result<Vec<ProcessIdentity>> {
        let home = self.home.as_os_str().as_encoded_bytes();
        let names_home = |pid: u32| {
            std::fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line.windows(home.len()).any(|part| part == home))
        };
        let mut found = vec![];
        for entry in std::fs::read_dir("/proc").context("cannot list processes")? {
            let name = entry?.file_name();
            let pid = name.to_str().and_then(|name| name.parse().ok());
            if let Some(pid) = pid.filter(|pid| names_home(*pid)) {
                found.extend(ProcessIdentity::of(pid)?);
            }
        }
        Ok(found)
    }

    /// Folder of the instance.
    pub(super) fn instance(&self) -> PathBuf {
        self.home.join("instances/default")
    }

    /// Bytes that the current snapshot's memory takes on disk.
    pub(super) fn snapshot_memory_bytes(&self) -> Option<u64> {
        stored(&self.instance().join("snapshots/current/ram.raw"))
    }

    /// Bytes that the saved session's memory takes on disk, if there is one.
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    pub(super) fn session_memory_bytes(&self) -> Option<f64> {
        stored(&self.instance().join("session/ram.mapped")).map(|bytes| bytes as f64)
    }
}

fn stored(path: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).ok().map(|meta| meta.blocks() * 512)
}
