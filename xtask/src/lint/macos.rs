//! Whether everything compiles for macOS, checked on any other system.
//!
//! A check never links, so all it needs is the target's standard library, and for the C in some dependencies a
//! compiler whose output nobody reads: two scripts that write empty files.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::cargo::cargo;
use crate::desktop;
use crate::setup;
use crate::stages::run as run_command;
use crate::test::OF_LINUX;
use crate::workspace;

/// A C or C++ compiler: an empty file where an output is wanted.
const COMPILER: &str = "#!/bin/sh
while [ $# -gt 0 ]; do
	case $1 in
	-o) : >\"$2\" && shift ;;
	esac
	shift
done
";
/// `ar MODE ARCHIVE MEMBER…`: an empty archive.
const ARCHIVER: &str = "#!/bin/sh
: >\"$2\"
";

/// Checks the workspace at `root`.
pub(super) fn check(root: &Path) -> Result<()> {
    setup::ensure_target(setup::MACOS)?;
    super::page(root)?;
    let tools = workspace::target_dir(root).join("macos-tools");
    fs::create_dir_all(&tools).with_context(|| format!("cannot create {}", tools.display()))?;
    let compiler = script(&tools, "cc", COMPILER)?;
    let archiver = script(&tools, "ar", ARCHIVER)?;
    let suffix = setup::MACOS.replace('-', "_");
    let check = |what: &[&str]| {
        let mut command = cargo(root, "check");
        // The tests' own crate, which is of use on Linux alone, is not left out: macros for this machine would be
        // built again without the features that it asks for.
        // Not a folder of its own: build scripts and macros run here, and are shared with all other builds.
        command
            .args(["--workspace", "--exclude", OF_LINUX, "--quiet"])
            .args(["--features", desktop::EMBEDDED, "--target", setup::MACOS])
            .args(what)
            .env(format!("CC_{suffix}"), &compiler)
            .env(format!("CXX_{suffix}"), &compiler)
            .env(format!("AR_{suffix}"), &archiver);
        run_command(&mut command)
    };
    check(&[])?;
    // What `cargo xtask test units` runs there.
    check(&["--lib", "--profile", "test"])
}

/// Writes the program `name` into `folder`, unless it is there: a new time would build what uses it again.
fn script(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    if fs::read_to_string(&path).is_ok_and(|there| there == text) {
        return Ok(path);
    }
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_tools_write_what_is_asked_of_them_and_read_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let compiler = script(folder.path(), "cc", COMPILER).unwrap();
        let archiver = script(folder.path(), "ar", ARCHIVER).unwrap();
        let run = |program: &Path, arguments: &[&str]| {
            let mut command = Command::new(program);
            let output = command
                .args(arguments)
                .current_dir(&folder)
                .output()
                .unwrap();
            assert!(output.status.success() && output.stdout.is_empty());
        };
        run(&compiler, &["-O3", "-o", "a b.o", "-c", "none.c"]);
        run(&compiler, &["-E", "none.c"]);
        run(&archiver, &["cq", "lib.a", "a b.o"]);
        let made = |name: &str| folder.path().join(name).metadata().unwrap().len();
        assert_eq!([made("a b.o"), made("lib.a")], [0, 0]);
        assert!(!folder.path().join("none.c").exists());
    }

    #[test]
    fn a_tool_that_is_there_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let time = || {
            let path = script(folder.path(), "ar", ARCHIVER).unwrap();
            path.metadata().unwrap().modified().unwrap()
        };
        assert_eq!(time(), time());
    }
}
