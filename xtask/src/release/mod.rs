//! `cargo xtask release`: what a release is made of, one command a thing, so that a workflow has only to call them.
//!
//! | command | what it leaves in the folder |
//! |---|---|
//! | `programs` | the command line of this machine's kind, with manual pages and completions, as a tarball |
//! | `packages` | the app: Debian package, `AppImage`, disk image for Macs |
//! | `image` | the guest image, once the command line has booted, captured, started, rotated and stopped it |
//! | `installer` | `install.sh`, which knows the repository and the version |
//! | `npm` | the packages for npm, of the tarballs |
//! | `formula` | a formula and a cask for Homebrew, of the digests |
//! | `updates` | `latest.json`, of the packages: what the app's updater reads, with signatures |
//! | `sums` | `SHA256SUMS`, of all files |
//! | `publish` | nothing; hands the folder to GitHub |
//!
//! Each reads what those before it have left, so a folder may be filled on several machines and brought together.

mod formula;
mod image;
mod installer;
mod npm;
mod packages;
mod programs;
mod publish;
mod sums;
mod tarball;
mod updates;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;

use crate::command::output_of;

/// The product's version, which all members of the workspace have.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Systems that the command line is released for.
pub(crate) const TARGETS: [Target; 4] = [
    Target {
        triple: "x86_64-unknown-linux-gnu",
        os: "linux",
        cpu: "x64",
    },
    Target {
        triple: "aarch64-unknown-linux-gnu",
        os: "linux",
        cpu: "arm64",
    },
    Target {
        triple: "x86_64-apple-darwin",
        os: "darwin",
        cpu: "x64",
    },
    Target {
        triple: "aarch64-apple-darwin",
        os: "darwin",
        cpu: "arm64",
    },
];

/// A system that the command line is released for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// As Rust calls it, and the tarball.
    pub(crate) triple: &'static str,
    /// Node's `process.platform`.
    pub(crate) os: &'static str,
    /// Node's `process.arch`.
    pub(crate) cpu: &'static str,
}

impl Target {
    /// The one that Rust calls `triple`.
    fn from_triple(triple: &str) -> Result<Self> {
        let found = TARGETS.into_iter().find(|target| target.triple == triple);
        found.with_context(|| {
            let known = TARGETS.map(|target| target.triple).join(", ");
            format!("no releases are made for {triple}; choose one of {known}")
        })
    }

    /// What its tarball is called, without the ending; also the one folder in it.
    fn stem(self) -> String {
        format!("stack-emulator-{VERSION}-{}", self.triple)
    }

    /// The file name of its tarball.
    fn tarball(self) -> String {
        format!("{}.tar.gz", self.stem())
    }
}

/// The folder that a release is put together in.
#[derive(Clone, Debug, clap::Args)]
struct Into {
    /// Folder of the release, made if it is not there
    #[arg(
        long = "into",
        value_name = "DIR",
        default_value = "target/release-files"
    )]
    folder: PathBuf,
}

impl Into {
    /// The folder, which is there afterwards.
    fn ready(&self) -> Result<PathBuf> {
        let folder = std::path::absolute(&self.folder)?;
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    }
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Pack the command line with its manual pages and completions
    Programs(programs::Args),
    /// Build the app's packages: `.deb`, `AppImage`, `.dmg`
    Packages(packages::Args),
    /// Try the guest image by the command line, then put it in the folder
    Image(image::Args),
    /// Write install.sh for a repository and this version
    Installer(installer::Args),
    /// Make the packages for npm
    Npm(npm::Args),
    /// Write a formula and a cask for Homebrew
    Formula(formula::Args),
    /// Sign what an app can be replaced with, and list it for the app's updater
    Updates(updates::Args),
    /// Write SHA256SUMS over the folder
    Sums(sums::Args),
    /// Hand the folder to GitHub as a release
    Publish(publish::Args),
}

/// `cargo xtask release`.
pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.command {
        Command::Programs(args) => programs::run(args),
        Command::Packages(args) => packages::run(args),
        Command::Image(args) => image::run(args),
        Command::Installer(args) => installer::run(args),
        Command::Npm(args) => npm::run(args),
        Command::Formula(args) => formula::run(args),
        Command::Updates(args) => updates::run(args),
        Command::Sums(args) => sums::run(args),
        Command::Publish(args) => publish::run(args),
    }
}

/// A release of this machine's command line, for tests: in `folder`, which it empties first.
///
/// Its program is `program` without what only debuggers read, as that of a real release.
pub(crate) fn for_tests(root: &Path, program: &Path, folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let scratch = tempfile::tempdir().context("cannot make a folder for a program")?;
    let stripped = scratch.path().join(crate::package::PROGRAM);
    output_of(
        std::process::Command::new("strip")
            .arg("-o")
            .arg(&stripped)
            .arg(program),
        "taking what is for debuggers out of the program",
    )?;
    programs::make(root, &stripped, folder)?;
    let repository = "owner/name".parse()?;
    npm::make(root, folder, Some(&repository))?;
    installer::make(root, folder, &repository)?;
    sums::make(folder)?;
    Ok(())
}

/// Writes `content` to `path`, whole or not at all.
fn write(path: &Path, content: &[u8]) -> Result<()> {
    let put = || -> std::io::Result<()> {
        let folder = path.parent().unwrap_or(path);
        let mut beside = tempfile::Builder::new()
            .prefix(".stack-emulator-")
            .tempfile_in(folder)?;
        std::io::Write::write_all(&mut beside, content)?;
        set_readable(beside.path())?;
        beside.persist(path)?;
        Ok(())
    };
    put().with_context(|| format!("cannot write {}", path.display()))
}

/// A temporary file is its owner's alone; what is released is everybody's.
fn set_readable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
}

/// Names of the files in `folder`, in order.
fn files_in(folder: &Path) -> Result<Vec<String>> {
    let list = || -> std::io::Result<Vec<String>> {
        let mut names = vec![];
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // What a killed command left beside.
            if entry.file_type()?.is_file() && !name.starts_with('.') {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    };
    list().with_context(|| format!("cannot list {}", folder.display()))
}

/// Fails unless `name` is one that needs no quotes anywhere.
fn plain_name(name: &str) -> Result<()> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
    if name.is_empty() || !name.bytes().all(plain) {
        bail!("the file name {name:?} has other characters than letters, digits and ._+-");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_one_of_the_targets() {
        let target = Target::from_triple(&crate::cargo::host_triple().unwrap()).unwrap();
        assert!(target.tarball().ends_with(".tar.gz"));
        assert!(
            target
                .tarball()
                .starts_with(&format!("stack-emulator-{VERSION}-"))
        );
        let error = Target::from_triple("riscv64gc-unknown-linux-gnu").unwrap_err();
        assert!(error.to_string().contains("x86_64-apple-darwin"), "{error}");
    }

    #[test]
    fn unfinished_files_are_not_listed() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b", "a", ".stack-emulator-x"] {
            write(&folder.path().join(name), b"x").unwrap();
        }
        fs::create_dir(folder.path().join("folder")).unwrap();
        assert_eq!(files_in(folder.path()).unwrap(), ["a", "b"]);
    }

    #[test]
    fn names_need_no_quotes() {
        plain_name("stack-emulator_0.1.0+x_amd64.deb").unwrap();
        for name in ["", "a b", "a'b", "a/b", "ä"] {
            plain_name(name).unwrap_err();
        }
    }
}
