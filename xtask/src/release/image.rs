//! `cargo xtask release image`: the guest image under the contract's names, once the command line has had it through a
//! whole life.
//!
//! The image is pulled from its file, booted and captured; started from the snapshot, its secrets rotated once more while it
//! runs; stopped, continued, stopped for good. Only then is it in the release's folder.
//!
//! Its development settings come with it, as the contract allows: a pull would look for them in the repository's sources, where
//! only the published images have theirs.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::stages::Stages;
use crate::{image, package, ports, workspace};

/// The development settings of the starter.
const BASE_ENV: &str = "# The starter image needs no development settings.\n";

/// Host ports begin here, away from those of an emulator in use.
const PORTS: u16 = 36_700;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    into: super::Into,
    /// Architecture of the guest; this machine's without it
    #[arg(long, value_parser = ["amd64", "arm64"])]
    arch: Option<String>,
    /// Try by this program instead of building one
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

/// `cargo xtask release image`: prints the image's path.
pub(super) fn run(args: &Args) -> Result<()> {
    let root = workspace::root()?;
    let folder = args.into.ready()?;
    let mut stages = Stages::new("image");
    let mut wanted = image::Args::of(None);
    if let Some(arch) = &args.arch {
        wanted = wanted.for_arch(arch);
    }
    stages.run("set-up", || wanted.set_up())?;
    let built = stages.run("build", || image::ensure_built(&wanted))?;
    let program = stages.run("command line", || match &args.program {
        Some(program) => Ok(std::path::absolute(program)?),
        None => package::build_program(&root, None),
    })?;
    stages.run("trial", || {
        let trial = Trial::new(&root, &program, args.arch.as_deref())?;
        let lived = trial.live(&built.qcow2);
        // Whatever happened, no machine is left behind.
        trial.end();
        lived
    })?;
    let placed = stages.run("copy", || image::ensure_built(&wanted.copied_to(&folder)))?;
    super::write(
        &placed.qcow2.with_extension("base.env"),
        BASE_ENV.as_bytes(),
    )?;
    eprint!("{}", stages.table());
    println!("{}", placed.qcow2.display());
    Ok(())
}

/// A home of its own for the command line.
struct Trial {
    home: tempfile::TempDir,
    program: PathBuf,
    variables: Vec<(String, String)>,
}

impl Trial {
    fn new(root: &Path, program: &Path, arch: Option<&str>) -> Result<Self> {
        let home = tempfile::Builder::new()
            .prefix("release-")
            .tempdir()
            .context("cannot make a home for the trial")?;
        let mut variables = ports::variables(&ports::services(root)?, PORTS);
        let mut set = |name: &str, value: &str| variables.push((name.into(), value.into()));
        // Each step is to be the command's own, with nothing done ahead of it.
        set("STACK_EMULATOR_AHEAD", "off");
        if let Some(arch) = arch {
            set("EMULATOR_ARCH", arch);
        }
        Ok(Self {
            home,
            program: program.to_owned(),
            variables,
        })
    }

    /// Everything that an image has to go through before anybody else gets it.
    fn live(&self, qcow2: &Path) -> Result<()> {
        let file = qcow2.to_str().context("the image's path is not UTF-8")?;
        let pulled = self.json(&["pull", "--file", file])?;
        ensure!(
            pulled["snapshot"]["snapshot"]["id"].is_string(),
            "the image was booted, and yet no snapshot was taken: {pulled}"
        );
        let started = self.json(&["start"])?;
        ensure!(
            started["start"]["kind"] == "resumed",
            "the first start was not from the snapshot: {started}"
        );
        let before = self.text(&["secrets", "show", "pck"])?;
        self.json(&["secrets", "rotate"])?;
        ensure!(
            self.text(&["secrets", "show", "pck"])? != before,
            "the secrets are those of before the rotation"
        );
        self.json(&["stop"])?;
        let continued = self.json(&["start"])?;
        ensure!(
            continued["start"]["kind"] == "continued",
            "the second start did not continue the session: {continued}"
        );
        self.json(&["stop", "--discard"])?;
        Ok(())
    }

    fn end(&self) {
        if let Err(error) = self.json(&["stop", "--discard"]) {
            eprintln!("image: {error:#}");
        }
    }

    fn json(&self, arguments: &[&str]) -> Result<Value> {
        let output = self.run(&[arguments, &["--json"]].concat())?;
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("`stack-emulator {}` printed no JSON", arguments.join(" ")))
    }

    fn text(&self, arguments: &[&str]) -> Result<String> {
        String::from_utf8(self.run(arguments)?.stdout).context("a secret is not UTF-8")
    }

    fn run(&self, arguments: &[&str]) -> Result<Output> {
        eprintln!("image: stack-emulator {}", arguments.join(" "));
        let output = Command::new(&self.program)
            .args(arguments)
            .env("HOME", self.home.path())
            .env("STACK_EMULATOR_HOME", self.home.path().join("home"))
            .envs(self.variables.iter().cloned())
            .stdin(std::process::Stdio::null())
            .output()
            .with_context(|| format!("cannot run {}", self.program.display()))?;
        ensure!(
            output.status.success(),
            "`stack-emulator {}` ended with {}: {}{}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(output)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A program that answers as the command line does, except that it breaks what `broken` names.
    fn scripted(folder: &Path, broken: &str) -> PathBuf {
        let script = format!(
            r#"#!/bin/sh
echo "$*" >> {folder}/calls
case "$*" in
  pull*) echo '{{"snapshot": {{"snapshot": {{"id": "x"}}}}}}' ;;
  "start --json")
    if [ -e {folder}/session ]; then kind=continued; else kind=resumed; fi
    [ "{broken}" = start ] && kind=cold
    echo "{{\"start\": {{\"kind\": \"$kind\"}}}}" ;;
  "secrets show pck") cat {folder}/rotated 2>/dev/null || echo first ;;
  "secrets rotate --json") [ "{broken}" = rotate ] || echo second > {folder}/rotated; echo '{{}}' ;;
  "stop --json") touch {folder}/session; echo '{{}}' ;;
  *) echo '{{}}' ;;
esac
"#,
            folder = folder.display()
        );
        let path = folder.join("program");
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn trial(broken: &str) -> (Result<()>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let program = scripted(folder.path(), broken);
        let root = workspace::root().unwrap();
        let trial = Trial::new(&root, &program, None).unwrap();
        let lived = trial.live(Path::new("/the/image.qcow2"));
        let calls = fs::read_to_string(folder.path().join("calls")).unwrap();
        (lived, calls.lines().map(str::to_owned).collect())
    }

    #[test]
    fn an_image_goes_through_a_whole_life() {
        let (lived, calls) = trial("nothing");
        lived.unwrap();
        assert_eq!(
            calls,
            [
                "pull --file /the/image.qcow2 --json",
                "start --json",
                "secrets show pck",
                "secrets rotate --json",
                "secrets show pck",
                "stop --json",
                "start --json",
                "stop --discard --json",
            ]
        );
    }

    #[test]
    fn its_settings_are_called_as_a_pull_looks_for_them() {
        let arch = images::source::Arch::Arm64;
        let disk = PathBuf::from(images::source::names::disk(arch));
        let settings = disk.with_extension("base.env");
        assert_eq!(settings, Path::new(&images::source::names::base_env(arch)));
    }

    #[test]
    fn one_that_fails_at_a_step_is_refused_there() {
        for (broken, said) in [("start", "not from the snapshot"), ("rotate", "of before")] {
            let error = trial(broken).0.unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
