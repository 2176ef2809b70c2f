//! Cargo as a child: the one that runs us, with the lock file as it is committed.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command::{OnOurDeath, output_of, tied};

/// `cargo SUBCOMMAND --locked` in the checkout at `root`.
pub(crate) fn cargo(root: &Path, subcommand: &str) -> Command {
    let mut command = tool(root, subcommand);
    command.arg("--locked");
    command
}

/// The same without `--locked`, which `cargo fmt` and the like do not know.
pub(crate) fn tool(root: &Path, subcommand: &str) -> Command {
    let mut command = tied(program(), OnOurDeath::Terminate);
    // What Cargo told us about our own package is not for another build: build
    // scripts that watch such a variable would run again each time.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command.current_dir(root).arg(subcommand);
    command
}

/// The target triple of this machine.
pub(crate) fn host_triple() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let text = output_of(
        Command::new(rustc).arg("-vV"),
        "asking the compiler for its target",
    )?;
    text.lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .context("`rustc -vV` does not name its host")
}

fn program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
