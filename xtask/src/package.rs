//! `cargo xtask package`: a Debian package with the app, the command line, its manual pages and completions.
//!
//! Cargo builds both programs, Tauri's own command line puts them together from `tauri.conf.json` and
//! `tauri.linux.conf.json`, and what comes out is judged by `tests/tests/package.rs`, among the end-to-end tests.
//! What is made here and not committed is named to Tauri on its command line.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value, json};

use crate::cargo::cargo;
use crate::command::output_of;
use crate::desktop::{self, Profile};
use crate::setup;
use crate::stages::{Stages, run as run_command};
use crate::{ui, workspace};

/// The command line's file name.
pub(crate) const PROGRAM: &str = "stack-emulator";

/// Shells with the names that their completion scripts are looked for by.
const COMPLETIONS: [(&str, &str); 3] = [
    (
        "bash",
        "/usr/share/bash-completion/completions/stack-emulator",
    ),
    ("zsh", "/usr/share/zsh/vendor-completions/_stack-emulator"),
    (
        "fish",
        "/usr/share/fish/vendor_completions.d/stack-emulator.fish",
    ),
];

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Without optimisation, to try the package itself
    #[arg(long)]
    debug: bool,
}

/// `cargo xtask package`.
pub(crate) fn run(args: &Args) -> Result<()> {
    let root = workspace::root()?;
    let mut stages = Stages::new("package");
    stages.run("set-up", || setup::ensure(&[setup::Need::Desktop]))?;
    let profile = if args.debug {
        Profile::Dev
    } else {
        Profile::Release
    };
    stages.run("app", || desktop::build(&root, profile))?;
    let program = stages.run("command line", || build_program(&root))?;
    let package = stages.run("package", || bundle(&root, profile, &program))?;
    eprint!("{}", stages.table());
    println!("{}", package.display());
    Ok(())
}

/// The command line as it is shipped.
pub(crate) fn build_program(root: &Path) -> Result<PathBuf> {
    run_command(cargo(root, "build").args(["--release", "--package", "stack-emulator"]))?;
    Ok(workspace::target_dir(root).join("release").join(PROGRAM))
}

/// Puts programs that are built already into a package, and says where it is.
pub(crate) fn bundle(root: &Path, profile: Profile, program: &Path) -> Result<PathBuf> {
    let target = workspace::target_dir(root);
    let scratch = target.join("package");
    if scratch.exists() {
        fs::remove_dir_all(&scratch)
            .with_context(|| format!("cannot remove {}", scratch.display()))?;
    }
    let files = documents(program, &scratch)?;
    let config = json!({
        // Both are built, by us.
        "build": { "beforeBuildCommand": null, "beforeBundleCommand": null },
        "bundle": { "linux": { "deb": { "files": files } } },
    });
    let folder = target.join(profile.folder()).join("bundle/deb");
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    let mut arguments = vec!["bundle", "--ci", "--bundles", "deb", "--no-binary-patching"];
    if profile == Profile::Dev {
        arguments.push("--debug");
    }
    let config = config.to_string();
    arguments.extend(["--config", &config]);
    ui::tauri(root, &arguments)?;
    let mut packages = fs::read_dir(&folder)
        .with_context(|| format!("Tauri made no folder {}", folder.display()))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "deb"));
    let package = packages
        .next()
        .with_context(|| format!("Tauri put no package into {}", folder.display()))?;
    ensure!(
        packages.next().is_none(),
        "there is more than one package in {}",
        folder.display()
    );
    Ok(package)
}

/// Writes manual pages and completions to `scratch`; every file by the path that it gets in the package, the
/// command line itself included.
fn documents(program: &Path, scratch: &Path) -> Result<Map<String, Value>> {
    let manual = scratch.join("man1");
    let completions = scratch.join("completions");
    for folder in [&manual, &completions] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let mut files = Map::new();
    let mut add = |to: String, from: &Path| {
        files.insert(to, Value::String(from.display().to_string()));
    };
    add("/usr/bin/stack-emulator".to_owned(), program);
    run_command(Command::new(program).arg("man").arg("--dir").arg(&manual))?;
    let mut pages: Vec<PathBuf> = fs::read_dir(&manual)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("cannot list {}", manual.display()))?
        .iter()
        .map(fs::DirEntry::path)
        .collect();
    pages.sort();
    // As Debian wants its pages; without a time, the same input gives the same package.
    run_command(Command::new("gzip").args(["-9", "--no-name"]).args(&pages))?;
    for page in pages {
        let name = page.file_name().unwrap_or_default().to_string_lossy();
        let compressed = page.with_file_name(format!("{name}.gz"));
        add(format!("/usr/share/man/man1/{name}.gz"), &compressed);
    }
    for (shell, place) in COMPLETIONS {
        let script = output_of(
            Command::new(program).args(["completions", shell]),
            "asking the command line for a completion script",
        )?;
        let path = completions.join(shell);
        fs::write(&path, script).with_context(|| format!("cannot write {}", path.display()))?;
        add(place.to_owned(), &path);
    }
    Ok(files)
}
