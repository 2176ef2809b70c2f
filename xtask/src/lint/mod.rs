//! `cargo xtask lint`: all that can be checked without running the product.
//!
//! Every check runs, the cheap ones first, so that one round shows everything.

mod documents;
mod host_facts;
mod layers;
mod macos;
mod rooms;
mod sources;
mod words;
mod workflow_steps;
mod workflows;

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::cargo::{cargo, installed, tool};
use crate::command::{OnOurDeath, output_of, tied};
use crate::desktop;
use crate::fuzz;
use crate::setup;
use crate::stages::{Stages, run as run_command};
use crate::ui;
use crate::workspace;

pub(crate) use sources::tracked_files;

/// Installed where there is none.
const CARGO_DENY: &str = "cargo-deny@0.20.2";

/// Compares the page's bindings with the app's commands.
const BINDINGS: &str = "the_page_s_bindings_are_up_to_date";

type Check = fn(&Path) -> Result<()>;

const CHECKS: [(&str, Check); 14] = [
    ("format", format),
    ("sources", sources::check),
    ("host facts", host_facts::check),
    ("documents", documents::check),
    ("layers", layers::check),
    ("rooms", rooms::check),
    ("shell scripts", scripts),
    ("workflows", workflows::check),
    ("page", ui::lint),
    ("dependencies", dependencies),
    ("clippy", clippy),
    ("macos", macos::check),
    ("documentation", documentation),
    ("bindings", bindings),
];

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these checks
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(CHECKS.map(|(name, _)| name)))]
    checks: Vec<String>,
}

/// `cargo xtask lint`.
pub(crate) fn run(args: &Args) -> Result<()> {
    let wanted =
        |name: &str| args.checks.is_empty() || args.checks.iter().any(|check| check == name);
    setup::ensure(&[setup::Need::Test])?;
    let root = workspace::root()?;
    let mut stages = Stages::new("lint");
    let mut failed = vec![];
    for (name, check) in CHECKS.into_iter().filter(|(name, _)| wanted(name)) {
        if let Err(error) = stages.run(name, || check(&root)) {
            eprintln!("error: {error:#}");
            failed.push(name);
        }
    }
    eprint!("{}", stages.table());
    ensure!(failed.is_empty(), "lint failed: {}", failed.join(", "));
    Ok(())
}

/// Prints the names of the files that `cargo fmt` would change.
fn format(root: &Path) -> Result<()> {
    for workspace in ["", fuzz::FOLDER] {
        run_command(
            tool(root, "fmt")
                .args(["--all", "--check", "--manifest-path"])
                .arg(root.join(workspace).join("Cargo.toml"))
                .args(["--", "--files-with-diff"]),
        )?;
    }
    Ok(())
}

fn clippy(root: &Path) -> Result<()> {
    page(root)?;
    run_command(
        cargo(root, "clippy")
            .args(["--workspace", "--all-targets", "--quiet"])
            .args(["--features", desktop::EMBEDDED, "--features", "starter/sdk"])
            .args(["--", "--deny=warnings"]),
    )
}

/// Also of what is private: its links help us alone, and rot as fast.
fn documentation(root: &Path) -> Result<()> {
    page(root)?;
    run_command(
        cargo(root, "doc")
            .args([
                "--workspace",
                "--no-deps",
                "--document-private-items",
                "--quiet",
                "--features",
                desktop::EMBEDDED,
            ])
            .env(
                "RUSTDOCFLAGS",
                "--deny=warnings --allow=rustdoc::private_intra_doc_links",
            ),
    )
}

/// Makes sure that there is a page, of whatever age: the app is compiled with it, here as for its tests, since
/// dependencies would all be built once more with other features.
pub(super) fn page(root: &Path) -> Result<()> {
    if !root.join("ui/dist/index.html").is_file() {
        ui::build(root)?;
    }
    Ok(())
}

/// Whether the page's bindings are those that the app's commands give: a test of the app's, which can make them.
fn bindings(root: &Path) -> Result<()> {
    page(root)?;
    let test = || {
        let mut command = cargo(root, "test");
        command.args(["--workspace", "--lib", "--quiet"]).args([
            "--features",
            desktop::EMBEDDED,
            "--",
            BINDINGS,
        ]);
        command
    };
    run_command(&mut test())?;
    // A name that fits no test is no failure to the runner.
    let found = output_of(test().arg("--list"), "looking for the bindings' test")?;
    ensure!(
        found.contains(BINDINGS),
        "there is no test {BINDINGS} any more"
    );
    Ok(())
}

/// Licences, refused crates, and where crates come from.
fn dependencies(root: &Path) -> Result<()> {
    run_command(
        cargo_deny(root)?
            .args(["--workspace", "--locked", "check", "--hide-inclusion-graph"])
            // Two versions of a crate are no fault; `cargo deny check bans` shows them.
            .args(["--allow", "duplicate", "bans", "licenses", "sources"]),
    )
}

/// `cargo xtask advisories`: known faults of dependencies, by a database that is fetched.
pub(crate) fn advisories() -> Result<()> {
    let root = workspace::root()?;
    run_command(cargo_deny(&root)?.args(["--workspace", "--locked", "check", "advisories"]))
}

/// The `cargo deny` of this machine, else one of our own.
fn cargo_deny(root: &Path) -> Result<Command> {
    let there = tool(root, "deny").arg("--version").output();
    if there.is_ok_and(|output| output.status.success()) {
        return Ok(tool(root, "deny"));
    }
    let program = installed(root, CARGO_DENY, "cargo-deny")?;
    let mut command = tied(program, OnOurDeath::Terminate);
    command.current_dir(root);
    Ok(command)
}

/// Syntax of all shell scripts, each by the shell that its first line names, and ShellCheck.
fn scripts(root: &Path) -> Result<()> {
    let mut scripts = vec![];
    for file in tracked_files(root)? {
        let path = root.join(&file);
        let text =
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if let Some(shell) = shell_of(&text) {
            run_command(Command::new(shell).arg("-n").arg(&file).current_dir(root))?;
            scripts.push(file);
        }
    }
    if scripts.is_empty() {
        bail!("no shell script was found; has the list of files changed?");
    }
    run_command(
        Command::new("shellcheck")
            .args(["--severity=warning", "--"])
            .args(scripts)
            .current_dir(root),
    )
}

/// The shell that a script's first line names.
fn shell_of(text: &[u8]) -> Option<&'static str> {
    let line = text.split(|byte| *byte == b'\n').next()?;
    let words = str::from_utf8(line).ok()?.strip_prefix("#!")?;
    words.split([' ', '/']).find_map(|word| match word {
        "bash" => Some("bash"),
        "sh" | "dash" => Some("sh"),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_names_the_shell() {
        for (line, shell) in [
            ("#!/bin/sh\nset -e", Some("sh")),
            ("#!/usr/bin/env bash", Some("bash")),
            ("#!/bin/busybox sh", Some("sh")),
            ("#!/usr/bin/python3", None),
            ("# /bin/sh", None),
            ("", None),
        ] {
            assert_eq!(shell_of(line.as_bytes()), shell, "{line}");
        }
    }
}
