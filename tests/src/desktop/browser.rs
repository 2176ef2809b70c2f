//! The user's browser: it keeps the addresses that it is asked to open.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use super::{SOON, until};

/// What the desktop opens addresses with, first in `PATH`.
#[derive(Debug)]
pub struct Browser {
    folder: tempfile::TempDir,
}

impl Browser {
    pub(super) fn install() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("browser-")
            .tempdir()
            .expect("a temporary folder");
        let browser = Self { folder };
        let program = browser.folder.path().join("xdg-open");
        // One write for each address, so that none is read by half; its environment is there before.
        let script = format!(
            "#!/bin/sh\nenv > '{}'\nprintf '%s\\n' \"$*\" >> '{}'\n",
            browser.environment_file().display(),
            browser.opened_file().display()
        );
        std::fs::write(&program, script).expect("a program");
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&program, executable).expect("a program");
        browser
    }

    fn opened_file(&self) -> PathBuf {
        self.folder.path().join("opened")
    }

    fn environment_file(&self) -> PathBuf {
        self.folder.path().join("environment")
    }

    /// For `PATH`.
    pub(super) fn path(&self) -> String {
        let others = std::env::var_os("PATH").unwrap_or_default();
        let all =
            std::iter::once(self.folder.path().to_owned()).chain(std::env::split_paths(&others));
        let path: OsString = std::env::join_paths(all).expect("no folder has a colon in it");
        path.into_string().expect("UTF-8")
    }

    /// All addresses so far, in their order.
    pub fn opened(&self) -> Vec<String> {
        let lines = std::fs::read_to_string(self.opened_file()).unwrap_or_default();
        lines.lines().map(ToOwned::to_owned).collect()
    }

    /// The variables that it was started with the last time, as `NAME=VALUE`; those whose names begin with `prefix`.
    pub fn variables(&self, prefix: &str) -> Vec<String> {
        let lines = std::fs::read_to_string(self.environment_file()).unwrap_or_default();
        let lines = lines.lines().filter(|line| line.starts_with(prefix));
        lines.map(ToOwned::to_owned).collect()
    }

    /// Waits until `count` addresses were opened, and gives the last of them.
    #[track_caller]
    pub fn wait_for(&self, count: usize) -> String {
        until(&format!("address {count} in the browser"), SOON, || {
            self.opened().into_iter().nth(count - 1)
        })
    }
}
