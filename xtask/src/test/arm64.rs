//! `cargo xtask test arm64`: an image for `arm64`, built here and had through a whole life, whatever this machine is.
//!
//! On another architecture QEMU translates both the programs that are installed and the guest that runs, so this takes
//! several times as long as the same for this machine's own; it is for nightly runs and for changes that concern it.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result};

use super::{IMAGE, PORTS, PROGRAM, programs};
use crate::cargo::cargo;
use crate::command::{OnOurDeath, tied};
use crate::stages::{Stages, run as run_command};
use crate::{desktop, image, package, workspace};

/// The end-to-end test program that takes this image, and no other.
pub(super) const TEST: &str = "arm64";

/// Builds all that it takes and runs it, with `rest` for the test program.
pub(super) fn run(root: &Path, rest: &[String]) -> Result<()> {
    let wanted = image::Args::of(None).for_arch("arm64");
    let mut stages = Stages::new("test");
    stages.run("set-up", || wanted.set_up())?;
    let image = stages.run("image", || image::ensure_built(&wanted))?;
    let program = stages.run("command line", || {
        let mut command = cargo(root, "build");
        // Chosen by its package, it would have dependencies with fewer features than the tests.
        command.args(["--workspace", "--features", desktop::EMBEDDED]);
        run_command(command.args(["--bin", package::PROGRAM]))?;
        Ok(workspace::target_dir(root)
            .join(desktop::Profile::Dev.folder())
            .join(package::PROGRAM))
    })?;
    let test = stages.run("test program", || programs::end_to_end_one(root, TEST))?;
    stages.run("whole life", || {
        // Short, since sockets are below; what a failed test leaves goes with it.
        let scratch = tempfile::Builder::new()
            .prefix("arm64-")
            .tempdir()
            .context("cannot make a temporary folder")?;
        let mut command = tied(&test, OnOurDeath::Terminate);
        command
            // It says how long each step took.
            .args(["--nocapture", "--test-threads", "1"])
            .args(rest)
            .env(IMAGE, &image.qcow2)
            .env(PROGRAM, &program)
            .env("TMPDIR", scratch.path())
            .env_remove(PORTS)
            .stdin(Stdio::null());
        run_command(&mut command)
    })?;
    eprint!("{}", stages.table());
    Ok(())
}
