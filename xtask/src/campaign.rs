//! `cargo xtask campaign`: blows at random on a real emulator, and what has to hold after each.
//!
//! The program `campaign` of the end-to-end tests does it, and understands the arguments; this makes what it needs.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result};

use crate::cargo::cargo;
use crate::command::{OnOurDeath, tied};
use crate::stages::{Stages, run as run_command};
use crate::{image, package, setup, test, workspace};

/// Cargo's name of the program.
pub(crate) const PROGRAM: &str = "campaign";
/// What every run of all tests strikes, for two minutes; a longer one, with another seed, does so each night.
const SHORT: [&str; 4] = ["--seed", "17", "--seconds", "120"];

#[derive(Clone, Debug, clap::Args)]
// `--help` is the program's, too.
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// Its arguments; `--help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<OsString>,
}

/// `cargo xtask campaign`.
pub(crate) fn run(args: &Args) -> Result<()> {
    let root = workspace::root()?;
    let mut stages = Stages::new("campaign");
    stages.run("set-up", || setup::ensure(&[setup::Need::Test]))?;
    let program = stages.run("programs", || {
        let mut command = cargo(&root, "build");
        // Chosen by their packages, they would have dependencies with fewer features than the tests.
        command.args(["--workspace", "--bin", PROGRAM, "--bin", package::PROGRAM]);
        run_command(&mut command)?;
        Ok(workspace::target_dir(&root).join("debug").join(PROGRAM))
    })?;
    let image = stages.run("image", || image::ensure_built(&image::Args::of(None)))?;
    strike(&root, &program, &image.qcow2, &args.rest)
}

/// The one that is a stage of all tests.
pub(crate) fn short() -> Result<()> {
    run(&Args {
        rest: SHORT.map(OsString::from).into(),
    })
}

/// The same with what was built for other tests.
pub(crate) fn short_with(root: &Path, program: &Path, image: &Path) -> Result<()> {
    strike(root, program, image, &SHORT.map(OsString::from))
}

/// Runs the program, which is beside the command line under test.
fn strike(root: &Path, program: &Path, image: &Path, words: &[OsString]) -> Result<()> {
    // Short, since sockets are below; its homes go with it.
    let scratch = tempfile::Builder::new()
        .prefix("campaign-")
        .tempdir()
        .context("cannot make a temporary folder")?;
    let evidence: PathBuf = workspace::target_dir(root).join("campaign");
    let mut command = tied(program, OnOurDeath::Terminate);
    command
        .arg("--evidence")
        .arg(evidence)
        .args(words)
        .env(test::IMAGE, image)
        .env(test::PROGRAM, program.with_file_name(package::PROGRAM))
        .env("TMPDIR", scratch.path())
        .env_remove(test::PORTS)
        .stdin(Stdio::null());
    run_command(&mut command)
}
