//! `cargo xtask package`: a Debian package with the app, the command line, its manual pages and completions. The other
//! forms in which the app is released are made here too, for `cargo xtask release packages`.
//!
//! Cargo builds both programs, Tauri's own command line puts them together from `tauri.conf.json` and
//! `tauri.linux.conf.json`, and what comes out is judged by `tests/tests/package.rs`, among the end-to-end tests.
//! What is made here and not committed is named to Tauri on its command line.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use images::github::Repo;
use serde_json::{Map, Value, json};

use crate::cargo::cargo;
use crate::command::output_of;
use crate::desktop::{self, Profile};
use crate::setup;
use crate::stages::{Stages, run as run_command};
use crate::{ui, workspace};

/// The command line's file name.
pub(crate) const PROGRAM: &str = "stack-emulator";

/// Names the repository of the releases to the compiler: newer releases are looked for there, and the starter image.
const REPOSITORY: &str = "STACK_EMULATOR_REPOSITORY";

/// A form of the app that people can install.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// A Debian package, with the command line
    Deb,
    /// One file for any Linux, with the command line in it; Tauri fetches its tools from GitHub
    #[value(name = "appimage")]
    AppImage,
    /// A disk image; needs a Mac
    Dmg,
}

impl Format {
    /// As Tauri calls it, and its folder.
    const fn name(self) -> &'static str {
        match self {
            Self::Deb => "deb",
            Self::AppImage => "appimage",
            Self::Dmg => "dmg",
        }
    }

    /// All that Tauri is to make for it: the app in a disk image is needed by itself too.
    const fn bundles(self) -> &'static str {
        match self {
            Self::Deb | Self::AppImage => self.name(),
            Self::Dmg => "app,dmg",
        }
    }

    const fn extension(self) -> &'static str {
        match self {
            Self::Deb => "deb",
            Self::AppImage => "AppImage",
            Self::Dmg => "dmg",
        }
    }
}

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
    stages.run("app", || desktop::build(&root, profile, None))?;
    let program = stages.run("command line", || build_program(&root, None))?;
    let package = stages.run("package", || bundle(&root, profile, &program, Format::Deb))?;
    eprint!("{}", stages.table());
    println!("{}", package.display());
    Ok(())
}

/// The command line as it is shipped; one of a release looks for newer ones in `repository`.
pub(crate) fn build_program(root: &Path, repository: Option<&Repo>) -> Result<PathBuf> {
    let mut command = cargo(root, "build");
    command.args(["--release", "--package", PROGRAM]);
    tell_repository(&mut command, repository);
    run_command(&mut command)?;
    Ok(workspace::target_dir(root).join("release").join(PROGRAM))
}

/// Has Cargo build a program that was released in `repository`, or nowhere.
pub(crate) fn tell_repository(cargo: &mut Command, repository: Option<&Repo>) {
    match repository {
        Some(repository) => cargo.env(REPOSITORY, repository.to_string()),
        None => cargo.env_remove(REPOSITORY),
    };
}

/// Puts programs that are built already into a package, and says where it is.
pub(crate) fn bundle(
    root: &Path,
    profile: Profile,
    program: &Path,
    format: Format,
) -> Result<PathBuf> {
    let target = workspace::target_dir(root);
    let scratch = target.join("package");
    if scratch.exists() {
        fs::remove_dir_all(&scratch)
            .with_context(|| format!("cannot remove {}", scratch.display()))?;
    }
    let bundle = match format {
        Format::Deb => json!({ "linux": { "deb": { "files": documents(program, &scratch)? } } }),
        Format::AppImage => {
            json!({ "linux": { "appimage": { "files": { "/usr/bin/stack-emulator": program } } } })
        }
        // Of the app alone: every program in it would have to be signed, and Homebrew has the other.
        Format::Dmg => json!({}),
    };
    let config = json!({
        // Both are built, by us.
        "build": { "beforeBuildCommand": null, "beforeBundleCommand": null },
        "bundle": bundle,
    });
    let folder = target
        .join(profile.folder())
        .join("bundle")
        .join(format.name());
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    let mut arguments = vec![
        "bundle",
        "--ci",
        "--bundles",
        format.bundles(),
        "--no-binary-patching",
    ];
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
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == format.extension())
        });
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
