//! Where a program is: on the `PATH`, or where package managers put it.
//!
//! A process that a desktop session or macOS's launchd has started often lacks folders on its `PATH` that
//! the user's shell has.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Searched after the `PATH`. On Apple silicon, `/opt/homebrew` has programs for its own processor and
/// `/usr/local`, if anything, those for Intel's, which could not use the hypervisor.
const USUAL_PLACES: [&str; 4] = [
    "/usr/bin",
    "/opt/homebrew/bin",
    "/usr/local/bin",
    "/opt/local/bin",
];

/// The program `name`: the first in the `PATH` and the usual places.
pub fn find(name: &str) -> Option<PathBuf> {
    let search = std::env::var_os("PATH").unwrap_or_default();
    first(name, &search, &USUAL_PLACES)
}

/// Whether there is a file at `path` that can be executed.
pub fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path)
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn first(name: &str, search: &OsStr, usual: &[&str]) -> Option<PathBuf> {
    std::env::split_paths(search)
        // A relative entry would make the choice depend on the current folder.
        .filter(|folder| folder.is_absolute())
        .chain(usual.iter().map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|candidate| is_executable(candidate))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    fn program(folder: &Path, mode: u32) {
        std::fs::create_dir_all(folder).unwrap();
        let path = folder.join("tool");
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_path_goes_before_the_usual_places_and_only_programs_count() {
        let dir = tempfile::tempdir().unwrap();
        let [plain, path, brew] = ["plain", "path", "brew"].map(|name| dir.path().join(name));
        program(&plain, 0o644);
        program(&brew, 0o755);
        let usual = [brew.to_str().unwrap()];
        let search = std::env::join_paths([&plain, &path, &PathBuf::from(".")]).unwrap();
        let found = || first("tool", &search, &usual);
        // As launchd starts an app: what the user's shell has is not on its `PATH`.
        assert_eq!(found(), Some(brew.join("tool")));
        program(&path, 0o755);
        assert_eq!(found(), Some(path.join("tool")));
        assert_eq!(first("another", &search, &usual), None);
    }

    #[test]
    fn an_apple_silicon_mac_s_own_homebrew_goes_before_intel_s() {
        let place = |wanted| USUAL_PLACES.iter().position(|place| *place == wanted);
        assert!(place("/opt/homebrew/bin") < place("/usr/local/bin"));
    }
}
