//! The desktop app as a build: its page first, then the program, and what drives it in tests.

use std::path::{Path, PathBuf};

use anyhow::Result;
use images::github::Repo;

use crate::cargo::{cargo, installed};
use crate::stages::run as run_command;
use crate::{campaign, package, ui, workspace};

/// Cargo's name of the app, and the program's.
pub(crate) const PACKAGE: &str = "stack-emulator-desktop";
/// Embeds the page; without it the app asks a development server for it.
pub(crate) const EMBEDDED: &str = "stack-emulator-desktop/custom-protocol";
/// The driver of Tauri's apps by `WebDriver`, in the version that the tests were written with.
const TAURI_DRIVER: &str = "tauri-driver@2.1.0";

/// Whether the app is optimised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Built within minutes; with the same dependencies as the tests of all crates, which are built once for both.
    Dev,
    /// As it is shipped.
    Release,
}

impl Profile {
    /// Cargo's folder for it.
    pub(crate) const fn folder(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }
}

/// Builds the page and the app, and says where the app is. For tests the command line as well and the campaign,
/// which are beside it. An app of a release looks for newer ones in `repository`.
pub(crate) fn build(root: &Path, profile: Profile, repository: Option<&Repo>) -> Result<PathBuf> {
    ui::build(root)?;
    let mut command = cargo(root, "build");
    package::tell_repository(&mut command, repository);
    command.args(["--bin", PACKAGE, "--features", EMBEDDED]);
    match profile {
        Profile::Dev => {
            command.args(["--workspace", "--bin", package::PROGRAM]);
            command.args(["--bin", campaign::PROGRAM])
        }
        Profile::Release => command.args(["--package", PACKAGE, "--release"]),
    };
    run_command(&mut command)?;
    let folder = workspace::target_dir(root).join(profile.folder());
    Ok(folder.join(PACKAGE))
}

/// `tauri-driver`, in the version that the tests were written with.
pub(crate) fn tauri_driver(root: &Path) -> Result<PathBuf> {
    installed(root, TAURI_DRIVER, "tauri-driver")
}
