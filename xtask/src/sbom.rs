//! `cargo xtask sbom`: bills of materials in the JSON of `CycloneDX`, one a thing that is shipped.
//!
//! Crates are listed by `cargo-cyclonedx`, packages of the page by npm, each from the lock file. A guest image's
//! Debian packages are in its manifest already, with versions and licences, and are put in that form here.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::cargo::{installed, tool};
use crate::lint::tracked_files;
use crate::stages::{Stages, run as run_command};
use crate::{ui, workspace};

const CARGO_CYCLONEDX: &str = "cargo-cyclonedx@0.5.9";
/// What the tool is to call its files, without their ending.
const NAME: &str = "bill-of-materials";
/// The version of the format that all of them are in.
const SPEC: &str = "1.5";

/// The members that are shipped, by the folders of their manifests, and what their bills are called.
const SHIPPED: [(&str, &str); 3] = [
    ("crates/cli", "stack-emulator"),
    ("", "stack-emulator-desktop"),
    ("guest/starter", "starter"),
];

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder to write them into, made if it is not there
    #[arg(long, value_name = "DIR", default_value = "target/sbom")]
    into: PathBuf,
    /// Manifest of a guest image, beside its qcow2 file; may be given again
    #[arg(long, value_name = "FILE")]
    image: Vec<PathBuf>,
}

/// `cargo xtask sbom`.
pub(crate) fn run(args: &Args) -> Result<()> {
    let root = workspace::root()?;
    let into = std::path::absolute(&args.into)?;
    fs::create_dir_all(&into).with_context(|| format!("cannot make {}", into.display()))?;
    let mut stages = Stages::new("sbom");
    stages.run("crates", || crates(&root, &into))?;
    stages.run("page", || {
        write(&into, "page", &ui::bill_of_materials(&root, SPEC)?)
    })?;
    for manifest in &args.image {
        stages.run("image", || image(manifest, &into))?;
    }
    eprint!("{}", stages.table());
    println!("{}", into.display());
    Ok(())
}

/// The tool writes beside each member's manifest, so it gets a copy of the checkout.
fn crates(root: &Path, into: &Path) -> Result<()> {
    let program = installed(root, CARGO_CYCLONEDX, "cargo-cyclonedx")?;
    let copy = tempfile::tempdir().context("cannot make a folder for a copy of the sources")?;
    for file in tracked_files(root)? {
        let to = copy.path().join(&file);
        let parent = to.parent().context("a file has a folder")?;
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        fs::copy(root.join(&file), &to)
            .with_context(|| format!("cannot copy {}", file.display()))?;
    }
    let mut command = tool(copy.path(), "cyclonedx");
    // Cargo looks for subcommands in `PATH`.
    let folder = program.parent().context("a program has a folder")?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&path));
    command
        .env("PATH", std::env::join_paths(folders)?)
        .args(["--format", "json", "--spec-version", SPEC, "--quiet"])
        .args(["--target", "all", "--override-filename", NAME]);
    run_command(&mut command)?;
    for (member, name) in SHIPPED {
        let made = copy.path().join(member).join(format!("{NAME}.json"));
        let text = fs::read_to_string(&made)
            .with_context(|| format!("cargo-cyclonedx did not write {}", made.display()))?;
        // References are made of paths; the copy's is another one each time, and nobody's business.
        let place = copy.path().display().to_string();
        write(into, name, &text.replace(&place, "/stack-emulator"))?;
    }
    Ok(())
}

/// The bill of the image whose manifest is `path`.
fn image(path: &Path, into: &Path) -> Result<()> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let manifest: Value = serde_json::from_slice(&bytes)
        .with_context(|| format!("{} is not an image's manifest", path.display()))?;
    let bill = image_bill(&manifest)
        .with_context(|| format!("{} is not an image's manifest", path.display()))?;
    let name = format!(
        "image-{}-{}",
        text(&manifest, "name")?,
        text(&manifest, "arch")?
    );
    write(into, &name, &format!("{bill:#}\n"))
}

/// The packages of a manifest as components, by their package URLs.
fn image_bill(manifest: &Value) -> Result<Value> {
    let arch = text(manifest, "arch")?;
    let packages = manifest
        .get("packages")
        .and_then(Value::as_array)
        .context("there is no list `packages`")?;
    let components: Vec<Value> = packages
        .iter()
        .map(|package| {
            let (name, version) = (text(package, "name")?, text(package, "version")?);
            // Debian's epoch has a colon, and `+` is a space to some who decode: both are escaped.
            let escaped = version.replace(':', "%3A").replace('+', "%2B");
            Ok(json!({
                "type": "library",
                "name": name,
                "version": version,
                "purl": format!("pkg:deb/debian/{}@{escaped}?arch={arch}", name.replace('+', "%2B")),
                "licenses": [{ "license": { "name": text(package, "license")? } }],
            }))
        })
        .collect::<Result<_>>()?;
    ensure!(!components.is_empty(), "its list of packages is empty");
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": SPEC,
        "version": 1,
        "metadata": { "component": {
            "type": "operating-system",
            "name": text(manifest, "name")?,
            "version": text(manifest, "payload_version")?,
            "hashes": [{
                "alg": "SHA-256",
                "content": manifest.pointer("/image/sha256").context("there is no digest")?,
            }],
        } },
        "components": components,
    }))
}

fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str> {
    value
        .get(name)
        .and_then(Value::as_str)
        .with_context(|| format!("there is no text `{name}`"))
}

fn write(into: &Path, name: &str, bill: &str) -> Result<()> {
    let path = into.join(format!("{name}.cdx.json"));
    fs::write(&path, bill).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_s_packages_are_components_with_their_addresses() {
        let manifest = json!({
            "name": "starter", "payload_version": "0.1.0", "arch": "amd64",
            "image": { "sha256": "00ff" },
            "packages": [
                { "name": "acpid", "version": "1:2.0.33-2+b1", "license": "GPL-2" },
                { "name": "libstdc++6", "version": "12.2.0-14", "license": "GPL-3+" },
            ],
        });
        let bill = image_bill(&manifest).unwrap();
        let components = bill["components"].as_array().unwrap();
        assert_eq!(
            components
                .iter()
                .map(|c| c["purl"].as_str().unwrap())
                .collect::<Vec<_>>(),
            [
                "pkg:deb/debian/acpid@1%3A2.0.33-2%2Bb1?arch=amd64",
                "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14?arch=amd64",
            ]
        );
        assert_eq!(
            bill["metadata"]["component"]["hashes"][0]["content"],
            "00ff"
        );
    }

    #[test]
    fn what_is_no_manifest_is_said() {
        for other in [json!({}), json!({ "arch": "amd64", "packages": [{}] })] {
            image_bill(&other).unwrap_err();
        }
    }
}
