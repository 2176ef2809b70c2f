//! The default payload: `guest/payload` plus the programs of `guest/starter`,
//! compiled for the guest.
//!
//! The key of an image is computed from the programs' *sources*, so that a
//! cached image is found without compiling anything, on any machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::key::Inputs;
use super::recipe::Platform;
use super::tree;
use crate::command::{OnOurDeath, output_of, run_logged, tied};
use crate::{setup, workspace};

/// Programs that go to `files/opt/stack/bin`.
const PROGRAMS: [&str; 4] = [
    "stack-backend",
    "stack-cron",
    "stack-dashboard",
    "stack-resident",
];
/// The program that becomes `rotate`.
const ROTATE: &str = "trigger-fast-rotate";

/// Where the hand-written half of the payload is.
pub(crate) fn folder(root: &Path) -> PathBuf {
    root.join("guest/payload")
}

/// Adds all that decides what the programs will be.
pub(crate) fn add_inputs(root: &Path, target: &str, inputs: &mut Inputs) -> Result<()> {
    let package = root.join("guest/starter");
    // Not its tests and fuzz targets: they leave files there, and no program has anything of them.
    let sources = package.join("src");
    inputs.digest(
        "guest/starter/src",
        tree::digest(&sources, &tree::walk(&sources)?)?,
    );
    inputs.file("guest/starter/Cargo.toml", &package.join("Cargo.toml"))?;
    inputs.text("guest/starter dependencies", dependencies(root, target)?);
    inputs.text("guest/starter profile", release_profile(root)?);
    inputs.text(
        "rustc",
        output_of(
            Command::new(rustc()).arg("-V"),
            "asking the compiler for its version",
        )?,
    );
    inputs.text("rust target", target);
    Ok(())
}

/// Names, versions and features of the crates that the programs are built from. Not the lock
/// file: that changes with every dependency of the desktop app as well.
fn dependencies(root: &Path, target: &str) -> Result<String> {
    let tree = output_of(
        Command::new(cargo())
            .args([
                "tree",
                "--package",
                "starter",
                "--edges",
                "normal,build",
                "--no-dedupe",
            ])
            .args([
                "--prefix",
                "none",
                "--format",
                "{p} [{f}]",
                "--target",
                target,
            ])
            .current_dir(root),
        "listing the starter's dependencies",
    )?;
    without_paths(&tree)
}

/// Sorts `cargo tree`'s lines and takes the checkout's path out of them.
fn without_paths(tree: &str) -> Result<String> {
    let mut lines = Vec::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        match line.split_once(" (/") {
            None => lines.push(line.to_owned()),
            Some((package, _)) if package.starts_with("starter ") => lines.push(package.to_owned()),
            Some((package, _)) => bail!(
                "guest/starter depends on {package} by path, and the image's key does not cover that folder; \
                 add it in xtask/src/image/starter.rs"
            ),
        }
    }
    lines.sort();
    lines.dedup();
    Ok(lines.join("\n"))
}

/// The workspace's `[profile.release]`, as text.
fn release_profile(root: &Path) -> Result<String> {
    let path = root.join("Cargo.toml");
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let manifest: toml::Table =
        toml::from_str(&text).with_context(|| format!("cannot understand {}", path.display()))?;
    let profile = manifest
        .get("profile")
        .and_then(|profiles| profiles.get("release"));
    Ok(profile.map_or_else(String::new, ToString::to_string))
}

/// Compiles the programs and puts the whole payload together at `into`.
pub(crate) fn assemble(root: &Path, platform: &Platform, into: &Path) -> Result<()> {
    let source = folder(root);
    for entry in tree::walk(&source)? {
        let (from, to) = (source.join(&entry.name), into.join(&entry.name));
        match entry.kind {
            tree::Kind::Folder => fs::create_dir_all(&to),
            tree::Kind::File { .. } => fs::copy(&from, &to).map(drop),
            tree::Kind::Link { target } => std::os::unix::fs::symlink(target, &to),
        }
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    }
    let built = build(root, platform, into)?;
    let bin = into.join("files/opt/stack/bin");
    fs::create_dir_all(&bin).with_context(|| format!("cannot create {}", bin.display()))?;
    for (program, place) in PROGRAMS
        .iter()
        .map(|program| (*program, bin.join(program)))
        .chain([(ROTATE, into.join("rotate"))])
    {
        let from = built.join(program);
        fs::copy(&from, &place)
            .with_context(|| format!("cannot copy {} to {}", from.display(), place.display()))?;
    }
    Ok(())
}

/// Compiles the programs, fully static: the guest's C library is another than the host's.
fn build(root: &Path, platform: &Platform, scratch: &Path) -> Result<PathBuf> {
    let target = platform.rust_target.as_str();
    setup::ensure_target(target)?;
    let target_dir = workspace::target_dir(root).join("guest");
    // Separated by 0x1f, which no path contains, where RUSTFLAGS would split at spaces.
    let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned()];
    flags.push(format!("--remap-path-prefix={}=.", root.display()));
    flags.extend(
        platform
            .linker
            .iter()
            .map(|linker| format!("-Clinker={linker}")),
    );
    let mut command = tied(cargo(), OnOurDeath::Terminate);
    command
        .args([
            "build",
            "--release",
            "--package",
            "starter",
            "--bins",
            "--target",
            target,
        ])
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env("CARGO_TARGET_DIR", &target_dir)
        .current_dir(root);
    let log = scratch.with_extension("cargo.log");
    run_logged(&mut command, "compiling the guest's programs", &log)?;
    Ok(target_dir.join(target).join("release"))
}

fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn rustc() -> std::ffi::OsString {
    std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_listed_without_the_checkout() {
        let tree = "starter v0.1.0 (/home/a/checkout/guest/starter) []\naxum v0.8.4 [http1]\nserde_derive v1.0.1 (proc-macro) []\naxum v0.8.4 [http1]\n";
        let list = without_paths(tree).unwrap();
        assert_eq!(
            list,
            "axum v0.8.4 [http1]\nserde_derive v1.0.1 (proc-macro) []\nstarter v0.1.0"
        );
        assert_eq!(
            list,
            without_paths(&tree.replace("/home/a", "/srv")).unwrap()
        );
    }

    #[test]
    fn a_path_dependency_outside_the_key_is_refused() {
        let error = without_paths("shared v0.1.0 (/home/a/checkout/crates/shared) []").unwrap_err();
        assert!(error.to_string().contains("shared v0.1.0"));
    }
}
