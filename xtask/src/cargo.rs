//! Cargo as a child: the one that runs us, with the lock file as it is committed.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command::{OnOurDeath, output_of, tied};
use crate::stages::run as run_command;
use crate::workspace;

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

/// The program `name` of the crate `package`, given with its version; built into the user's cache
/// unless it is there.
pub(crate) fn installed(root: &Path, package: &str, name: &str) -> Result<PathBuf> {
    // A folder for the version: another one is another folder.
    let place = workspace::cache_dir()?.join("tools").join(package);
    let program = place.join("bin").join(name);
    if !program.is_file() {
        // Without optimisation: building one takes longer than all that it is used for.
        run_command(
            cargo(root, "install")
                .args(["--quiet", "--debug", package, "--root"])
                .arg(&place)
                // And nobody debugs it.
                .env("CARGO_PROFILE_DEV_DEBUG", "0"),
        )?;
    }
    Ok(program)
}

/// The target triple of this machine.
pub(crate) fn host_triple() -> Result<String> {
    let text = output_of(
        Command::new(rustc()).arg("-vV"),
        "asking the compiler for its target",
    )?;
    text.lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .context("`rustc -vV` does not name its host")
}

/// The compiler that Cargo uses.
pub(crate) fn rustc() -> OsString {
    std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}

fn program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
