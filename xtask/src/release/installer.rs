//! `cargo xtask release installer`: `install.sh` as a release has it.
//!
//! In the checkout it does not know where releases are. The one of a release does, and installs that very version, so
//! that what a page of the documents names stays what it was.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use images::github::Repo;

use super::VERSION;
use crate::workspace;

const SCRIPT: &str = "install.sh";

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    into: super::Into,
    /// Repository that the release is in
    #[arg(long, value_name = "OWNER/NAME")]
    repository: Repo,
}

/// `cargo xtask release installer`: prints the script's path.
pub(super) fn run(args: &Args) -> Result<()> {
    let place = make(&workspace::root()?, &args.into.ready()?, &args.repository)?;
    println!("{}", place.display());
    Ok(())
}

/// Writes the script of the release in `folder`.
pub(super) fn make(root: &Path, folder: &Path, repository: &Repo) -> Result<PathBuf> {
    let path = root.join(SCRIPT);
    let script =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let place = folder.join(SCRIPT);
    super::write(&place, fill(&script, repository)?.as_bytes())?;
    Ok(place)
}

/// The script with the two lines filled in that are there for that.
fn fill(script: &str, repository: &Repo) -> Result<String> {
    let mut filled = script.to_owned();
    for (name, value) in [
        ("repository", repository.to_string()),
        ("version", VERSION.to_owned()),
    ] {
        let empty = format!("\n{name}=''\n");
        ensure!(
            filled.matches(&empty).count() == 1,
            "{SCRIPT} has no single line {name}='' to fill in"
        );
        // Neither has a quote: one is a repository's name, the other our own version.
        filled = filled.replace(&empty, &format!("\n{name}='{value}'\n"));
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_of_a_release_knows_repository_and_version() {
        let script = fs::read_to_string(workspace::root().unwrap().join(SCRIPT)).unwrap();
        let filled = fill(&script, &"owner/name".parse().unwrap()).unwrap();
        assert!(filled.contains("\nrepository='owner/name'\n"));
        assert!(filled.contains(&format!("\nversion='{VERSION}'\n")));
        assert_eq!(filled.lines().count(), script.lines().count());
        fill("nothing to fill in", &"owner/name".parse().unwrap()).unwrap_err();
    }
}
