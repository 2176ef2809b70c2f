//! `cargo xtask up`: from a clone to a running emulator, doing only what is
//! not done yet.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use images::Sha256Digest;
use images::manifest::Manifest;
use serde::Deserialize;

use crate::cargo::cargo;
use crate::command::output_of;
use crate::desktop::{self, Profile};
use crate::stages::{Stages, run as run_command};
use crate::{image, setup, workspace};

const PROGRAM: &str = "stack-emulator";

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Open the desktop app, which starts the emulator on demand, instead of starting it here
    #[arg(long, conflicts_with = "start")]
    desktop: bool,
    /// Arguments for `stack-emulator start`
    #[arg(last = true)]
    start: Vec<String>,
}

/// `cargo xtask up`.
pub(crate) fn run(args: &Args) -> Result<()> {
    let root = workspace::root()?;
    let mut stages = Stages::new("up");
    let need = if args.desktop {
        setup::Need::Desktop
    } else {
        setup::Need::Image
    };
    stages.run("set-up", || setup::ensure(&[need]))?;
    let program = stages.run("command line", || install_program(&root))?;
    let built = stages.run("image", || image::ensure_built(&image::Args::of(None)))?;
    let kept = stages.run("image in place", || {
        place_image(&program, &built.qcow2, &args.start)
    })?;
    if args.desktop {
        let app = stages.run("desktop app", || {
            desktop::build(&root, Profile::Release, None)
        })?;
        stages.run("launch", || launch(&app))?;
        eprint!("{}", stages.table());
        eprintln!("\nThe desktop app is open: {}", app.display());
        tell_of_old_image(&kept);
        return Ok(());
    }
    stages.run("start", || {
        run_command(Command::new(&program).arg("start").args(&args.start))
    })?;
    eprint!("{}{}", stages.table(), phases(&program, &args.start)?);
    eprintln!("{}", credentials(&program, &args.start));
    eprintln!("\nStop it with `stack-emulator stop`, start it again with `stack-emulator start`.");
    tell_of_old_image(&kept);
    match find_in_path(std::env::var_os("PATH").as_deref()) {
        Some(first) if same_file(&first, &program) => {}
        Some(first) => eprintln!(
            "Another {PROGRAM} comes first in PATH: {}; this one is {}.",
            first.display(),
            program.display()
        ),
        None => eprintln!(
            "{PROGRAM} is {}; its folder is not in PATH. To add it to this shell's:\n  export PATH=\"{}:$PATH\"",
            program.display(),
            program.parent().unwrap_or(&program).display()
        ),
    }
    Ok(())
}

fn tell_of_old_image(kept: &Kept) {
    if let Kept::Old { because } = kept {
        eprintln!("This is the image of before: {because}.");
    }
}

/// Opens the app, which goes on when this command and its terminal have ended.
fn launch(app: &Path) -> Result<()> {
    Command::new(app)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot run {}", app.display()))?;
    Ok(())
}

/// The key that an app's client side may hold, and how to see the others.
fn credentials(program: &Path, arguments: &[String]) -> String {
    let key = output_of(
        Command::new(program)
            .args(["secrets", "show", "pck"])
            .args(arguments),
        "asking for the publishable client key",
    );
    match key {
        Ok(key) => format!(
            "\nproject                 internal\npublishable client key  {}\n\
             server and admin keys   `stack-emulator secrets show ssk`, `… sak`",
            key.trim()
        ),
        // Without rotation nothing is kept; anything else `secrets show` says itself.
        Err(error) => format!("\nNo keys to show: {error:#}"),
    }
}

/// How long each phase of the start took that the emulator runs by.
fn phases(program: &Path, arguments: &[String]) -> Result<String> {
    // The instance may be another one than the default.
    let status = output_of(
        Command::new(program)
            .args(["status", "--json"])
            .args(arguments),
        "asking for the phases of the start",
    )?;
    table_of_phases(&status)
}

fn table_of_phases(status: &str) -> Result<String> {
    #[derive(Deserialize)]
    struct Status {
        start: Start,
    }
    #[derive(Deserialize)]
    struct Start {
        kind: String,
        total_ms: f64,
        phases: Vec<Phase>,
    }
    #[derive(Deserialize)]
    struct Phase {
        name: String,
        ms: f64,
    }
    let Status { start } =
        serde_json::from_str(status).context("cannot understand `stack-emulator status --json`")?;
    let rows = start
        .phases
        .iter()
        .map(|phase| (phase.name.as_str(), phase.ms));
    let lines = rows
        .chain([("total", start.total_ms)])
        .map(|(name, ms)| format!("  {name:10}  {ms:>6.0} ms\n"));
    Ok(format!(
        "\nstart: time by phase ({})\n{}",
        start.kind,
        lines.collect::<String>()
    ))
}

/// Builds the command line and puts it where Cargo puts programs.
fn install_program(root: &Path) -> Result<PathBuf> {
    let place = cargo_install_root()?;
    run_command(
        cargo(root, "install")
            .args(["--path", "crates/cli", "--root"])
            .arg(&place),
    )?;
    Ok(place.join("bin").join(PROGRAM))
}

fn cargo_install_root() -> Result<PathBuf> {
    ["CARGO_INSTALL_ROOT", "CARGO_HOME"]
        .iter()
        .find_map(std::env::var_os)
        .map(PathBuf::from)
        .or_else(|| Some(std::env::home_dir()?.join(".cargo")))
        .context("there is no home folder; set CARGO_HOME to where programs should go")
}

/// Which image is in place now.
#[derive(Debug, PartialEq, Eq)]
enum Kept {
    New,
    /// The one of before, which the emulator cannot let go of.
    Old {
        because: String,
    },
}

/// Has the emulator use the image `built`, unless it does so already.
fn place_image(program: &Path, built: &Path, arguments: &[String]) -> Result<Kept> {
    let digest = Manifest::read(&Manifest::path_beside(built))?.image.sha256;
    let list = output_of(
        Command::new(program)
            .args(["images", "--json"])
            .args(arguments),
        "asking for the images that are there",
    )?;
    if is_chosen(&list, digest)? {
        return Ok(Kept::New);
    }
    let pulled = output_of(
        Command::new(program)
            .args(["pull", "--skip-snapshot", "--json", "--file"])
            .arg(built)
            .args(arguments),
        "putting the image in place",
    )?;
    kept(&pulled)
}

/// Whether `images --json` says that the image is in use.
fn is_chosen(list: &str, digest: Sha256Digest) -> Result<bool> {
    #[derive(Deserialize)]
    struct List {
        images: Vec<Image>,
    }
    #[derive(Deserialize)]
    struct Image {
        digest: Sha256Digest,
        chosen: bool,
    }
    let List { images } =
        serde_json::from_str(list).context("cannot understand `stack-emulator images --json`")?;
    let mut images = images.iter();
    Ok(images.any(|image| image.digest == digest && image.chosen))
}

/// What `pull --json` says has become of it.
fn kept(pulled: &str) -> Result<Kept> {
    #[derive(Deserialize)]
    struct Pulled {
        not_chosen_because: Option<String>,
    }
    let pulled: Pulled =
        serde_json::from_str(pulled).context("cannot understand `stack-emulator pull --json`")?;
    Ok(match pulled.not_chosen_because {
        None => Kept::New,
        Some(because) => Kept::Old { because },
    })
}

fn find_in_path(path: Option<&OsStr>) -> Option<PathBuf> {
    std::env::split_paths(path?)
        .map(|folder| folder.join(PROGRAM))
        .find(|file| file.is_file())
}

fn same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_in_use_is_not_put_in_place_again() {
        let (ours, other) = (Sha256Digest::of(b"ours"), Sha256Digest::of(b"other"));
        let list = |digest: Sha256Digest, chosen: bool| {
            format!(
                r#"{{"images": [{{"digest": "{digest}", "arch": "amd64", "chosen": {chosen}}}]}}"#
            )
        };
        assert!(is_chosen(&list(ours, true), ours).unwrap());
        assert!(!is_chosen(&list(ours, false), ours).unwrap());
        assert!(!is_chosen(&list(other, true), ours).unwrap());
        assert!(!is_chosen(r#"{"images": []}"#, ours).unwrap());
        assert!(is_chosen("{}", ours).is_err());
    }

    #[test]
    fn an_image_that_could_not_be_chosen_is_told_with_its_reason() {
        assert_eq!(
            kept(r#"{"chosen": true, "not_chosen_because": null}"#).unwrap(),
            Kept::New
        );
        let because = "a session is kept".to_owned();
        let text = r#"{"chosen": false, "not_chosen_because": "a session is kept"}"#;
        assert_eq!(kept(text).unwrap(), Kept::Old { because });
    }

    #[test]
    fn phases_are_listed_with_their_total() {
        let status = r#"{"state": "running", "start": {"kind": "resumed", "total_ms": 712.4,
            "phases": [{"name": "qemu", "ms": 41.2}, {"name": "rotate", "ms": 250.9}]}}"#;
        let table = table_of_phases(status).unwrap();
        let rows: Vec<Vec<_>> = table
            .lines()
            .skip(2)
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            rows,
            [
                ["qemu", "41", "ms"],
                ["rotate", "251", "ms"],
                ["total", "712", "ms"]
            ]
        );
        assert!(table.contains("(resumed)"));
        assert!(table_of_phases("{}").is_err());
    }

    #[test]
    fn the_program_is_found_in_path() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join(PROGRAM);
        std::fs::write(&program, "").unwrap();
        let path = std::env::join_paths([Path::new("/no/such/folder"), folder.path()]).unwrap();
        assert_eq!(find_in_path(Some(&path)), Some(program.clone()));
        assert_eq!(find_in_path(None), None);
        assert!(same_file(&program, &folder.path().join("./stack-emulator")));
    }
}
