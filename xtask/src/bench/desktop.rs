//! The desktop app: how soon its window can be used, and what it costs while nobody looks.
//!
//! Measured in a session of its own by the end-to-end tests' program `desktop_figures`, which drives the app as
//! those tests do.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::cargo::cargo;
use crate::command::output_of;
use crate::desktop::{self, Profile};
use crate::{setup, test};

#[derive(Deserialize)]
struct Figures {
    usable_ms: f64,
    idle_cpu_percent: f64,
    resident_bytes: f64,
}

/// `program`: the command line; `image`: what the app finds installed.
pub(super) fn measure(root: &Path, program: &Path, image: &Path) -> Result<()> {
    println!("desktop app");
    setup::ensure(&[setup::Need::Test])?;
    let app = desktop::build(root, Profile::Release, None)?;
    let driver = desktop::tauri_driver(root)?;
    // Its home, snapshot included, goes with it.
    let scratch = tempfile::Builder::new()
        .prefix("emulator-bench-")
        .tempdir()
        .context("cannot make a temporary folder")?;
    let text = output_of(
        cargo(root, "run")
            .args(["--quiet", "--package", "e2e", "--bin", "desktop_figures"])
            .env(test::IMAGE, image)
            .env(test::PROGRAM, program)
            .env(test::DESKTOP, app)
            .env(test::TAURI_DRIVER, driver)
            .env("TMPDIR", scratch.path()),
        "measuring the desktop app",
    )?;
    let figures: Figures =
        serde_json::from_str(&text).context("cannot understand what `desktop_figures` printed")?;
    let row = |name: &str, value: String| println!("  {name:<58} {value:>10}");
    row(
        "window usable after launch (at most 1.50 s wanted)",
        super::seconds(figures.usable_ms),
    );
    row(
        "hidden and idle for a minute (under 0.2 % wanted)",
        format!("{:.2} %", figures.idle_cpu_percent),
    );
    row(
        "memory of the app's own process",
        super::megabytes(figures.resident_bytes),
    );
    Ok(())
}
