//! `cargo xtask pictures`: what the documents show of the product, taken from a real run.
//!
//! The end-to-end tests' program `pictures` drives the command line and the app in a session and a home of their own,
//! as those tests do. The phases' picture is the benchmark's.

mod terminal;

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::cargo::cargo;
use crate::command::output_of;
use crate::desktop::{self, Profile};
use crate::stages::Stages;
use crate::{image, package, ports, setup, test, workspace};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Write the pictures into this folder instead of docs/
    #[arg(long)]
    into: Option<PathBuf>,
}

/// `cargo xtask pictures`.
pub(crate) fn run(args: &Args) -> Result<()> {
    let root = workspace::root()?;
    let folder = args.into.clone().unwrap_or_else(|| root.join("docs"));
    let mut stages = Stages::new("pictures");
    stages.run("set-up", || setup::ensure(&[setup::Need::Test]))?;
    let image = stages.run("image", || image::ensure_built(&image::Args::of(None)))?;
    let services = ports::services(&root)?;
    // As the end-to-end tests have both, so that neither is built for this alone.
    let app = stages.run("programs", || desktop::build(&root, Profile::Dev, None))?;
    let driver = stages.run("driver of the app", || desktop::tauri_driver(&root))?;
    let session = stages.run("pictures", || {
        // Their home, snapshot included, goes with it.
        let scratch = tempfile::Builder::new()
            .prefix("emulator-pictures-")
            .tempdir()
            .context("cannot make a temporary folder")?;
        output_of(
            cargo(&root, "run")
                .args(["--quiet", "--package", "e2e", "--bin", "pictures", "--"])
                .args(["light", "dark"].map(|scheme| folder.join(format!("desktop-{scheme}.png"))))
                .env(test::IMAGE, &image.qcow2)
                .env(test::PROGRAM, app.with_file_name(package::PROGRAM))
                .env(test::DESKTOP, &app)
                .env(test::TAURI_DRIVER, driver)
                // The addresses of an emulator without settings.
                .env(
                    test::PORTS,
                    ports::list(services.iter().map(|service| service.host_port)),
                )
                .env("TMPDIR", scratch.path()),
            "taking the pictures",
        )
    })?;
    let session: Vec<terminal::Entry> =
        serde_json::from_str(&session).context("cannot understand what `pictures` printed")?;
    let file = folder.join("terminal.svg");
    std::fs::write(&file, terminal::draw(&session))
        .with_context(|| format!("cannot write {}", file.display()))?;
    eprint!("{}", stages.table());
    eprintln!("\npictures: {}", folder.display());
    Ok(())
}
