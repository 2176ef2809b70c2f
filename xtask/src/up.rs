//! `cargo xtask up`: from a clone to a running emulator, doing only what is
//! not done yet.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use images::manifest::Manifest;
use serde::Deserialize;

use crate::cargo::cargo;
use crate::command::output_of;
use crate::stages::{Stages, run as run_command};
use crate::{image, setup, workspace};

const PROGRAM: &str = "stack-emulator";

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Arguments for `stack-emulator start`
    #[arg(last = true)]
    start: Vec<String>,
}

/// `cargo xtask up`.
pub(crate) fn run(args: &Args) -> Result<()> {
    let root = workspace::root()?;
    let home = emulator_home()?;
    let mut stages = Stages::new("up");
    stages.run("set-up", || setup::ensure(&[setup::Need::Image]))?;
    let program = stages.run("command line", || install_program(&root))?;
    let built = stages.run("image", || image::ensure_built(&image::Args::of(None)))?;
    let kept = stages.run("image in place", || place_image(&built.qcow2, &home))?;
    stages.run("start", || {
        run_command(Command::new(&program).arg("start").args(&args.start))
    })?;
    eprint!("{}{}", stages.table(), phases(&program, &args.start)?);
    eprintln!("{}", credentials(&program, &args.start));
    eprintln!("\nStop it with `stack-emulator stop`, start it again with `stack-emulator start`.");
    if let Kept::Old { sessions } = kept {
        eprintln!(
            "This is the image of before: the new one would not fit the data of {}. To change over: \
             `stack-emulator reset` (drops that data), then `cargo xtask up`.",
            sessions.join(", ")
        );
    }
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
            .args(["--quiet", "--path", "crates/cli", "--root"])
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

/// `STACK_EMULATOR_HOME`, as the command line understands it.
fn emulator_home() -> Result<PathBuf> {
    let home = match std::env::var_os("STACK_EMULATOR_HOME").filter(|home| !home.is_empty()) {
        Some(home) => PathBuf::from(home),
        None => std::env::home_dir()
            .context("there is no home folder; set STACK_EMULATOR_HOME to a folder of yours")?
            .join(".stack/emulator"),
    };
    ensure!(
        home.is_absolute(),
        "STACK_EMULATOR_HOME={} is not an absolute path; set it right or unset it",
        home.display()
    );
    Ok(home)
}

/// Which image is in place now.
#[derive(Debug, PartialEq, Eq)]
enum Kept {
    New,
    /// The one of before: these instances have sessions, whose disks lie on it.
    Old {
        sessions: Vec<String>,
    },
}

/// Makes `built` and its manifest the default image of the emulator at `home`.
fn place_image(built: &Path, home: &Path) -> Result<Kept> {
    let folder = home.join("images");
    let name = built.file_name().context("an image has a name")?;
    let image = folder.join(name);
    let (built_manifest, manifest) = (Manifest::path_beside(built), Manifest::path_beside(&image));
    let new = Manifest::read(&built_manifest)?.image;
    // A manifest that cannot be read is of no use to the emulator either, so it is replaced.
    let old = Manifest::read(&manifest)
        .ok()
        .map(|manifest| manifest.image);
    let bytes = fs::metadata(&image).map(|meta| meta.len()).ok();
    if old.as_ref().is_some_and(|old| old.sha256 == new.sha256) && bytes == Some(new.bytes) {
        return Ok(Kept::New);
    }
    if bytes.is_some() {
        let sessions = sessions(home)?;
        if !sessions.is_empty() {
            return Ok(Kept::Old { sessions });
        }
    }
    private_folder(home)?;
    private_folder(&folder)?;
    // The manifest last: it names the digest of the image.
    put(built, &image)?;
    put(&built_manifest, &manifest)?;
    Ok(Kept::New)
}

/// Names of the instances at `home` that have data on top of the image.
fn sessions(home: &Path) -> Result<Vec<String>> {
    let instances = home.join("instances");
    let entries = match fs::read_dir(&instances) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot list {}", instances.display()));
        }
    };
    let mut names = vec![];
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot list {}", instances.display()))?;
        if entry.path().join("session/disk.qcow2").exists() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn private_folder(folder: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot create {}", folder.display()))
}

/// Puts `from` at `to` in one step. On the same file system it takes no room:
/// both are only ever replaced, never written to.
fn put(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().unwrap_or(Path::new("."));
    let placed = || -> io::Result<()> {
        let scratch = tempfile::tempdir_in(folder)?;
        let unfinished = scratch.path().join("file");
        if fs::hard_link(from, &unfinished).is_err() {
            fs::copy(from, &unfinished)?;
            fs::File::open(&unfinished)?.sync_all()?;
        }
        fs::rename(&unfinished, to)?;
        fs::File::open(folder)?.sync_all()
    };
    placed().with_context(|| format!("cannot put {} at {}", from.display(), to.display()))
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
    use images::Sha256Digest;
    use images::manifest::{ImageFile, published_services};

    use super::*;

    /// An image file with a manifest that is true of it.
    fn image(folder: &Path, content: &str) -> PathBuf {
        let manifest = Manifest {
            format: images::manifest::FORMAT.to_owned(),
            version: images::manifest::VERSION,
            contract: images::manifest::CONTRACT,
            name: "starter".to_owned(),
            payload_version: "1".to_owned(),
            arch: "amd64".to_owned(),
            image: ImageFile {
                file: "stack-emulator-amd64.qcow2".to_owned(),
                sha256: Sha256Digest::of(content.as_bytes()),
                bytes: content.len() as u64,
                virtual_bytes: 1 << 30,
            },
            min_ram_mib: 512,
            min_vcpus: 1,
            services: published_services(81),
            rotation_port: false,
            inputs: vec![],
            packages: vec![],
        };
        fs::create_dir_all(folder).unwrap();
        let path = folder.join("stack-emulator-amd64.qcow2");
        fs::write(&path, content).unwrap();
        fs::write(
            Manifest::path_beside(&path),
            serde_json::to_vec(&manifest).unwrap(),
        )
        .unwrap();
        path
    }

    #[test]
    fn an_image_is_put_in_place_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        let placed = home.join("images/stack-emulator-amd64.qcow2");
        for (build, content) in [("1", "first"), ("2", "second")] {
            let built = image(&folder.path().join(build), content);
            assert_eq!(place_image(&built, &home).unwrap(), Kept::New);
            assert_eq!(fs::read_to_string(&placed).unwrap(), content);
            let manifest = Manifest::read(&Manifest::path_beside(&placed)).unwrap();
            assert_eq!(manifest.image.sha256, Sha256Digest::of(content.as_bytes()));
        }
        // Nothing of the making is left.
        assert_eq!(fs::read_dir(home.join("images")).unwrap().count(), 2);
    }

    #[test]
    fn an_image_with_data_on_top_of_it_stays() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        let first = image(&folder.path().join("1"), "first");
        place_image(&first, &home).unwrap();
        let session = home.join("instances/default/session");
        fs::create_dir_all(&session).unwrap();
        fs::write(session.join("disk.qcow2"), "data").unwrap();
        assert_eq!(place_image(&first, &home).unwrap(), Kept::New);

        let second = image(&folder.path().join("2"), "second");
        let sessions = vec!["default".to_owned()];
        assert_eq!(place_image(&second, &home).unwrap(), Kept::Old { sessions });
        let placed = home.join("images/stack-emulator-amd64.qcow2");
        assert_eq!(fs::read_to_string(placed).unwrap(), "first");
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
        fs::write(&program, "").unwrap();
        let path = std::env::join_paths([Path::new("/no/such/folder"), folder.path()]).unwrap();
        assert_eq!(find_in_path(Some(&path)), Some(program.clone()));
        assert_eq!(find_in_path(None), None);
        assert!(same_file(&program, &folder.path().join("./stack-emulator")));
    }
}
