//! `cargo xtask release programs`: the command line as a tarball, `stack-emulator-<version>-<target>.tar.gz`.
//!
//! Its folders are those of a prefix such as `/usr/local`, and every way in takes it from there: `install.sh`,
//! Homebrew's formula and the packages for npm.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use images::github::Repo;

use super::tarball::Tarball;
use super::{Target, VERSION};
use crate::cargo::host_triple;
use crate::command::output_of;
use crate::stages::run as run_command;
use crate::{package, workspace};

/// Shells, and where below a prefix each looks for completion scripts.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "share/bash-completion/completions/stack-emulator"),
    ("zsh", "share/zsh/site-functions/_stack-emulator"),
    (
        "fish",
        "share/fish/vendor_completions.d/stack-emulator.fish",
    ),
];

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    into: super::Into,
    /// Repository that the program looks for newer releases in; it does not look without one
    #[arg(long, value_name = "OWNER/NAME")]
    repository: Option<Repo>,
    /// Pack this program of this machine's kind instead of building one
    #[arg(long, value_name = "FILE", conflicts_with = "repository")]
    program: Option<PathBuf>,
}

/// `cargo xtask release programs`: prints the tarball's path.
pub(super) fn run(args: &Args) -> Result<()> {
    let root = workspace::root()?;
    let folder = args.into.ready()?;
    let program = match &args.program {
        Some(program) => std::path::absolute(program)?,
        None => package::build_program(&root, args.repository.as_ref())?,
    };
    println!("{}", make(&root, &program, &folder)?.display());
    Ok(())
}

/// Packs `program`, which is of this machine's kind, into the release in `folder`.
pub(super) fn make(root: &Path, program: &Path, folder: &Path) -> Result<PathBuf> {
    let target = Target::from_triple(&host_triple()?)?;
    let tarball = folder.join(target.tarball());
    super::write(&tarball, &pack(root, program, target)?)?;
    Ok(tarball)
}

/// The program in a tarball, with what it says of itself.
fn pack(root: &Path, program: &Path, target: Target) -> Result<Vec<u8>> {
    let version = output_of(
        Command::new(program).arg("--version"),
        "asking the command line for its version",
    )?;
    ensure!(
        version.trim_end() == format!("stack-emulator {VERSION}"),
        "{} is {}, and this is the checkout of {VERSION}",
        program.display(),
        version.trim_end()
    );
    let stem = target.stem();
    let mut tarball = Tarball::default();
    let read =
        |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    tarball.program(format!("{stem}/bin/{}", package::PROGRAM), read(program)?);
    for document in ["LICENSE", "CHANGELOG.md"] {
        let path = format!("{stem}/share/doc/stack-emulator/{document}");
        tarball.file(path, read(&root.join(document))?);
    }
    let pages = tempfile::tempdir().context("cannot make a folder for the manual pages")?;
    run_command(
        Command::new(program)
            .arg("man")
            .arg("--dir")
            .arg(pages.path()),
    )?;
    for name in super::files_in(pages.path())? {
        let page = read(&pages.path().join(&name))?;
        tarball.file(format!("{stem}/share/man/man1/{name}"), page);
    }
    for (shell, place) in COMPLETIONS {
        let script = output_of(
            Command::new(program).args(["completions", shell]),
            "asking the command line for a completion script",
        )?;
        tarball.file(format!("{stem}/{place}"), script.into_bytes());
    }
    tarball.bytes()
}
