//! `cargo xtask release npm`: packages for npm, made of the tarballs in the folder.
//!
//! `stack-emulator` is a small script; each system's program is an optional package that npm chooses by `os`, `cpu` and
//! `libc`. So nothing has to run while installing, which many forbid.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use flate2::read::GzDecoder;
use images::github::Repo;
use serde_json::{Map, Value, json};

use super::{TARGETS, Target, VERSION};
use crate::command::output_of;
use crate::setup::find_program;
use crate::workspace;

const SCRIPT: &str = "packaging/npm/stack-emulator.js";
const README: &str = "packaging/npm/README.md";
const DESCRIPTION: &str = "Full local auth backend that starts in about a second";

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    into: super::Into,
    /// Repository that the release is in, which the packages name
    #[arg(long, value_name = "OWNER/NAME")]
    repository: Option<Repo>,
}

/// `cargo xtask release npm`: prints the paths of the packages, in the order in which they have to be published.
pub(super) fn run(args: &Args) -> Result<()> {
    let folder = args.into.ready()?;
    for path in make(&workspace::root()?, &folder, args.repository.as_ref())? {
        println!("{}", path.display());
    }
    Ok(())
}

/// Makes the packages of the release in `folder`, the one that needs the others last.
pub(super) fn make(root: &Path, folder: &Path, repository: Option<&Repo>) -> Result<Vec<PathBuf>> {
    let targets = packed(folder);
    ensure!(
        !targets.is_empty(),
        "{} has no tarball of version {VERSION}; `cargo xtask release programs` makes one",
        folder.display()
    );
    let scratch = tempfile::tempdir().context("cannot make a folder for the packages")?;
    let mut made = vec![];
    for target in &targets {
        let package = scratch.path().join(target.triple);
        platform(root, folder, *target, repository, &package)?;
        made.push(pack(&package, folder)?);
    }
    let package = scratch.path().join("main");
    main(root, &targets, repository, &package)?;
    made.push(pack(&package, folder)?);
    Ok(made)
}

/// The targets whose tarballs are in `folder`.
fn packed(folder: &Path) -> Vec<Target> {
    TARGETS
        .into_iter()
        .filter(|target| folder.join(target.tarball()).is_file())
        .collect()
}

/// The name of a target's package.
fn name(target: Target) -> String {
    format!("@stack-emulator/{}-{}", target.os, target.cpu)
}

/// What is the same in every package.
fn common(name: &str, repository: Option<&Repo>) -> Map<String, Value> {
    let mut package = Map::new();
    let mut set = |key: &str, value: Value| drop(package.insert(key.to_owned(), value));
    set("name", json!(name));
    set("version", json!(VERSION));
    set("description", json!(DESCRIPTION));
    set("license", json!("MIT"));
    if let Some(repository) = repository {
        set(
            "repository",
            json!({ "type": "git", "url": format!("git+https://github.com/{repository}.git") }),
        );
    }
    package
}

fn platform_manifest(target: Target, repository: Option<&Repo>) -> Value {
    let mut package = common(&name(target), repository);
    package.insert("os".to_owned(), json!([target.os]));
    package.insert("cpu".to_owned(), json!([target.cpu]));
    if target.os == "linux" {
        package.insert("libc".to_owned(), json!(["glibc"]));
    }
    // The program and its manual pages are files for others, not a module.
    package.insert("files".to_owned(), json!(["bin", "LICENSE"]));
    package.insert("preferUnplugged".to_owned(), json!(true));
    Value::Object(package)
}

fn main_manifest(targets: &[Target], repository: Option<&Repo>) -> Value {
    let mut package = common("stack-emulator", repository);
    let optional: Map<String, Value> = targets
        .iter()
        // This very version: the script and the program are one release.
        .map(|target| (name(*target), json!(VERSION)))
        .collect();
    package.insert(
        "bin".to_owned(),
        json!({ "stack-emulator": "stack-emulator.js" }),
    );
    package.insert("engines".to_owned(), json!({ "node": ">=18" }));
    package.insert("files".to_owned(), json!(["stack-emulator.js", "LICENSE"]));
    package.insert("optionalDependencies".to_owned(), Value::Object(optional));
    Value::Object(package)
}

/// Fills the folder of a target's package.
fn platform(
    root: &Path,
    folder: &Path,
    target: Target,
    repository: Option<&Repo>,
    package: &Path,
) -> Result<()> {
    let program = program_in(&folder.join(target.tarball()), target)?;
    let bin = package.join("bin");
    fs::create_dir_all(&bin).with_context(|| format!("cannot make {}", bin.display()))?;
    put(&bin.join("stack-emulator"), &program, 0o755)?;
    let readme = format!(
        "# {}\n\nThe program of [Stack Emulator](https://www.npmjs.com/package/stack-emulator) for one system. \
         Install `stack-emulator` instead, which chooses.\n",
        name(target)
    );
    put(&package.join("README.md"), readme.as_bytes(), 0o644)?;
    finish(root, &platform_manifest(target, repository), package)
}

/// Fills the folder of the package that people install.
fn main(root: &Path, targets: &[Target], repository: Option<&Repo>, package: &Path) -> Result<()> {
    fs::create_dir_all(package).with_context(|| format!("cannot make {}", package.display()))?;
    put(
        &package.join("stack-emulator.js"),
        &read(&root.join(SCRIPT))?,
        0o755,
    )?;
    put(
        &package.join("README.md"),
        &read(&root.join(README))?,
        0o644,
    )?;
    finish(root, &main_manifest(targets, repository), package)
}

fn finish(root: &Path, manifest: &Value, package: &Path) -> Result<()> {
    put(
        &package.join("LICENSE"),
        &read(&root.join("LICENSE"))?,
        0o644,
    )?;
    let text = format!("{manifest:#}\n");
    put(&package.join("package.json"), text.as_bytes(), 0o644)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn put(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, content)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The program in a target's tarball.
fn program_in(tarball: &Path, target: Target) -> Result<Vec<u8>> {
    let wanted = format!("{}/bin/stack-emulator", target.stem());
    let find = || -> std::io::Result<Option<Vec<u8>>> {
        let mut archive = tar::Archive::new(GzDecoder::new(fs::File::open(tarball)?));
        for entry in archive.entries()? {
            let mut entry = entry?;
            if entry.path()? == Path::new(&wanted) {
                let mut content = vec![];
                entry.read_to_end(&mut content)?;
                return Ok(Some(content));
            }
        }
        Ok(None)
    };
    find()
        .with_context(|| format!("cannot read {}", tarball.display()))?
        .with_context(|| format!("{} has no {wanted}", tarball.display()))
}

/// Has npm make the package in the folder `package`; by its own rules, which are the same for every input.
fn pack(package: &Path, folder: &Path) -> Result<PathBuf> {
    let npm =
        find_program("npm").context("there is no npm here; `cargo xtask setup` installs it")?;
    let list = output_of(
        Command::new(npm)
            .args(["pack", "--json", "--ignore-scripts", "--offline"])
            .arg("--pack-destination")
            .arg(folder)
            .current_dir(package),
        "making a package for npm",
    )?;
    Ok(folder.join(file_name(&list)?))
}

/// The file that `npm pack --json` says it has made: an entry of a list, or of an object by names in newer ones.
fn file_name(list: &str) -> Result<String> {
    let list: Value = serde_json::from_str(list).context("`npm pack` printed no JSON")?;
    let first = match &list {
        Value::Array(entries) => entries.first(),
        Value::Object(entries) => entries.values().next(),
        _ => None,
    };
    let name = first
        .and_then(|entry| entry.get("filename"))
        .and_then(Value::as_str)
        .context("`npm pack` names no file")?;
    // Some versions print the package's name, scope and all.
    Ok(name.trim_start_matches('@').replace('/', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::tarball::Tarball;

    #[test]
    fn npm_chooses_by_system_processor_and_libc() {
        let package = platform_manifest(TARGETS[0], None);
        assert_eq!(package["name"], "@stack-emulator/linux-x64");
        assert_eq!(
            (&package["os"], &package["cpu"], &package["libc"]),
            (&json!(["linux"]), &json!(["x64"]), &json!(["glibc"]))
        );
        assert_eq!(platform_manifest(TARGETS[3], None)["libc"], Value::Null);
    }

    #[test]
    fn the_main_package_has_each_program_of_its_own_version_and_no_scripts() {
        let repository = "owner/name".parse().unwrap();
        let package = main_manifest(&TARGETS, Some(&repository));
        let optional = package["optionalDependencies"].as_object().unwrap();
        assert_eq!(optional.len(), TARGETS.len());
        assert!(optional.values().all(|version| version == VERSION));
        assert_eq!(package["scripts"], Value::Null);
        assert_eq!(
            package["repository"]["url"],
            "git+https://github.com/owner/name.git"
        );
    }

    #[test]
    fn the_program_is_found_in_its_tarball() {
        let folder = tempfile::tempdir().unwrap();
        let target = TARGETS[0];
        let path = folder.path().join(target.tarball());
        let mut tarball = Tarball::default();
        tarball.file(format!("{}/LICENSE", target.stem()), b"l".to_vec());
        fs::write(&path, tarball.bytes().unwrap()).unwrap();
        let error = program_in(&path, target).unwrap_err();
        assert!(error.to_string().contains("bin/stack-emulator"), "{error}");
        tarball.program(
            format!("{}/bin/stack-emulator", target.stem()),
            b"p".to_vec(),
        );
        fs::write(&path, tarball.bytes().unwrap()).unwrap();
        assert_eq!(program_in(&path, target).unwrap(), b"p");
        assert_eq!(packed(folder.path()), [target]);
    }

    #[test]
    fn what_npm_has_made_is_read_in_each_of_its_forms() {
        for list in [
            r#"[{"filename": "stack-emulator-linux-x64-0.1.0.tgz"}]"#,
            r#"[{"filename": "@stack-emulator/linux-x64-0.1.0.tgz"}]"#,
            r#"{"@stack-emulator/linux-x64": {"filename": "stack-emulator-linux-x64-0.1.0.tgz"}}"#,
        ] {
            assert_eq!(
                file_name(list).unwrap(),
                "stack-emulator-linux-x64-0.1.0.tgz"
            );
        }
        file_name("[]").unwrap_err();
    }
}
