//! `cargo xtask release packages`: the app as people install it.
//!
//! What it is called in the folder has neither spaces nor capitals of Tauri's choosing, so that addresses stay plain.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use images::github::Repo;

use crate::desktop::{self, Profile};
use crate::package::{self, Format};
use crate::setup;
use crate::stages::{Stages, run as run_command};
use crate::workspace;

/// The app on macOS.
const APP: &str = "Stack Emulator.app";

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    into: super::Into,
    /// Repository that app and command line look for newer releases in; they do not look without one
    #[arg(long, value_name = "OWNER/NAME")]
    repository: Option<Repo>,
    /// Which of them; without it, all that this system can make
    #[arg(long = "format", value_name = "FORMAT", value_enum)]
    formats: Vec<Format>,
    /// Without optimisation, to try the packages themselves
    #[arg(long)]
    debug: bool,
}

/// `cargo xtask release packages`: prints the paths of the packages.
pub(super) fn run(args: &Args) -> Result<()> {
    let formats = match args.formats.as_slice() {
        [] => of_this_system(std::env::consts::OS)?,
        chosen => chosen,
    };
    for format in formats {
        possible(*format, std::env::consts::OS)?;
    }
    let root = workspace::root()?;
    let folder = args.into.ready()?;
    let mut stages = Stages::new("packages");
    if cfg!(target_os = "linux") {
        // Not QEMU: a package is built on an older system than it is used on.
        stages.run("set-up", || setup::ensure_only(setup::Need::Desktop))?;
    }
    let profile = if args.debug {
        Profile::Dev
    } else {
        Profile::Release
    };
    let repository = args.repository.as_ref();
    let app = stages.run("app", || desktop::build(&root, profile, repository))?;
    let program = stages.run("command line", || match profile {
        // Beside the app already.
        Profile::Dev => Ok(app.with_file_name(package::PROGRAM)),
        Profile::Release => package::build_program(&root, repository),
    })?;
    let mut made = vec![];
    for format in formats {
        let package = stages.run("package", || {
            package::bundle(&root, profile, &program, *format).with_context(|| trouble(*format))
        })?;
        let name = package.file_name().unwrap_or_default().to_string_lossy();
        let place = folder.join(plain(&name));
        let content =
            fs::read(&package).with_context(|| format!("cannot read {}", package.display()))?;
        super::write(&place, &content)?;
        if *format == Format::Dmg {
            made.push(pack_app(&package, &place)?);
        }
        made.push(place);
    }
    eprint!("{}", stages.table());
    for package in made {
        println!("{}", package.display());
    }
    Ok(())
}

/// Packs the app that was put into a disk image once more, as what the app's updater puts in the place of an older one. `place` is
/// where the image is released.
fn pack_app(image: &Path, place: &Path) -> Result<PathBuf> {
    let bundles = image.parent().and_then(Path::parent);
    let archive = place.with_extension("app.tar.gz");
    run_command(
        Command::new("tar")
            // Or its `tar` adds files of its own, with which the app's signature is broken.
            .env("COPYFILE_DISABLE", "1")
            .arg("-czf")
            .arg(&archive)
            .arg("-C")
            .arg(bundles.unwrap_or(image).join("macos"))
            .arg(APP),
    )?;
    Ok(archive)
}

fn of_this_system(os: &str) -> Result<&'static [Format]> {
    match os {
        "linux" => Ok(&[Format::Deb, Format::AppImage]),
        "macos" => Ok(&[Format::Dmg]),
        other => bail!("no packages are made on {other}"),
    }
}

/// Fails for what the system called `os` cannot make.
fn possible(format: Format, os: &str) -> Result<()> {
    let needed = match format {
        Format::Deb | Format::AppImage => "linux",
        Format::Dmg => "macos",
    };
    if os == needed {
        return Ok(());
    }
    match format {
        Format::Dmg => bail!("a .dmg can only be made on a Mac; the hosted workflow does that"),
        Format::Deb | Format::AppImage => bail!("this package can only be made on Linux"),
    }
}

/// What most likely keeps a package from being made.
fn trouble(format: Format) -> &'static str {
    match format {
        Format::Deb => "cannot make the Debian package",
        Format::AppImage => {
            "cannot make the AppImage (Tauri fetches the tools for it from GitHub; without that, choose --format deb)"
        }
        Format::Dmg => "cannot make the disk image",
    }
}

/// A package's name as it is released.
fn plain(name: &str) -> String {
    name.replace(' ', "-")
        .to_lowercase()
        .replace(".appimage", ".AppImage")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        for (tauri, released) in [
            (
                "stack-emulator_0.1.0_amd64.deb",
                "stack-emulator_0.1.0_amd64.deb",
            ),
            (
                "stack-emulator_0.1.0_amd64.AppImage",
                "stack-emulator_0.1.0_amd64.AppImage",
            ),
            (
                "Stack Emulator_0.1.0_aarch64.dmg",
                "stack-emulator_0.1.0_aarch64.dmg",
            ),
        ] {
            assert_eq!(plain(tauri), released);
            crate::release::plain_name(released).unwrap();
        }
    }

    #[test]
    fn a_disk_image_needs_a_mac_and_says_so() {
        let error = possible(Format::Dmg, "linux").unwrap_err();
        assert!(error.to_string().contains("Mac"), "{error}");
        for os in ["linux", "macos"] {
            for format in of_this_system(os).unwrap() {
                possible(*format, os).unwrap();
            }
        }
    }
}
