//! Standard libraries of other systems, for checks on this one.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use super::find_program;
use crate::cargo::rustc;
use crate::command::{OnOurDeath, output_of, tied};
use crate::stages::run as run_command;

/// The macOS that everything is checked for.
pub(crate) const MACOS: &str = "aarch64-apple-darwin";

/// Makes sure that the compiler knows the target `triple`; rustup adds it where it is missing.
pub(crate) fn ensure_target(triple: &str) -> Result<()> {
    let folder = output_of(
        Command::new(rustc()).args(["--print", "target-libdir", "--target", triple]),
        "asking the compiler for its targets",
    )?;
    if Path::new(folder.trim_end()).is_dir() {
        return Ok(());
    }
    let Some(rustup) = find_program("rustup") else {
        bail!(
            "the compiler has no standard library for {triple}, and there is no rustup to add it"
        );
    };
    run_command(tied(rustup, OnOurDeath::Terminate).args(["target", "add", triple]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_of_this_machine_is_there_already() {
        ensure_target(&crate::cargo::host_triple().unwrap()).unwrap();
    }

    #[test]
    fn a_target_that_there_is_not_is_an_error() {
        assert!(ensure_target("no-such-machine").is_err());
    }
}
