//! `cargo xtask release formula`: Homebrew's formula of the command line and cask of the app, of the digests in
//! `SHA256SUMS`.
//!
//! Both go into a folder as a tap has it, `Formula` and `Casks`, beside the release's own files.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use images::github::Repo;

use super::sums::{self, Sums};
use super::{TARGETS, Target, VERSION};
use crate::workspace;

const FORMULA: &str = "packaging/homebrew/stack-emulator.rb";
const CASK: &str = "packaging/homebrew/stack-emulator-app.rb";

/// Architectures of the cask: Homebrew's name, and Tauri's in the file name.
const MACS: [(&str, &str); 2] = [("arm", "aarch64"), ("intel", "x64")];

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    into: super::Into,
    /// Repository that the release is in
    #[arg(long, value_name = "OWNER/NAME")]
    repository: Repo,
    /// Folder of the tap, made if it is not there
    #[arg(long, value_name = "DIR", default_value = "target/homebrew-tap")]
    tap: PathBuf,
}

/// `cargo xtask release formula`: prints the paths of both.
pub(super) fn run(args: &Args) -> Result<()> {
    let root = workspace::root()?;
    let sums = sums::read(&args.into.ready()?)?;
    let template = |path: &str| {
        let path = root.join(path);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let tap = std::path::absolute(&args.tap)?;
    let formula = formula(&template(FORMULA)?, &args.repository, &sums)?;
    put(&tap.join("Formula/stack-emulator.rb"), &formula)?;
    match cask(&template(CASK)?, &args.repository, &sums) {
        Some(cask) => put(&tap.join("Casks/stack-emulator-app.rb"), &cask)?,
        None => eprintln!("formula: no .dmg in this release, so there is no cask"),
    }
    Ok(())
}

fn put(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().context("a file has a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    super::write(path, text.as_bytes())?;
    println!("{}", path.display());
    Ok(())
}

/// The formula, for the systems whose tarballs the release has.
fn formula(template: &str, repository: &Repo, sums: &Sums) -> Result<String> {
    let mut sources = vec![];
    for (os, block) in [("darwin", "on_macos"), ("linux", "on_linux")] {
        let mut text = String::new();
        for target in TARGETS.into_iter().filter(|target| target.os == os) {
            if let Some(digest) = sums.get(&target.tarball()) {
                let address = address(repository, target);
                // Writing to a string cannot fail.
                let _ = write!(
                    text,
                    "    {} do\n      url \"{address}\"\n      sha256 \"{digest}\"\n    end\n",
                    if target.cpu == "arm64" {
                        "on_arm"
                    } else {
                        "on_intel"
                    },
                );
            }
        }
        if !text.is_empty() {
            sources.push(format!("  {block} do\n{text}  end"));
        }
    }
    ensure!(
        !sources.is_empty(),
        "SHA256SUMS has no tarball of version {VERSION}; `cargo xtask release programs` makes one"
    );
    Ok(fill(template, repository).replace("@SOURCES@", &sources.join("\n\n")))
}

/// The cask, if the release has a disk image.
fn cask(template: &str, repository: &Repo, sums: &Sums) -> Option<String> {
    let found: Vec<_> = MACS
        .into_iter()
        .filter_map(|(mac, tauri)| {
            let digest = sums.get(&format!("stack-emulator_{VERSION}_{tauri}.dmg"))?;
            Some((mac, tauri, digest))
        })
        .collect();
    let (arch, digests) = match found.as_slice() {
        [] => return None,
        [(_, tauri, digest)] => (
            format!("  arch = \"{tauri}\"\n"),
            format!("  sha256 \"{digest}\""),
        ),
        [(_, arm, one), (_, intel, other), ..] => (
            format!("  arch arm: \"{arm}\", intel: \"{intel}\"\n"),
            format!("  sha256 arm:   \"{one}\",\n         intel: \"{other}\""),
        ),
    };
    let text = fill(template, repository)
        .replace("@ARCH@", &arch)
        .replace("@DIGESTS@", &digests);
    Some(text)
}

fn fill(template: &str, repository: &Repo) -> String {
    template
        .replace("@REPOSITORY@", &repository.to_string())
        .replace("@VERSION@", VERSION)
}

fn address(repository: &Repo, target: Target) -> String {
    format!(
        "https://github.com/{repository}/releases/download/v{VERSION}/{}",
        target.tarball()
    )
}

#[cfg(test)]
mod tests {
    use images::Sha256Digest;

    use super::*;

    fn repository() -> Repo {
        "owner/name".parse().unwrap()
    }

    fn template(path: &str) -> String {
        fs::read_to_string(workspace::root().unwrap().join(path)).unwrap()
    }

    fn sums(names: impl IntoIterator<Item = String>) -> Sums {
        let with_digest = |name: String| (name.clone(), Sha256Digest::of(name.as_bytes()));
        names.into_iter().map(with_digest).collect()
    }

    #[test]
    fn each_system_has_its_address_and_digest() {
        let sums = sums(TARGETS.map(Target::tarball));
        let text = formula(&template(FORMULA), &repository(), &sums).unwrap();
        for target in TARGETS {
            let address = format!("url \"{}\"", address(&repository(), target));
            let digest = format!("sha256 \"{}\"", sums[&target.tarball()]);
            let (at, after) = (text.find(&address).unwrap(), text.find(&digest).unwrap());
            assert!(at < after && after - at < 300, "{text}");
        }
        assert_eq!(text.matches(" do\n").count(), 7, "{text}");
        assert_eq!(text.lines().filter(|line| line.trim() == "end").count(), 9);
        assert!(!text.contains('@'), "{text}");
    }

    #[test]
    fn what_the_release_lacks_is_not_in_it() {
        let linux = sums([TARGETS[0].tarball()]);
        let text = formula(&template(FORMULA), &repository(), &linux).unwrap();
        assert!(
            text.contains("on_linux") && !text.contains("on_macos"),
            "{text}"
        );
        assert!(formula(&template(FORMULA), &repository(), &Sums::new()).is_err());
        assert_eq!(cask(&template(CASK), &repository(), &linux), None);
    }

    #[test]
    fn a_cask_has_the_digests_of_its_disk_images() {
        let names = ["aarch64", "x64"].map(|arch| format!("stack-emulator_{VERSION}_{arch}.dmg"));
        let both = sums(names.clone());
        let text = cask(&template(CASK), &repository(), &both).unwrap();
        for digest in both.values() {
            assert!(text.contains(&digest.to_string()), "{text}");
        }
        assert!(
            text.contains("arch arm: \"aarch64\", intel: \"x64\""),
            "{text}"
        );
        let one = sums(names.into_iter().take(1));
        let text = cask(&template(CASK), &repository(), &one).unwrap();
        assert!(
            text.contains("arch = \"aarch64\"") && !text.contains('@'),
            "{text}"
        );
    }
}
